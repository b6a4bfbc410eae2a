/* SPDX-License-Identifier: Apache-2.0 */
/* What the scheduler has written.  Outcomes of a failed batch are written again, until they are. */
#include <stdlib.h>

#include "common/base/log.h"
#include "frontend/queue/scheduler_private.h"

enum { MOVE_AGAIN_MS = 1000 }; /* before one that could not be written is tried again */

/* --- outcomes ------------------------------------------------------------------- */

static void release_settled(struct scheduler *scheduler, const struct settle *settle)
{
    for (size_t i = 0; i < settle->count; i++) {
        struct job_row *row = scheduler_find_row(scheduler, settle->outcomes[i].row);

        if (row && row->job == settle->job)
            job_release_row(scheduler, row);
    }
}

static void settle_done(struct operation *operation, bool is_committed)
{
    struct settle *settle = CONTAINER_OF(operation, struct settle, operation);
    struct scheduler *scheduler = settle->context;
    const struct job *job = settle->job;

    if (!is_committed) {
        if (scheduler->retries_at_ms <= scheduler_now(scheduler))
            scheduler->retries_at_ms =
                scheduler_now(scheduler) + scheduler_storage_pause_ms(++scheduler->retry_failures);
        list_append(&scheduler->retries, &settle->operation.node);
        return;
    }
    scheduler->retry_failures = 0;
    if (settle->has_report)
        destination_wake(&scheduler->unresolved, settle->now_ms);
    if (job && job->destination)
        destination_wake(job->destination, settle->next_ms);
    else
        scheduler->has_skipped = true;
    if (settle->attempt != 0)
        scheduler->options.ops->acknowledge(scheduler->options.context,
                                            job ? job->worker : settle->worker, settle->attempt);
    release_settled(scheduler, settle);
    free(settle);
    scheduler_run(scheduler);
}

struct settle *scheduler_settle(struct scheduler *scheduler, struct job *job, uint64_t attempt,
                                size_t count)
{
    struct settle *settle = settle_new(&scheduler->options.rules, count);

    settle->operation.done = settle_done;
    settle->context = scheduler;
    settle->job = job;
    settle->attempt = attempt;
    return settle;
}

void scheduler_submit_settle(struct scheduler *scheduler, struct settle *settle)
{
    settle->now_ms = scheduler_now(scheduler);
    settle->rules.expiry_ms = scheduler->expiry_ms;
    committer_submit(scheduler->committer, &settle->operation);
}

void scheduler_retry_settles(struct scheduler *scheduler)
{
    if (scheduler->retries_at_ms > scheduler_now(scheduler))
        return;
    LIST_EACH (node, &scheduler->retries) {
        struct operation *operation = LIST_ELEMENT(node, struct operation, node);

        list_remove(node);
        scheduler_submit_settle(scheduler, CONTAINER_OF(operation, struct settle, operation));
    }
}

/* --- moves ------------------------------------------------------------------------ */

struct move {
    struct operation operation;
    struct scheduler *scheduler;
    struct job_row *row;
    struct destination *from, *to;
    int64_t now_ms;
};

static bool move_apply(struct operation *operation, struct store *store)
{
    struct move *move = CONTAINER_OF(operation, struct move, operation);

    return store_move(store, move->row->row, destination_name(move->to), move->now_ms);
}

static void move_done(struct operation *operation, bool is_committed)
{
    struct move *move = CONTAINER_OF(operation, struct move, operation);
    struct scheduler *scheduler = move->scheduler;

    if (is_committed)
        destination_wake(move->to, move->now_ms);
    else
        destination_wake(move->from, move->now_ms + MOVE_AGAIN_MS);
    job_release_row(scheduler, move->row);
    free(move);
    scheduler_run(scheduler);
}

void scheduler_move_row(struct scheduler *scheduler, struct job_row *row,
                        struct destination *destination)
{
    struct move *move = memory_new(sizeof(*move));

    move->operation.apply = move_apply;
    move->operation.done = move_done;
    move->scheduler = scheduler;
    move->row = row;
    move->from = row->job->destination;
    move->to = destination;
    move->now_ms = scheduler_now(scheduler);
    committer_submit(scheduler->committer, &move->operation);
}
