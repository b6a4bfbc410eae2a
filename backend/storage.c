/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of storages.  Each change is on the board at once, and workers look there at every
 * login and recipient, so that there is no moment at which a storage that was given up is served.
 * Whatever fails leaves the storage unserved; what it fails with is told once, not at each attempt.
 */
#include "backend/storage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/storage_task.h"
#include "common/base/clock.h"
#include "common/base/log.h"

enum {
    CLAIM_SLACK_MS = 3000, /* for a lock that is just being given up */
    HOOK_RETRY_MS = 30000,
    MISSED_MS = 300000, /* it counts as needed so long after it was */
    MISSED_AGAIN_MS = 600000,
    ADOPT_AFTER_RELEASE_MS = 60000 /* longer than the rewrite that follows a release */
};

struct storage_waiter {
    struct list node;
    struct control_request *request;
    enum storage_state wanted;
};

static const struct state_row storage_states[] = {
    [STORAGE_DETACHED] = { "detached",
                           STATE_BIT(STORAGE_ATTACHING) | STATE_BIT(STORAGE_RELEASING) },
    [STORAGE_ATTACHING] = { "attaching", STATE_BIT(STORAGE_ATTACHED) | STATE_BIT(STORAGE_FAILED) },
    [STORAGE_ATTACHED] = { "attached", STATE_BIT(STORAGE_RELEASING) | STATE_BIT(STORAGE_FAILED) },
    [STORAGE_RELEASING] = { "releasing", STATE_BIT(STORAGE_DETACHED) | STATE_BIT(STORAGE_FAILED) },
    [STORAGE_FAILED] = { "failed", STATE_BIT(STORAGE_ATTACHING) | STATE_BIT(STORAGE_ATTACHED) |
                                       STATE_BIT(STORAGE_RELEASING) | STATE_BIT(STORAGE_FAILED) },
};

static const struct storage_config *storage_config(const struct storage *storage)
{
    return &storage->storages->child->config->storage;
}

static uint64_t seconds_ms(unsigned seconds)
{
    return seconds * UINT64_C(1000);
}

/* How long after a keeper's word the next one is there, or all is not well. */
static uint64_t storage_lease_ms(const struct storage *storage)
{
    const struct storage_config *config = storage_config(storage);

    return seconds_ms(config->check_interval_s) + seconds_ms(config->check_timeout_s);
}

static bool storage_has_hook(const struct storage *storage, enum hand_task kind)
{
    return storage_task_program(storage_config(storage), kind) != NULL;
}

bool storage_has_claim(const struct storage *storage)
{
    return storage_config(storage)->kind != STORAGE_NONE;
}

/* --- moving --------------------------------------------------------------------------------------
 */

/*
 * After a restart of this process the row may still be a lease: it is served on under it while the
 * claim, which is this node's, is taken anew.
 */
static bool storage_is_renewed(const struct storage *storage, enum storage_state state)
{
    return state == STORAGE_ATTACHING && storage_is_attached(storage->row, clock_monotonic_ms());
}

static void storage_move(struct storage *storage, enum storage_state state, const char *why)
{
    if (storage->state.current != state || state == STORAGE_FAILED)
        state_move(&storage->state, state);
    storage->since_ms = (uint64_t)clock_wall_ms();
    if (why != storage->why)
        snprintf(storage->why, sizeof(storage->why), "%s", why);
    if (!storage_is_renewed(storage, state))
        atomic_store(&storage->row->state, (int)state);
}

static void storage_settle(struct storage *storage)
{
    enum storage_state state = storage->state.current;
    char error[STORAGE_WHY_SIZE + BOARD_SERVER_SIZE + 32];

    snprintf(error, sizeof(error), "storage of \"%s\": %s%s%s", storage->server,
             state_name(&storage->state), *storage->why ? ": " : "", storage->why);
    LIST_EACH (node, &storage->waiters) {
        struct storage_waiter *waiter = LIST_ELEMENT(node, struct storage_waiter, node);

        list_remove(&waiter->node);
        control_reply(waiter->request, storage_row(storage));
        control_finish(waiter->request, waiter->wanted == state ? NULL : error);
        free(waiter);
    }
    storage->storages->settled(storage->storages->context);
}

static void storage_fail(struct storage *storage, const char *why)
{
    bool is_new = strcmp(storage->logged, why) != 0;

    if (is_new) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "storage_failed", LOG_TEXT("server", storage->server),
                  LOG_TEXT("state", state_name(&storage->state)), LOG_TEXT("why", why));
        snprintf(storage->logged, sizeof(storage->logged), "%s", why);
    }
    storage_move(storage, STORAGE_FAILED, why);
    if (storage->is_wanted && !storage->is_refused && storage->retry_ms == 0)
        storage->retry_ms =
            clock_monotonic_ms() + seconds_ms(storage_config(storage)->check_interval_s);
    storage_settle(storage);
}

/* --- held
 * ---------------------------------------------------------------------------------------- */

static void storage_set_hold(struct storage *storage, enum storage_hold hold)
{
    storage->hold = hold;
    atomic_store(&storage->row->is_held, hold != STORAGE_FREE);
}

void storage_hold(struct storage *storage, enum storage_hold hold, const char *why)
{
    bool is_new = storage->hold != hold;

    storage_set_hold(storage, hold);
    snprintf(storage->why, sizeof(storage->why), "%s", why);
    if (!is_new)
        return;
    storage->since_ms = (uint64_t)clock_wall_ms();
    if (hold == STORAGE_BARRED)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "storage_held", LOG_TEXT("server", storage->server),
                  LOG_TEXT("why", why));
    if (hold == STORAGE_BARRED && !storage->is_barred) {
        storage->is_barred = true;
        storage->storages->remember(storage->storages->context);
    }
}

/* --- attaching
 * ------------------------------------------------------------------------------------ */

static void storage_begin(struct storage *storage, enum hand_task kind)
{
    storage_job_start(storage->storages->jobs, &storage->work, kind, storage->server, false,
                      seconds_ms(kind <= HAND_HOOK_START
                                     ? storage_config(storage)->hook_timeout_s
                                     : storage_config(storage)->check_timeout_s) +
                          (kind <= HAND_HOOK_START ? 0 : CLAIM_SLACK_MS));
}

static void storage_keep(struct storage *storage)
{
    storage_job_start(storage->storages->jobs, &storage->keeper, HAND_KEEP, storage->server,
                      storage->holder_was_fenced,
                      seconds_ms(storage_config(storage)->check_timeout_s) + CLAIM_SLACK_MS);
}

/* It is here: mark it when that was ordered, then claim it. */
static void storage_claim(struct storage *storage)
{
    if (storage->is_to_be_marked)
        storage_begin(storage, HAND_MARK);
    else
        storage_keep(storage);
    storage->is_to_be_marked = false;
}

/*
 * It could not be claimed.  What a hook has brought is taken away again: it may be another node's,
 * which may have it at this moment.
 */
static void storage_undo(struct storage *storage, const char *why)
{
    storage->is_refused = storage_has_hook(storage, HAND_HOOK_ATTACH);
    if (storage->is_refused && storage_has_hook(storage, HAND_HOOK_RELEASE))
        storage_begin(storage, HAND_HOOK_RELEASE);
    storage_fail(storage, why);
}

/* It is here, and served. */
static void storage_is_well(struct storage *storage)
{
    storage->holder_was_fenced = false;
    storage->logged[0] = '\0';
    storage->retry_ms = 0;
    storage_move(storage, STORAGE_ATTACHED, "");
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "storage_attached", LOG_TEXT("server", storage->server));
    if (!storage->is_wanted || storage->is_barred) { /* an order that succeeds holds */
        storage->is_wanted = true;
        storage->is_barred = false;
        storage->storages->remember(storage->storages->context);
    }
    storage_settle(storage);
}

static void storage_bring(struct storage *storage)
{
    if (!storage_has_claim(storage))
        storage_is_well(storage);
    else if (storage_has_hook(storage, HAND_HOOK_ATTACH))
        storage_begin(storage, HAND_HOOK_ATTACH);
    else
        storage_claim(storage);
}

void storage_attach(struct storage *storage, bool mark, bool holder_was_fenced)
{
    if (storage->state.current != STORAGE_DETACHED && storage->state.current != STORAGE_FAILED)
        return;
    storage_set_hold(storage, STORAGE_FREE);
    storage->is_void = false;
    storage->is_to_be_marked = mark;
    storage->holder_was_fenced = holder_was_fenced;
    storage->is_refused = false;
    storage->retry_ms = 0;
    storage_move(storage, STORAGE_ATTACHING, "");
    if (storage->is_in_use) { /* its keeper's next word is all that is needed */
        storage->is_in_use = false;
        return;
    }
    storage->is_delayed = storage->keeper.number || storage->work.number;
    if (!storage->is_delayed)
        storage_bring(storage);
}

/* --- releasing
 * ------------------------------------------------------------------------------------ */

static void storage_take_away(struct storage *storage)
{
    storage->released_ms = clock_monotonic_ms();
    storage->missed_ms = 0;
    if (storage_has_hook(storage, HAND_HOOK_RELEASE)) {
        storage_begin(storage, HAND_HOOK_RELEASE);
        return;
    }
    storage_move(storage, STORAGE_DETACHED, "");
    storage_settle(storage);
}

/* Who is to have its accounts makes no claim that would keep this node from them: it is held. */
static void storage_let_go(struct storage *storage)
{
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "storage_released", LOG_TEXT("server", storage->server));
    storage_move(storage, STORAGE_DETACHED, "its accounts were let go, and wait to be elsewhere");
    storage_set_hold(storage, STORAGE_BARRED);
    storage_settle(storage);
}

static void storage_give_up(struct storage *storage)
{
    const struct storage_config *config = storage_config(storage);

    storage->is_vacated = false;
    if (!storage_has_claim(storage))
        storage_let_go(storage);
    else if (storage->keeper.number)
        storage_job_dismiss(storage->storages->jobs, &storage->keeper,
                            seconds_ms(config->check_timeout_s) + CLAIM_SLACK_MS);
    else if (!storage->work.number)
        storage_begin(storage, HAND_DISCLAIM);
}

static uint64_t storage_sessions(const struct storage *storage)
{
    return node_board_storage_sessions(storage->storages->child->board, storage->row);
}

/* The workers see on the board that it is not attached, and end what uses it (storage_use.h). */
static void storage_look_at_sessions(struct storage *storage)
{
    uint64_t sessions = storage_sessions(storage);
    char why[STORAGE_WHY_SIZE];

    if (sessions == 0) {
        storage_give_up(storage);
    } else if (clock_monotonic_ms() < storage->vacate_ms) {
        return;
    } else if (storage->is_forced) {
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "storage_forced", LOG_TEXT("server", storage->server),
                  LOG_INTEGER("sessions", sessions));
        storage_give_up(storage);
    } else {
        storage->is_vacated = false;
        storage->is_in_use = storage->keeper.number != 0;
        snprintf(why, sizeof(why), "%" PRIu64 " sessions are still open", sessions);
        storage_fail(storage, why);
    }
}

void storage_release(struct storage *storage, uint64_t patience_ms, bool is_forced)
{
    bool is_waiting = storage->state.current == STORAGE_RELEASING && storage->is_vacated;

    if (!is_waiting && (storage->state.current == STORAGE_RELEASING ||
                        storage->state.current == STORAGE_ATTACHING))
        return;
    storage_set_hold(storage, STORAGE_FREE);
    storage->is_void = false;
    storage->vacate_ms = clock_monotonic_ms() + patience_ms;
    storage->is_forced = is_forced;
    storage->is_vacated = true;
    storage->retry_ms = 0;
    if (!is_waiting) {
        storage->is_in_use = false;
        storage_move(storage, STORAGE_RELEASING, "");
    }
    if (storage_sessions(storage) == 0)
        storage_give_up(storage);
}

/* --- ends of jobs
 * --------------------------------------------------------------------------------- */

/* What was under way when the order to attach came is over. */
static bool storage_takes_its_turn(struct storage *storage)
{
    if (!storage->is_delayed)
        return false;
    storage->is_delayed = storage->keeper.number || storage->work.number;
    if (!storage->is_delayed)
        storage_bring(storage);
    return true;
}

static void storage_work_attaching(struct storage *storage, bool is_good, const char *why)
{
    if (storage_takes_its_turn(storage))
        return;
    if (storage->work.kind == HAND_HOOK_ATTACH && !is_good) {
        storage->retry_ms = clock_monotonic_ms() + HOOK_RETRY_MS;
        storage_fail(storage, why);
    } else if (!is_good) {
        storage_undo(storage, why);
    } else {
        storage_claim(storage);
    }
}

static void storage_work_releasing(struct storage *storage, bool is_good, const char *why)
{
    if (storage->is_vacated) /* the order came while something else was done */
        return;
    if (!is_good) {
        storage_fail(storage, why);
    } else if (storage->work.kind == HAND_DISCLAIM) {
        storage_take_away(storage);
    } else if (storage->work.kind == HAND_HOOK_RELEASE) {
        storage_move(storage, STORAGE_DETACHED, "");
        storage_settle(storage);
    } else { /* the order came while something else was done */
        storage_begin(storage, HAND_DISCLAIM);
    }
}

static void storage_on_work_ended(struct storage_job *job, bool is_good)
{
    struct storage *storage = CONTAINER_OF(job, struct storage, work);
    char why[STORAGE_WHY_SIZE];

    snprintf(why, sizeof(why), "%s%.370s", job->kind <= HAND_HOOK_START ? "the hook failed: " : "",
             job->why);
    if (storage->state.current == STORAGE_ATTACHING)
        storage_work_attaching(storage, is_good, why);
    else if (storage->state.current == STORAGE_RELEASING)
        storage_work_releasing(storage, is_good, why);
}

static void storage_on_keeper_well(struct storage_job *job)
{
    struct storage *storage = CONTAINER_OF(job, struct storage, keeper);
    enum storage_state state = storage->state.current;
    uint64_t lease_ms = storage_lease_ms(storage);

    if (state == STORAGE_RELEASING && !storage->is_vacated)
        return;
    storage_job_extend(job, lease_ms);
    if (state == STORAGE_RELEASING || storage->is_in_use)
        return; /* it is kept, and not served */
    atomic_store(&storage->row->valid_until_ms, clock_monotonic_ms() + lease_ms);
    if (state == STORAGE_ATTACHED)
        return;
    storage_is_well(storage);
}

static void storage_on_keeper_ended(struct storage_job *job, bool is_good)
{
    struct storage *storage = CONTAINER_OF(job, struct storage, keeper);

    storage->is_in_use = false;
    switch ((enum storage_state)storage->state.current) {
    case STORAGE_RELEASING:
        storage->is_vacated = false;
        if (is_good) {
            LOG_EVENT(LOG_LEVEL_INFO, NULL, "storage_released",
                      LOG_TEXT("server", storage->server));
            storage_take_away(storage);
        } else {
            storage_fail(storage, job->why);
        }
        break;
    case STORAGE_ATTACHING:
        if (!storage_takes_its_turn(storage))
            storage_undo(storage, job->why);
        break;
    case STORAGE_ATTACHED:
        storage_fail(storage, job->why);
        break;
    case STORAGE_FAILED: /* killed: it was said before that it hangs */
        storage_fail(storage, job->is_killed ? storage->why : job->why);
        break;
    case STORAGE_DETACHED:
        break;
    }
}

/* --- in time
 * -------------------------------------------------------------------------------------- */

/* A keeper that is late: the lease is over, although the hand has not yet told why. */
static void storage_look_at_lease(struct storage *storage, uint64_t now_ms)
{
    if (storage->state.current == STORAGE_ATTACHED && !storage_is_attached(storage->row, now_ms))
        storage_fail(storage, "it does not answer: a look at it, with a synced write, hangs");
}

static void storage_retry(struct storage *storage, uint64_t now_ms)
{
    if (storage->state.current != STORAGE_FAILED || storage->retry_ms == 0 ||
        now_ms < storage->retry_ms || storage->work.number || storage->keeper.number)
        return;
    storage->retry_ms = 0;
    storage_keep(storage);
}

/*
 * Who had it released wants it elsewhere: until the accounts are there too, logins still come here,
 * and the storage must not come back by itself in between.
 */
static bool storage_was_just_released(const struct storage *storage, uint64_t now_ms)
{
    return storage->released_ms != 0 && now_ms - storage->released_ms < ADOPT_AFTER_RELEASE_MS;
}

/* Somebody needed it, and it is not there. */
static void storage_look_at_missed(struct storage *storage, uint64_t now_ms)
{
    if (!atomic_exchange(&storage->row->is_missed, 0))
        return;
    atomic_store(&storage->row->missed_until_ms, now_ms + MISSED_MS);
    if (storage->state.current != STORAGE_DETACHED)
        return;
    if (storage->missed_ms == 0 || now_ms - storage->missed_ms >= MISSED_AGAIN_MS) {
        storage->missed_ms = now_ms;
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "storage_missing", LOG_TEXT("server", storage->server));
    }
    if (storage_config(storage)->adopt == STORAGE_ADOPT_AUTO && storage->hold == STORAGE_FREE &&
        !storage_was_just_released(storage, now_ms) &&
        node_board_state(storage->storages->child->board) == NODE_SERVING)
        storage_attach(storage, false, false);
}

void storages_tell(struct storages *storages)
{
    LIST_EACH (node, &storages->list) {
        const struct storage *storage = LIST_ELEMENT(node, struct storage, node);

        LIST_EACH (waiting, &storage->waiters)
            control_reply(LIST_ELEMENT(waiting, struct storage_waiter, node)->request,
                          json_pack("{s:s, s:s, s:I}", "event", state_name(&storage->state),
                                    "server", storage->server, "sessions",
                                    (json_int_t)storage_sessions(storage)));
    }
}

static void storages_take_missed_rows(struct storages *storages)
{
    struct board_node *node = &storages->child->board->node;

    for (size_t i = 0; i < BOARD_STORAGES; i++)
        if (atomic_load(&node->storages[i].is_named) && atomic_load(&node->storages[i].is_missed))
            (void)storages_find(storages, node->storages[i].server);
}

void storages_look(struct storages *storages)
{
    uint64_t now_ms = clock_monotonic_ms();

    storages_take_missed_rows(storages);
    LIST_EACH (node, &storages->list) {
        struct storage *storage = LIST_ELEMENT(node, struct storage, node);

        storage_look_at_lease(storage, now_ms);
        if (storage->is_vacated)
            storage_look_at_sessions(storage);
        storage_retry(storage, now_ms);
        storage_look_at_missed(storage, now_ms);
    }
}

/* --- the list
 * ------------------------------------------------------------------------------------- */

void storages_start(struct storages *storages, struct child *child, struct storage_jobs *jobs)
{
    storages->child = child;
    storages->jobs = jobs;
    list_init(&storages->list);
    node_board_open_storages(child->board, child->config->storage.kind == STORAGE_NONE);
}

void storages_stop(struct storages *storages)
{
    LIST_EACH (node, &storages->list) {
        struct storage *storage = LIST_ELEMENT(node, struct storage, node);

        LIST_EACH (waiting, &storage->waiters) {
            struct storage_waiter *waiter = LIST_ELEMENT(waiting, struct storage_waiter, node);

            control_finish(waiter->request, "this process ends");
            free(waiter);
        }
        list_remove(&storage->node);
        free(storage);
    }
}

struct storage *storages_find(struct storages *storages, const char *server)
{
    struct board_storage *row = node_board_storage(storages->child->board, server);
    struct storage *storage;

    if (!row)
        return NULL;
    LIST_EACH (node, &storages->list) {
        storage = LIST_ELEMENT(node, struct storage, node);
        if (storage->row == row)
            return storage;
    }
    storage = memory_new(sizeof(*storage));
    storage->storages = storages;
    strcpy(storage->server, server);
    storage->row = row;
    storage->since_ms = (uint64_t)clock_wall_ms();
    storage->work.ended = storage_on_work_ended;
    storage->keeper.ended = storage_on_keeper_ended;
    storage->keeper.is_well = storage_on_keeper_well;
    list_init(&storage->waiters);
    storage_set_hold(storage, STORAGE_FREE);
    state_init(&storage->state, storage_states,
               storage_has_claim(storage) || !storage_is_attached(row, 0) ? STORAGE_DETACHED
                                                                          : STORAGE_ATTACHED);
    list_append(&storages->list, &storage->node);
    return storage;
}

void storage_wait(struct storage *storage, struct control_request *request,
                  enum storage_state wanted)
{
    struct storage_waiter *waiter = memory_new(sizeof(*waiter));

    waiter->request = request;
    waiter->wanted = wanted;
    list_append(&storage->waiters, &waiter->node);
    if (storage->state.current == STORAGE_ATTACHED || storage->state.current == STORAGE_DETACHED)
        storage_settle(storage);
}

json_t *storage_row(const struct storage *storage)
{
    bool is_missed = storage_is_missed(storage->row, clock_monotonic_ms());

    return json_pack("{s:s, s:s, s:b, s:b, s:s, s:I, s:I}", "server", storage->server, "state",
                     state_name(&storage->state), "is_held", storage->hold != STORAGE_FREE,
                     "is_missed", is_missed, "why", storage->why, "since_ms",
                     (json_int_t)storage->since_ms, "sessions",
                     (json_int_t)storage_sessions(storage));
}
