/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaving and returning.  The order is on disk before anything is done, so that a node that
 * crashes while it leaves comes back leaving.  Listeners close as for `mailstead drain`
 * (common/session/drain.h): frontends find the node down at once.  Nothing is released before
 * the sessions have ended, each when the store has done with it, and the store has stopped; what
 * does not succeed stops the way there, and the next order goes on.  What the store does not let go
 * of is left to stop_hook, where there is one, and the release counts once more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/node_private.h"
#include "backend/storage_task.h"
#include "common/base/clock.h"
#include "common/base/log.h"

enum { SESSIONS_SLACK_MS = 5000 /* for what is closed at the deadline, and for the store */ };

static const struct state_row node_phases[] = {
    [NODE_PHASE_HERE] = { "here", STATE_BIT(NODE_PHASE_SESSIONS) | STATE_BIT(NODE_PHASE_LEFT) },
    [NODE_PHASE_SESSIONS] = { "sessions",
                              STATE_BIT(NODE_PHASE_STOPPING) | STATE_BIT(NODE_PHASE_STUCK) },
    [NODE_PHASE_STOPPING] = { "stopping",
                              STATE_BIT(NODE_PHASE_RELEASING) | STATE_BIT(NODE_PHASE_STUCK) },
    [NODE_PHASE_RELEASING] = { "releasing",
                               STATE_BIT(NODE_PHASE_LEFT) | STATE_BIT(NODE_PHASE_STUCK) },
    [NODE_PHASE_STUCK] = { "stuck",
                           STATE_BIT(NODE_PHASE_SESSIONS) | STATE_BIT(NODE_PHASE_STARTING) },
    [NODE_PHASE_LEFT] = { "left", STATE_BIT(NODE_PHASE_STARTING) },
    [NODE_PHASE_STARTING] = { "starting",
                              STATE_BIT(NODE_PHASE_HERE) | STATE_BIT(NODE_PHASE_STUCK) },
};

enum node_memory node_leave_memory(const struct node *node)
{
    switch ((enum node_phase)node->phase.current) {
    case NODE_PHASE_HERE:
        return NODE_MEMORY_HERE;
    case NODE_PHASE_LEFT:
        return NODE_MEMORY_LEFT;
    default:
        return NODE_MEMORY_LEAVING;
    }
}

/* --- those who wait ----------------------------------------------------------------------------
 */

void node_tell(struct node *node)
{
    const char *event = state_name(&node->phase);

    LIST_EACH (item, &node->waiters) {
        struct node_waiter *waiter = LIST_ELEMENT(item, struct node_waiter, node);

        control_reply(waiter->request,
                      json_pack("{s:s, s:I}", "event", event, "sessions",
                                (json_int_t)board_sum(node->child->board, BOARD_SESSIONS)));
    }
}

static void node_finish_waiters(struct node *node, const char *error)
{
    const char *state = node_state_names[node_board_state(node->child->board)];

    LIST_EACH (item, &node->waiters) {
        struct node_waiter *waiter = LIST_ELEMENT(item, struct node_waiter, node);

        list_remove(&waiter->node);
        if (!error)
            control_reply(waiter->request, json_pack("{s:s}", "state", state));
        control_finish(waiter->request, error);
        free(waiter);
    }
}

static void node_move(struct node *node, enum node_phase phase)
{
    state_move(&node->phase, phase);
    node_tell(node);
}

static void node_is_stuck(struct node *node, const char *why)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "node_stuck", LOG_TEXT("phase", state_name(&node->phase)),
              LOG_TEXT("why", why));
    snprintf(node->why, sizeof(node->why), "%s", why);
    node_move(node, NODE_PHASE_STUCK);
    node_finish_waiters(node, node->why);
}

/* --- leaving -------------------------------------------------------------------------------------
 */

static void node_has_left(struct node *node)
{
    node_move(node, NODE_PHASE_LEFT);
    (void)node_remember(node); /* without it a restart goes through all of it again */
    atomic_store(&node_board(node)->has_left, 1);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "node_left");
    node_finish_waiters(node, NULL);
}

static void node_release_storages(struct node *node)
{
    node_move(node, NODE_PHASE_RELEASING);
    LIST_EACH (item, &node->storages.list) {
        struct storage *storage = LIST_ELEMENT(item, struct storage, node);

        storage->is_to_go = storage->state.current == STORAGE_FAILED ||
                            (node_has_storages(node) &&
                             (storage->is_wanted || storage->state.current != STORAGE_DETACHED));
        storage->is_wanted = false;
    }
    node_leave_look(node);
}

static void node_run_hook(struct node *node, enum hand_task kind)
{
    const struct config *config = node->child->config;

    storage_job_start(&node->jobs, &node->hook, kind, config->node.name, false,
                      config->storage.hook_timeout_s * UINT64_C(1000));
}

static bool node_has_stop_hook(const struct node *node)
{
    return storage_task_program(&node->child->config->storage, HAND_HOOK_STOP) != NULL;
}

static void node_stop_store(struct node *node)
{
    node_move(node, NODE_PHASE_STOPPING);
    if (node_has_stop_hook(node))
        node_run_hook(node, HAND_HOOK_STOP);
    else
        node_release_storages(node);
}

static void node_look_at_sessions(struct node *node)
{
    int64_t sessions = board_sum(node->child->board, BOARD_SESSIONS);
    bool is_late = clock_monotonic_ms() >= node->sessions_until_ms + SESSIONS_SLACK_MS;
    char why[STORAGE_WHY_SIZE];

    if (sessions <= 0 || (is_late && node_has_stop_hook(node))) {
        node_stop_store(node);
    } else if (is_late) {
        snprintf(why, sizeof(why), "%" PRId64 " sessions did not end", sessions);
        node_is_stuck(node, why);
    }
}

/* False while it is still on its way. */
static bool node_storage_is_gone(struct storage *storage, const struct storage **failed)
{
    enum storage_state state = storage->state.current;

    if (state == STORAGE_ATTACHING || state == STORAGE_RELEASING)
        return false;
    if (storage->is_to_go) {
        storage->is_to_go = false;
        storage_release(storage, SESSIONS_SLACK_MS, false);
        return false;
    }
    if (state == STORAGE_FAILED)
        *failed = storage;
    return true;
}

static void node_look_at_storages(struct node *node)
{
    const struct storage *failed = NULL;
    char why[STORAGE_WHY_SIZE];
    bool all_are_gone = true;

    LIST_EACH (item, &node->storages.list)
        all_are_gone &= node_storage_is_gone(LIST_ELEMENT(item, struct storage, node), &failed);
    if (!all_are_gone)
        return;
    if (failed) {
        snprintf(why, sizeof(why), "the storage of \"%.127s\": %.240s", failed->server,
                 failed->why);
        node_is_stuck(node, why);
    } else {
        node_has_left(node);
    }
}

void node_leave_look(struct node *node)
{
    if (node->phase.current == NODE_PHASE_SESSIONS)
        node_look_at_sessions(node);
    else if (node->phase.current == NODE_PHASE_RELEASING)
        node_look_at_storages(node);
}

static void node_close(struct node *node, uint64_t deadline_ms)
{
    struct board_node *board = node_board(node);

    node->sessions_until_ms = clock_monotonic_ms() + deadline_ms;
    atomic_store(&board->has_left, 0);
    atomic_store(&board->order, NODE_ORDER_LEAVE);
    atomic_store(&node->child->board->drain_deadline_ms, node->sessions_until_ms);
}

void node_leave(struct node *node, uint64_t deadline_s)
{
    enum node_phase phase = node->phase.current;

    if (phase == NODE_PHASE_LEFT) {
        node_finish_waiters(node, NULL);
    } else if (phase == NODE_PHASE_STARTING) {
        node_finish_waiters(node, "it is returning");
    } else if (phase == NODE_PHASE_SESSIONS) {
        node_close(node, deadline_s * 1000);
    } else if (phase == NODE_PHASE_HERE || phase == NODE_PHASE_STUCK) {
        node->why[0] = '\0';
        node_move(node, NODE_PHASE_SESSIONS);
        if (!node_remember(node)) {
            node_is_stuck(node, "state_directory cannot be written: nothing was done");
            return;
        }
        node_close(node, deadline_s * 1000);
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "node_leaving", LOG_INTEGER("deadline_s", deadline_s),
                  LOG_INTEGER("sessions", board_sum(node->child->board, BOARD_SESSIONS)));
    }
}

void node_resume_leaving(struct node *node, enum node_memory memory)
{
    node_close(node, 0);
    atomic_store(&node_board(node)->has_left, memory == NODE_MEMORY_LEFT);
    state_move(&node->phase, memory == NODE_MEMORY_LEFT ? NODE_PHASE_LEFT : NODE_PHASE_SESSIONS);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "node_stays_away", LOG_TEXT("phase", state_name(&node->phase)));
}

/* --- returning
 * ------------------------------------------------------------------------------------ */

static void node_serve(struct node *node)
{
    struct storage *own = node_has_storages(node)
                              ? storages_find(&node->storages, node->child->config->node.name)
                              : NULL;

    if (own)
        own->is_wanted = true;
    node_move(node, NODE_PHASE_HERE);
    (void)node_remember(node); /* logged; after a restart it would leave again */
    atomic_store(&node_board(node)->order, NODE_ORDER_SERVE);
    atomic_store(&node_board(node)->has_left, 0);
    atomic_store(&node->child->board->drain_deadline_ms, 0);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "node_returned");
    if (own)
        storage_attach(own, false, false);
    while (own && !list_is_empty(&node->waiters)) {
        struct node_waiter *waiter = LIST_ELEMENT(node->waiters.next, struct node_waiter, node);

        list_remove(&waiter->node);
        storage_wait(own, waiter->request, STORAGE_ATTACHED);
        free(waiter);
    }
    node_finish_waiters(node, NULL);
}

void node_return(struct node *node)
{
    enum node_phase phase = node->phase.current;

    if (phase == NODE_PHASE_HERE) {
        node_finish_waiters(node, NULL);
    } else if (phase == NODE_PHASE_LEFT || phase == NODE_PHASE_STUCK) {
        node->why[0] = '\0';
        node_move(node, NODE_PHASE_STARTING);
        if (storage_task_program(&node->child->config->storage, HAND_HOOK_START))
            node_run_hook(node, HAND_HOOK_START);
        else
            node_serve(node);
    } else if (phase != NODE_PHASE_STARTING) {
        node_finish_waiters(node, "it is leaving");
    }
}

static void node_on_hook_ended(struct storage_job *job, bool is_good)
{
    struct node *node = CONTAINER_OF(job, struct node, hook);
    char why[STORAGE_WHY_SIZE];

    if (!is_good) {
        snprintf(why, sizeof(why), "%s: %.370s",
                 job->kind == HAND_HOOK_STOP ? "stop_hook" : "start_hook", job->why);
        node_is_stuck(node, why);
    } else if (job->kind == HAND_HOOK_STOP) {
        node_release_storages(node);
    } else {
        node_serve(node);
    }
}

void node_leave_init(struct node *node)
{
    list_init(&node->waiters);
    state_init(&node->phase, node_phases, NODE_PHASE_HERE);
    node->hook.ended = node_on_hook_ended;
}
