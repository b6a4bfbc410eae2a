/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers say: results, claims after a reconnect, and their end.
 *
 * A result of an attempt that is not known here (from before our start, or of a worker that was
 * given up) is applied to rows that nobody has in hand; to others only "delivered" is, since
 * that stays true whatever else is under way.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "frontend/queue/scheduler_private.h"

static const char *const fate_names[QUEUE_FATES] = { "pending", "delivered",   "failed",
                                                     "unknown", "unreachable", "gone" };

static void fill_outcome(const struct scheduler *scheduler, struct outcome *outcome, uint64_t row,
                         const struct report_row *report, int64_t now_ms)
{
    int64_t delay_ms = report ? (int64_t)report->not_before_s * 1000 : 0;
    struct span text = report ? span_take(report->text, QUEUE_TEXT_MAX) : SPAN_EMPTY;

    outcome->row = row;
    outcome->fate = report ? report->fate : QUEUE_PENDING;
    if (outcome->fate == QUEUE_UNKNOWN && delay_ms < scheduler->options.rules.unknown_delay_ms)
        delay_ms = scheduler->options.rules.unknown_delay_ms;
    outcome->not_before_ms = delay_ms > 0 ? now_ms + delay_ms : 0;
    if (text.length > 0)
        memcpy(outcome->text, text.data, text.length);
    if (outcome->fate == QUEUE_UNKNOWN)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_outcome_unknown",
                  LOG_INTEGER("message", STORE_ROW_MESSAGE(row)),
                  LOG_INTEGER("recipient", row & (STORE_RECIPIENTS_MAX - 1)),
                  LOG_TEXT("text", outcome->text));
}

static const struct report_row *find_report(const struct report_row *rows, size_t count,
                                            uint64_t row)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].row == row)
            return &rows[i];
    return NULL;
}

/* --- the destination learns ------------------------------------------------------- */

enum { BACKOFF_FIRST_MS = 5000, LIMIT_MAX = 10000 };

static void destination_failed(struct scheduler *scheduler, struct destination *destination)
{
    struct settle_rules rules = scheduler->options.rules;

    destination->limit = 1;
    destination->has_failed = true;
    if (destination->retry_at_ms > scheduler_now(scheduler))
        return;
    if (rules.retry_min_ms > BACKOFF_FIRST_MS)
        rules.retry_min_ms = BACKOFF_FIRST_MS;
    destination->retry_at_ms =
        scheduler_now(scheduler) +
        settle_backoff_ms(&rules, destination->failures++, 750 + (unsigned)random_below(501));
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "queue_destination_unreachable",
              LOG_TEXT("backend", destination->name),
              LOG_INTEGER("failures", destination->failures));
}

static void destination_learn(struct scheduler *scheduler, struct destination *destination,
                              const struct settle *settle)
{
    size_t unreachable = 0;

    for (size_t i = 0; i < settle->count; i++)
        unreachable += settle->outcomes[i].fate == QUEUE_UNREACHABLE;
    if (unreachable == settle->count) {
        destination_failed(scheduler, destination);
        return;
    }
    destination->failures = 0;
    destination->has_failed = false;
    destination->retry_at_ms = 0;
    if (destination->limit < LIMIT_MAX)
        destination->limit++;
}

/* --- results of attempts that we know --------------------------------------------- */

/* The rows that were part of the attempt; others of the job are confirmed or moved meanwhile. */
static size_t count_sent(const struct job *job)
{
    size_t sent = 0;

    for (size_t i = 0; i < job->row_count; i++)
        sent += job->rows[i].is_in_hand && (job->rows[i].recipient || !job->stored);
    return sent;
}

static void settle_job(struct scheduler *scheduler, struct job *job, const struct report_row *rows,
                       size_t count)
{
    struct settle *settle = scheduler_settle(scheduler, job, job->attempt, count_sent(job));
    int64_t now_ms = scheduler_now(scheduler);
    size_t filled = 0;

    for (size_t i = 0; i < job->row_count; i++) {
        const struct job_row *row = &job->rows[i];

        if (row->is_in_hand && (row->recipient || !job->stored))
            fill_outcome(scheduler, &settle->outcomes[filled++], row->row,
                         find_report(rows, count, row->row), now_ms);
    }
    job->state = JOB_SETTLING;
    job->lost_until_ms = 0;
    if (job->destination) {
        job->destination->in_flight--;
        destination_learn(scheduler, job->destination, settle);
    }
    scheduler_submit_settle(scheduler, settle);
}

/* --- results of others ------------------------------------------------------------- */

static bool is_for_one_message(const struct report_row *rows, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (STORE_ROW_MESSAGE(rows[i].row) != STORE_ROW_MESSAGE(rows[0].row))
            return false;
    return count > 0;
}

static void settle_late(struct scheduler *scheduler, uint64_t worker, uint64_t attempt,
                        const struct report_row *rows, size_t count)
{
    struct job *job = job_new(NULL, count);
    struct settle *settle = scheduler_settle(scheduler, job, attempt, count);
    int64_t now_ms = scheduler_now(scheduler);

    settle->count = 0;
    for (size_t i = 0; i < count; i++)
        if (job_add_row(scheduler, job, rows[i].row, SPAN_EMPTY) ||
            rows[i].fate == QUEUE_DELIVERED || rows[i].fate == QUEUE_GONE)
            fill_outcome(scheduler, &settle->outcomes[settle->count++], rows[i].row, &rows[i],
                         now_ms);
    settle->worker = worker;
    job->worker = worker;
    job->state = JOB_SETTLING;
    if (job->in_hand == 0) {
        job_release(scheduler, job);
        settle->job = NULL;
    } else {
        job_set_attempt(scheduler, job, attempt); /* told again, it is known */
    }
    if (settle->count > 0) {
        scheduler_submit_settle(scheduler, settle);
        return;
    }
    scheduler->options.ops->acknowledge(scheduler->options.context, worker, attempt);
    free(settle);
}

void scheduler_report(struct scheduler *scheduler, uint64_t worker, uint64_t attempt,
                      const struct report_row *rows, size_t count)
{
    struct job *job = scheduler_find_attempt(scheduler, attempt);

    for (size_t i = 0; i < count; i++)
        LOG_EVENT(LOG_LEVEL_DEBUG, NULL, "queue_result",
                  LOG_INTEGER("message", STORE_ROW_MESSAGE(rows[i].row)),
                  LOG_TEXT("fate", fate_names[rows[i].fate]), LOG_SPAN("text", rows[i].text));
    if (job)
        job->worker = worker;
    if (job && job->state == JOB_SENT)
        settle_job(scheduler, job, rows, count);
    else if (!job && is_for_one_message(rows, count))
        settle_late(scheduler, worker, attempt, rows, count);
    else if (!job)
        scheduler->options.ops->acknowledge(scheduler->options.context, worker, attempt);
    scheduler_run(scheduler);
}

/* --- claims and losses --------------------------------------------------------------- */

/* A row that only waits in a window gives way to the worker that really has it. */
static void take_from_window(struct scheduler *scheduler, uint64_t row)
{
    struct job_row *found = scheduler_find_row(scheduler, row);

    if (found && found->job->state == JOB_READY)
        job_release_row(scheduler, found);
}

void scheduler_claim(struct scheduler *scheduler, uint64_t worker, uint64_t attempt,
                     const uint64_t *rows, size_t count)
{
    struct job *job = scheduler_find_attempt(scheduler, attempt);

    if (job) {
        job->worker = worker;
        job->lost_until_ms = 0;
        return;
    }
    job = job_new(NULL, count);
    for (size_t i = 0; i < count; i++) {
        take_from_window(scheduler, rows[i]);
        (void)job_add_row(scheduler, job, rows[i], SPAN_EMPTY);
    }
    if (job->in_hand == 0) {
        job_release(scheduler, job);
        return;
    }
    job->state = JOB_SENT;
    job->worker = worker;
    job_set_attempt(scheduler, job, attempt);
}

struct loss {
    struct scheduler *scheduler;
    uint64_t worker;
    int64_t until_ms;
};

static void lose_attempt(struct map_node *node, void *context)
{
    struct job *job = CONTAINER_OF(node, struct job, attempt_node);
    const struct loss *loss = context;

    if (job->worker == loss->worker && job->state == JOB_SENT && job->lost_until_ms == 0)
        job->lost_until_ms = loss->until_ms;
}

void scheduler_worker_lost(struct scheduler *scheduler, uint64_t worker)
{
    struct loss loss = { scheduler, worker, scheduler_now(scheduler) + SCHEDULER_RETURN_MS };

    map_each(&scheduler->attempts, lose_attempt, &loss);
}

static void give_up_attempt(struct map_node *node, void *context)
{
    struct job *job = CONTAINER_OF(node, struct job, attempt_node);
    struct loss *loss = context;
    struct report_row *rows;
    size_t count = 0;

    if (job->lost_until_ms == 0 || job->lost_until_ms > loss->until_ms)
        return;
    rows = memory_new(job->row_count * sizeof(*rows));
    for (size_t i = 0; i < job->row_count; i++)
        rows[count++] = (struct report_row){
            .row = job->rows[i].row,
            .fate = QUEUE_UNKNOWN,
            .text = SPAN_LITERAL("4.3.0 the process that delivered it ended"),
        };
    settle_job(loss->scheduler, job, rows, count);
    free(rows);
}

void scheduler_give_up_lost(struct scheduler *scheduler)
{
    struct loss loss = { .scheduler = scheduler, .until_ms = scheduler_now(scheduler) };

    map_each(&scheduler->attempts, give_up_attempt, &loss);
}
