/* SPDX-License-Identifier: Apache-2.0 */
/*
 * It asks the ledger what is due, and writes there how each try went; nothing else is remembered
 * but what runs.  What cannot be tried now (its peer is in trouble, the directory is in doubt) is
 * due later, in the ledger: no turn looks twice at what it cannot do.
 */
#include "backend/replica/scheduler.h"

#include <stdio.h>
#include <stdlib.h>

#include "backend/replica/peer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/random.h"
#include "common/io/deadline.h"

enum {
    SCHEDULER_LANES_MAX = 64,
    SCHEDULER_BATCH = 32,      /* rows that are read at once */
    SCHEDULER_TURN_ROWS = 500, /* and looked at in one turn of the loop */
    SCHEDULER_REST_MS = 5,     /* between two such turns */
    SCHEDULER_IDLE_MS = 60000,
    SCHEDULER_PAUSE_MS = 1000, /* between looks while it is paused */
    SCHEDULER_DOUBT_MS = 10000,
    SCHEDULER_CONFLICTS = 3, /* in a row, before only a person can help */
    SCHEDULER_LOCK_S = 30    /* that Dovecot waits for another synchronisation of the account */
};

struct job {
    struct map_node map_node; /* in scheduler->running, while it runs */
    struct scheduler *scheduler;
    struct doveadm_lane *lane;
    struct ledger_row row;
    struct peer *peer;
    int64_t began_ms, touched_ms; /* touched since; 0: not */
    bool is_doubted;              /* since */
    bool is_leftover;             /* another node has the account */
};

struct scheduler {
    struct io_loop *loop;
    const struct config *config;
    struct ledger *ledger;
    struct resolver *resolver;
    const struct scheduler_events *events;
    void *context;
    struct doveadm_lane_target target;
    struct job jobs[SCHEDULER_LANES_MAX];
    unsigned job_count;
    struct map running; /* jobs, by account */
    struct list peers;
    struct peer *own;
    struct deadline deadline;
    double background; /* synchronisations that may begin in the background now */
    uint64_t background_ms;
    unsigned orders;
    uint64_t paused_ms; /* until then */
    int64_t lags[SCHEDULER_LAGS];
    uint64_t lag_count, synced, failed;
    unsigned open_parts;
    void (*stopped)(void *context); /* not NULL: it ends */
};

/* --- when ----------------------------------------------------------------------------------- */

static void scheduler_wake_in(struct scheduler *scheduler, uint64_t after_ms)
{
    uint64_t at_ms = io_loop_now_ms(scheduler->loop) + after_ms;

    if (!scheduler->stopped &&
        (scheduler->deadline.at_ms == 0 || scheduler->deadline.at_ms > at_ms))
        deadline_set(&scheduler->deadline, after_ms);
}

void scheduler_wake(struct scheduler *scheduler)
{
    scheduler_wake_in(scheduler, 0);
}

static int64_t scheduler_retry_ms(const struct scheduler *scheduler, unsigned attempts)
{
    const struct replica_config *config = &scheduler->config->replica;
    unsigned doublings = attempts - 1 < 20 ? attempts - 1 : 20;
    uint64_t delay_s = (uint64_t)config->retry_min_s << doublings;

    if (delay_s > config->retry_max_s)
        delay_s = config->retry_max_s;
    return (int64_t)delay_s * 1000;
}

static uint64_t scheduler_timeout_ms(const struct scheduler *scheduler, unsigned timeouts)
{
    const struct replica_config *config = &scheduler->config->replica;
    uint64_t timeout_s = (uint64_t)config->timeout_s << (timeouts < 20 ? timeouts : 20);

    return (timeout_s < config->timeout_max_s ? timeout_s : config->timeout_max_s) * 1000;
}

/* When an account that is clean now is due again, not all in the same moment. */
static int64_t scheduler_sweep_ms(const struct scheduler *scheduler, int64_t now_ms)
{
    uint64_t sweep_ms = scheduler->config->replica.sweep_s * UINT64_C(1000);

    if (sweep_ms == 0)
        return INT64_MAX;
    return now_ms + (int64_t)(sweep_ms - sweep_ms / 8 + random_below((uint32_t)(sweep_ms / 4)));
}

/* Refills what may begin in the background; true when one may. */
static bool scheduler_has_background(struct scheduler *scheduler)
{
    double rate = scheduler->config->replica.background_per_second;
    uint64_t now_ms = io_loop_now_ms(scheduler->loop);

    scheduler->background += (double)(now_ms - scheduler->background_ms) * rate / 1000;
    scheduler->background_ms = now_ms;
    if (scheduler->background > rate / 4 + 1)
        scheduler->background = rate / 4 + 1;
    return scheduler->orders > 0 || scheduler->background >= 1;
}

/* --- how it went ------------------------------------------------------------------------------ */

static void scheduler_count_lag(struct scheduler *scheduler, int64_t lag_ms)
{
    scheduler->lags[scheduler->lag_count++ % SCHEDULER_LAGS] = lag_ms > 0 ? lag_ms : 0;
}

static void job_succeeded(struct job *job, int64_t now_ms)
{
    struct scheduler *scheduler = job->scheduler;
    struct ledger_row *row = &job->row;
    bool was_known = row->clean_ms > 0 && strcmp(row->peer, job->peer->name) == 0;

    LOG_EVENT(LOG_LEVEL_DEBUG, NULL, "replica_synced", LOG_TEXT("account", row->account),
              LOG_TEXT("peer", job->peer->name), LOG_INTEGER("ms", now_ms - job->began_ms),
              LOG_INTEGER("lag_ms", row->dirty_ms > 0 ? now_ms - row->dirty_ms : 0));
    if (row->dirty_ms > 0)
        scheduler_count_lag(scheduler, now_ms - row->dirty_ms);
    scheduler->synced++;
    peer_worked(job->peer);
    snprintf(row->peer, sizeof(row->peer), "%s", job->peer->name);
    row->clean_ms = job->began_ms;
    row->dirty_ms = job->touched_ms;
    row->attempts = row->timeouts = 0;
    row->why[0] = '\0';
    row->reason = job->touched_ms > 0 ? LEDGER_TOUCHED
                  : job->is_doubted   ? LEDGER_UNSURE
                                      : LEDGER_SWEEP;
    row->due_ms = job->touched_ms > 0 ? job->touched_ms + scheduler->config->replica.delay_ms
                  : job->is_doubted   ? now_ms
                                      : scheduler_sweep_ms(scheduler, now_ms);
    ledger_write(scheduler->ledger, row, now_ms);
    if (job->is_leftover && row->reason == LEDGER_SWEEP)
        ledger_set_away(scheduler->ledger, row->account);
    scheduler->events->ended(scheduler->context, row, was_known);
}

/* `is_lasting`: trying soon changes nothing. */
static void job_failed(struct job *job, const char *why, bool is_lasting, int64_t now_ms)
{
    struct scheduler *scheduler = job->scheduler;
    struct ledger_row *row = &job->row;

    scheduler->failed++;
    if (row->attempts == 0 || strcmp(row->why, why) != 0)
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "replica_failed", LOG_TEXT("account", row->account),
                  LOG_TEXT("peer", job->peer->name), LOG_TEXT("why", why));
    if (is_lasting && (strcmp(row->why, why) != 0 || row->attempts + 1 == SCHEDULER_CONFLICTS))
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "replica_account_stuck",
                  LOG_TEXT("account", row->account), LOG_TEXT("peer", job->peer->name),
                  LOG_TEXT("why", why));
    snprintf(row->why, sizeof(row->why), "%s", why);
    row->attempts++;
    row->reason = row->reason == LEDGER_SWEEP ? LEDGER_UNSURE : row->reason;
    if (row->dirty_ms == 0)
        row->dirty_ms = job->touched_ms;
    if (row->dirty_ms > 0)
        row->reason = LEDGER_TOUCHED;
    row->due_ms = now_ms + (is_lasting ? (int64_t)scheduler->config->replica.retry_max_s * 1000
                                       : scheduler_retry_ms(scheduler, row->attempts));
    ledger_write(scheduler->ledger, row, now_ms);
    scheduler->events->ended(scheduler->context, row, true);
}

/* The own Dovecot could not be asked: the account has nothing to do with it. */
static void job_not_begun(struct job *job, const char *why, int64_t now_ms)
{
    struct scheduler *scheduler = job->scheduler;

    job->peer->is_tried = false;
    peer_failed(scheduler->own, io_loop_now_ms(scheduler->loop), why);
    snprintf(job->row.why, sizeof(job->row.why), "own Dovecot: %s", why);
    if (job->row.dirty_ms == 0)
        job->row.dirty_ms = job->touched_ms;
    ledger_write(scheduler->ledger, &job->row, now_ms);
    scheduler->events->ended(scheduler->context, &job->row, true);
}

static bool scheduler_is_temporary(const char *code)
{
    return strcmp(code, "TEMPFAIL") == 0 || strcmp(code, "75") == 0;
}

/*
 * What doveadm's exit codes mean here (sysexits.h, and doveadm-sync(1)).  Code 2, which 2.3 calls
 * UNKNOWN here, is also given when a mailbox changed meanwhile: only what lasts has to be mended.
 */
static const char *scheduler_code_text(const char *code, unsigned attempts, bool *is_lasting)
{
    *is_lasting = true;
    if (strcmp(code, "2") == 0 || strcmp(code, "UNKNOWN") == 0) {
        *is_lasting = attempts + 1 >= SCHEDULER_CONFLICTS;
        return "code 2: some mailbox of both sides has the same name and another origin";
    }
    if (strcmp(code, "NOUSER") == 0 || strcmp(code, "67") == 0)
        return "Dovecot knows no such user";
    if (strcmp(code, "NOPERM") == 0 || strcmp(code, "77") == 0)
        return "Dovecot says that it is not permitted";
    *is_lasting = false;
    if (scheduler_is_temporary(code))
        return "temporary failure: the other Dovecot cannot be reached, or the account is in use";
    return "Dovecot reports a failure; its log says why";
}

static void job_conclude(struct job *job, const struct doveadm_lane_result *result)
{
    struct scheduler *scheduler = job->scheduler;
    uint64_t loop_ms = io_loop_now_ms(scheduler->loop);
    int64_t now_ms = clock_wall_ms();
    bool is_lasting = false;
    const char *why;

    if (result->end != DOVEADM_LANE_UNREACHABLE)
        peer_worked(scheduler->own);
    switch (result->end) {
    case DOVEADM_LANE_OK:
        job_succeeded(job, now_ms);
        break;
    case DOVEADM_LANE_UNREACHABLE:
        job_not_begun(job, result->text, now_ms);
        break;
    case DOVEADM_LANE_CODE:
        why = scheduler_code_text(result->text, job->row.attempts, &is_lasting);
        if (is_lasting || !scheduler_is_temporary(result->text))
            peer_worked(job->peer);
        else
            peer_doubted(job->peer, loop_ms, job->row.account, why);
        job_failed(job, why, is_lasting, now_ms);
        break;
    case DOVEADM_LANE_LOST:
        peer_failed(job->peer, loop_ms, "the synchronisation broke off");
        job_failed(job, "it broke off: the other Dovecot refuses connections, or worse", false,
                   now_ms);
        break;
    case DOVEADM_LANE_TIMEOUT:
        /* Inside TLS, Dovecot 2.3 now and then waits for what it has read already. */
        peer_doubted(job->peer, loop_ms, job->row.account, "synchronisations took too long");
        job->row.timeouts++;
        job_failed(job, "it took too long", false, now_ms);
        break;
    }
}

static void job_done(struct doveadm_lane *lane, const struct doveadm_lane_result *result)
{
    struct job *job = doveadm_lane_context(lane);

    map_remove(&job->scheduler->running, &job->map_node);
    job_conclude(job, result);
    scheduler_wake(job->scheduler);
}

/* --- what is begun -----------------------------------------------------------------------------
 */

static struct job *scheduler_free_job(struct scheduler *scheduler)
{
    for (unsigned i = 0; i < scheduler->job_count; i++)
        if (!doveadm_lane_is_busy(scheduler->jobs[i].lane))
            return &scheduler->jobs[i];
    return NULL;
}

static void job_begin(struct job *job, const struct ledger_row *row, struct peer *peer,
                      bool is_leftover)
{
    struct scheduler *scheduler = job->scheduler;
    const struct backend_config *backend = peer->backend;
    bool is_ipv6 = strchr(backend->address, ':') != NULL;
    char lock[8], place[ENDPOINT_TEXT_SIZE];
    struct doveadm_command command;

    snprintf(lock, sizeof(lock), "%d", SCHEDULER_LOCK_S);
    snprintf(place, sizeof(place), "%s:%s%s%s:%u", scheduler->config->replica.tls ? "tcps" : "tcp",
             is_ipv6 ? "[" : "", backend->address, is_ipv6 ? "]" : "", backend->doveadm_port);
    job->row = *row;
    job->peer = peer;
    job->began_ms = clock_wall_ms();
    job->touched_ms = 0;
    job->is_doubted = false;
    job->is_leftover = is_leftover;
    command =
        (struct doveadm_command){ .words = { SPAN_EMPTY, span_from_string(job->row.account),
                                             SPAN_LITERAL("sync"), SPAN_LITERAL("-l"),
                                             span_from_string(lock), span_from_string(place) },
                                  .count = 6 };
    map_insert(&scheduler->running, &job->map_node, span_from_string(job->row.account));
    doveadm_lane_run(job->lane, &command, scheduler_timeout_ms(scheduler, job->row.timeouts),
                     job_done);
}

static void scheduler_defer(struct scheduler *scheduler, struct ledger_row *row, uint64_t after_ms)
{
    row->due_ms = clock_wall_ms() + (int64_t)after_ms + random_below(250);
    ledger_write(scheduler->ledger, row, 0);
}

/* The account has no peer that the configuration knows. */
static void scheduler_refuse(struct scheduler *scheduler, struct ledger_row *row, const char *peer)
{
    char why[LEDGER_WHY_SIZE];

    snprintf(why, sizeof(why), "cluster.backend has no \"%.60s\"", peer);
    if (strcmp(row->why, why) != 0)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "replica_account_stuck",
                  LOG_TEXT("account", row->account), LOG_TEXT("peer", peer), LOG_TEXT("why", why));
    memcpy(row->why, why, sizeof(row->why));
    row->attempts++;
    row->due_ms = clock_wall_ms() + scheduler->config->replica.retry_max_s * INT64_C(1000);
    ledger_write(scheduler->ledger, row, clock_wall_ms());
    scheduler->events->ended(scheduler->context, row, true);
}

/* Who has the copy of an account that `route` found; NULL: nothing is to be done. */
static const char *scheduler_peer_of(const struct scheduler *scheduler,
                                     const struct ledger_row *row, const struct route *route)
{
    const char *own = scheduler->config->node.name;

    if (strcmp(route->host, own) != 0)
        return row->reason == LEDGER_TOUCHED ? route->host : NULL;
    if (route->old_host[0] && strcmp(route->old_host, own) != 0)
        return route->old_host;
    return scheduler->config->replica.to;
}

/* Begins it, or sees to it that it is not looked at again soon. */
static void scheduler_try(struct scheduler *scheduler, struct job *job, struct ledger_row *row)
{
    uint64_t now_ms = io_loop_now_ms(scheduler->loop), wait_ms;
    struct route route;
    const char *name;
    struct peer *peer;

    resolver_look_up(scheduler->resolver, ROUTE_KEY_ADDRESS, row->account, &route);
    if (route.outcome == ROUTE_UNKNOWN || route.outcome == ROUTE_NOT_OURS) {
        ledger_remove(scheduler->ledger, row->account);
        return;
    }
    if (route.outcome != ROUTE_FOUND) {
        scheduler_defer(scheduler, row, SCHEDULER_DOUBT_MS);
        return;
    }
    name = scheduler_peer_of(scheduler, row, &route);
    if (!name) {
        ledger_set_away(scheduler->ledger, row->account);
        return;
    }
    peer = peer_find(&scheduler->peers, scheduler->config, name);
    if (!peer->backend)
        scheduler_refuse(scheduler, row, name);
    else if (!peer_may_use(scheduler->own, now_ms, &wait_ms))
        scheduler_defer(scheduler, row, wait_ms);
    else if (!peer_may_use(peer, now_ms, &wait_ms)) {
        scheduler->own->is_tried = false;
        scheduler_defer(scheduler, row, wait_ms);
    } else
        job_begin(job, row, peer, strcmp(route.host, scheduler->config->node.name) != 0);
}

struct batch {
    const struct scheduler *scheduler;
    struct ledger_row rows[SCHEDULER_BATCH];
    unsigned count;
};

static bool batch_add(void *context, const struct ledger_row *row)
{
    struct batch *batch = context;

    if (!map_find(&batch->scheduler->running, span_from_string(row->account)))
        batch->rows[batch->count++] = *row;
    return batch->count < SCHEDULER_BATCH;
}

/* Tries what is due for `reason`; false when nothing more can be begun now. */
static bool scheduler_pump(struct scheduler *scheduler, enum ledger_reason reason, unsigned *rows)
{
    struct batch *batch = memory_new(sizeof(*batch));
    bool has_room = true;

    do {
        batch->scheduler = scheduler;
        batch->count = 0;
        ledger_each_due(scheduler->ledger, reason, clock_wall_ms(),
                        SCHEDULER_BATCH + scheduler->job_count, batch_add, batch);
        for (unsigned i = 0; i < batch->count && has_room; i++) {
            struct job *job = scheduler_free_job(scheduler);
            bool is_background = reason != LEDGER_TOUCHED;

            has_room = job && (!is_background || scheduler_has_background(scheduler));
            if (!has_room)
                break;
            scheduler_try(scheduler, job, &batch->rows[i]);
            if (is_background && doveadm_lane_is_busy(job->lane))
                scheduler->background -= 1;
            *rows += 1;
        }
    } while (has_room && batch->count > 0 && *rows < SCHEDULER_TURN_ROWS);
    free(batch);
    return has_room;
}

/* Sleeps until something is due. */
static void scheduler_sleep(struct scheduler *scheduler)
{
    int64_t now_ms = clock_wall_ms(), next_ms = now_ms + SCHEDULER_IDLE_MS;

    for (int reason = LEDGER_TOUCHED; reason <= LEDGER_SWEEP; reason++) {
        int64_t due_ms = ledger_next_due_ms(scheduler->ledger, (enum ledger_reason)reason);

        if (due_ms < next_ms)
            next_ms = due_ms;
    }
    /* What is due now waits for a lane, whose end wakes us, or for its share of the background. */
    scheduler_wake_in(scheduler, next_ms > now_ms + 100 ? (uint64_t)(next_ms - now_ms) : 100);
}

static void scheduler_expired(struct deadline *deadline)
{
    struct scheduler *scheduler = CONTAINER_OF(deadline, struct scheduler, deadline);
    unsigned rows = 0;

    if (scheduler->stopped)
        return;
    if (io_loop_now_ms(scheduler->loop) < scheduler->paused_ms) {
        scheduler_wake_in(scheduler, SCHEDULER_PAUSE_MS);
        return;
    }
    for (int reason = LEDGER_TOUCHED; reason <= LEDGER_SWEEP; reason++)
        if (!scheduler_pump(scheduler, (enum ledger_reason)reason, &rows) ||
            rows >= SCHEDULER_TURN_ROWS)
            break;
    if (rows >= SCHEDULER_TURN_ROWS)
        scheduler_wake_in(scheduler, SCHEDULER_REST_MS);
    else
        scheduler_sleep(scheduler);
}

/* --- what is told ---------------------------------------------------------------------------- */

void scheduler_touch(struct scheduler *scheduler, const char *account)
{
    struct map_node *node = map_find(&scheduler->running, span_from_string(account));
    int64_t now_ms = clock_wall_ms();

    ledger_touch(scheduler->ledger, account, now_ms, now_ms + scheduler->config->replica.delay_ms);
    if (node) {
        struct job *job = CONTAINER_OF(node, struct job, map_node);

        if (job->touched_ms == 0)
            job->touched_ms = now_ms;
        return;
    }
    scheduler_wake_in(scheduler, scheduler->config->replica.delay_ms + 1);
}

void scheduler_touch_now(struct scheduler *scheduler, const char *account)
{
    struct map_node *node = map_find(&scheduler->running, span_from_string(account));

    ledger_touch_now(scheduler->ledger, account);
    if (node) /* what runs may have begun before the change that is meant */
        CONTAINER_OF(node, struct job, map_node)->touched_ms = clock_wall_ms();
}

void scheduler_doubt_all(struct scheduler *scheduler, const char *why)
{
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "replica_unsure", LOG_TEXT("why", why));
    ledger_doubt_all(scheduler->ledger, clock_wall_ms());
    for (unsigned i = 0; i < scheduler->job_count; i++)
        scheduler->jobs[i].is_doubted = true;
    scheduler_wake(scheduler);
}

void scheduler_pause(struct scheduler *scheduler, uint64_t ms)
{
    scheduler->paused_ms = io_loop_now_ms(scheduler->loop) + ms;
}

void scheduler_hurry(struct scheduler *scheduler)
{
    LIST_EACH (node, &scheduler->peers)
        peer_hurry(LIST_ELEMENT(node, struct peer, node));
    peer_hurry(scheduler->own);
    scheduler_wake(scheduler);
}

void scheduler_begin_order(struct scheduler *scheduler)
{
    scheduler->orders++;
}

void scheduler_end_order(struct scheduler *scheduler)
{
    scheduler->orders--;
}

static int compare_lags(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

void scheduler_lags(const struct scheduler *scheduler, struct scheduler_lags *lags)
{
    int64_t sorted[SCHEDULER_LAGS];
    size_t count =
        scheduler->lag_count < SCHEDULER_LAGS ? (size_t)scheduler->lag_count : SCHEDULER_LAGS;

    *lags = (struct scheduler_lags){ .count = count,
                                     .synced = scheduler->synced,
                                     .failed = scheduler->failed };
    if (count == 0)
        return;
    memcpy(sorted, scheduler->lags, count * sizeof(sorted[0]));
    qsort(sorted, count, sizeof(sorted[0]), compare_lags);
    lags->median_ms = sorted[count / 2];
    lags->p99_ms = sorted[count * 99 / 100];
}

unsigned scheduler_running(const struct scheduler *scheduler)
{
    return (unsigned)scheduler->running.count;
}

const char *scheduler_trouble(const struct scheduler *scheduler)
{
    if (scheduler->own->failures > 0)
        return "";
    LIST_EACH (node, &scheduler->peers) {
        const struct peer *peer = LIST_ELEMENT(node, struct peer, node);

        if (peer->failures > 0)
            return peer->name;
    }
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

struct scheduler *scheduler_start(struct io_loop *loop, const struct config *config,
                                  struct ledger *ledger, struct resolver *resolver,
                                  const struct scheduler_events *events, void *context)
{
    struct scheduler *scheduler = memory_new(sizeof(*scheduler));

    if (!doveadm_lane_target_init(&scheduler->target, config, NULL)) {
        free(scheduler);
        return NULL;
    }
    scheduler->target.is_used_again = true;
    scheduler->loop = loop;
    scheduler->config = config;
    scheduler->ledger = ledger;
    scheduler->resolver = resolver;
    scheduler->events = events;
    scheduler->context = context;
    scheduler->background_ms = io_loop_now_ms(loop);
    map_init(&scheduler->running);
    list_init(&scheduler->peers);
    scheduler->own = memory_new(sizeof(*scheduler->own));
    snprintf(scheduler->own->name, sizeof(scheduler->own->name), "own Dovecot");
    scheduler->job_count = config->replica.at_a_time;
    for (unsigned i = 0; i < scheduler->job_count; i++) {
        scheduler->jobs[i].scheduler = scheduler;
        scheduler->jobs[i].lane = doveadm_lane_start(loop, &scheduler->target, &scheduler->jobs[i]);
    }
    deadline_init(&scheduler->deadline, loop, scheduler_expired);
    deadline_set(&scheduler->deadline, 0);
    return scheduler;
}

static void scheduler_part_stopped(struct scheduler *scheduler)
{
    if (--scheduler->open_parts > 0)
        return;
    scheduler->stopped(scheduler->context);
    map_fini(&scheduler->running);
    peer_free_all(&scheduler->peers);
    SSL_CTX_free(scheduler->target.tls);
    free(scheduler->own);
    free(scheduler);
}

static void scheduler_lane_stopped(void *context)
{
    scheduler_part_stopped(((struct job *)context)->scheduler);
}

static void scheduler_deadline_closed(struct deadline *deadline)
{
    scheduler_part_stopped(CONTAINER_OF(deadline, struct scheduler, deadline));
}

void scheduler_stop(struct scheduler *scheduler, void (*stopped)(void *context))
{
    scheduler->stopped = stopped;
    scheduler->open_parts = scheduler->job_count + 1;
    for (unsigned i = 0; i < scheduler->job_count; i++)
        doveadm_lane_stop(scheduler->jobs[i].lane, scheduler_lane_stopped);
    deadline_close(&scheduler->deadline, scheduler_deadline_closed);
}
