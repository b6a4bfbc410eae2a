/* SPDX-License-Identifier: Apache-2.0 */
/* What the administrator's orders need: rows that nobody attempts while they are changed. */
#include <stdlib.h>

#include "common/base/log.h"
#include "frontend/queue/scheduler_private.h"

/* A row that only waits in a window is given up by it; one that is being delivered is not. */
static bool is_free(struct scheduler *scheduler, uint64_t row)
{
    struct job_row *found = scheduler_find_row(scheduler, row);

    if (found && found->job->state == JOB_READY) {
        job_release_row(scheduler, found);
        return true;
    }
    return !found;
}

struct job *scheduler_reserve(struct scheduler *scheduler, const uint64_t *rows, size_t count,
                              bool *is_reserved)
{
    struct job *job = job_new(NULL, count);

    job->state = JOB_SETTLING;
    for (size_t i = 0; i < count; i++)
        is_reserved[i] =
            is_free(scheduler, rows[i]) && job_add_row(scheduler, job, rows[i], SPAN_EMPTY);
    if (job->in_hand > 0)
        return job;
    job_release(scheduler, job);
    return NULL;
}

void scheduler_unreserve(struct scheduler *scheduler, struct job *job)
{
    scheduler->has_skipped = true;
    job_release(scheduler, job);
}

bool scheduler_is_in_hand(struct scheduler *scheduler, uint64_t row)
{
    const struct job_row *found = scheduler_find_row(scheduler, row);

    return found && found->job->state != JOB_READY;
}

static void drop_window(struct scheduler *scheduler, struct destination *destination)
{
    LIST_EACH (node, &destination->ready)
        job_release(scheduler, LIST_ELEMENT(node, struct job, ready));
}

void scheduler_drop_windows(struct scheduler *scheduler)
{
    drop_window(scheduler, &scheduler->unresolved);
    LIST_EACH (node, &scheduler->destinations)
        drop_window(scheduler, LIST_ELEMENT(node, struct destination, node));
}

void scheduler_wake(struct scheduler *scheduler)
{
    int64_t now_ms = scheduler_now(scheduler);

    destination_wake(&scheduler->unresolved, now_ms);
    LIST_EACH (node, &scheduler->destinations) {
        struct destination *destination = LIST_ELEMENT(node, struct destination, node);

        destination->retry_at_ms = 0;
        destination_wake(destination, now_ms);
    }
    scheduler_run(scheduler);
}

void scheduler_wake_destination(struct scheduler *scheduler, const char *name)
{
    destination_wake(scheduler_destination(scheduler, name), scheduler_now(scheduler));
}

struct settle_rules scheduler_rules(const struct scheduler *scheduler)
{
    return scheduler->options.rules;
}
