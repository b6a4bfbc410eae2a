/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a destination's window from the store. */
#include <stdlib.h>

#include "frontend/queue/scheduler_private.h"

enum {
    WINDOW_JOBS_LOW = 128, /* below it the window is filled again: a commit's time is bridged */
    FETCH_JOBS = 256,
    FETCH_BYTES = 1 << 20,
    WINDOW_BYTES_MAX = 48 << 20, /* of all destinations; a message that is larger may pass it */
    EXPIRED_JOBS = 2
};

struct fetch {
    struct operation operation;
    struct scheduler *scheduler;
    struct destination *destination;
    struct store_due due;
    uint64_t *skip_rows;       /* owned */
    int64_t arrived_before_ms; /* INT64_MAX: all */
    struct list jobs;
    int64_t next_due_ms;
};

static void free_stored(struct list *jobs)
{
    LIST_EACH (node, jobs) {
        list_remove(node);
        store_job_free(LIST_ELEMENT(node, struct store_job, node));
    }
}

static bool fetch_apply(struct operation *operation, struct store *store)
{
    struct fetch *fetch = CONTAINER_OF(operation, struct fetch, operation);

    free_stored(&fetch->jobs); /* of a run in vain */
    if (fetch->arrived_before_ms != INT64_MAX &&
        !store_find_arrival(store, fetch->arrived_before_ms, &fetch->due.message_before))
        return false;
    return store_fetch_due(store, &fetch->due, &fetch->jobs, &fetch->next_due_ms);
}

/* Rows that came into other hands meanwhile are left out; they are looked at again later. */
static void take_job(struct fetch *fetch, struct store_job *stored)
{
    struct scheduler *scheduler = fetch->scheduler;
    struct destination *destination = fetch->destination;
    struct job *job = job_new(destination, stored->row_count);

    job->stored = stored;
    job->is_forced = fetch->arrived_before_ms != INT64_MAX;
    scheduler->window_bytes += stored->memory_bytes;
    list_append(&destination->ready, &job->ready);
    destination->ready_count++;
    for (size_t i = 0; i < stored->row_count; i++)
        if (job_add_row(scheduler, job, stored->rows[i].row, stored->rows[i].address))
            job->rows[job->row_count - 1].stored = &stored->rows[i];
        else
            scheduler->has_skipped = true;
    if (job->in_hand == 0)
        job_release(scheduler, job);
}

static void fetch_done(struct operation *operation, bool is_committed)
{
    struct fetch *fetch = CONTAINER_OF(operation, struct fetch, operation);
    struct scheduler *scheduler = fetch->scheduler;
    struct destination *destination = fetch->destination;

    destination->is_fetching = false;
    scheduler->window_bytes -= FETCH_BYTES;
    if (is_committed && !scheduler->is_stopping) {
        LIST_EACH (node, &fetch->jobs) {
            list_remove(node);
            take_job(fetch, LIST_ELEMENT(node, struct store_job, node));
        }
        /* A look for what expires says nothing about the rest. */
        destination_wake(destination, fetch->arrived_before_ms == INT64_MAX ? fetch->next_due_ms
                                                                            : fetch->due.now_ms);
        destination->read_failures = 0;
    } else {
        destination_wake(destination, fetch->due.now_ms);
        destination->read_at_ms =
            scheduler_now(scheduler) + scheduler_storage_pause_ms(++destination->read_failures);
    }
    free_stored(&fetch->jobs);
    free(fetch->skip_rows);
    free(fetch);
    scheduler_run(scheduler);
}

/* What is in hand already is not read again. */
static void fetch_skip(struct fetch *fetch)
{
    size_t count = 0;

    LIST_EACH (node, &fetch->destination->jobs)
        count += LIST_ELEMENT(node, struct job, node)->in_hand;
    if (count == 0)
        return;
    fetch->skip_rows = memory_new(count * sizeof(*fetch->skip_rows));
    LIST_EACH (node, &fetch->destination->jobs) {
        struct job *job = LIST_ELEMENT(node, struct job, node);

        for (size_t i = 0; i < job->row_count; i++)
            if (job->rows[i].is_in_hand)
                fetch->skip_rows[fetch->due.skip_count++] = job->rows[i].row;
    }
    qsort(fetch->skip_rows, count, sizeof(*fetch->skip_rows), store_compare_ids);
    fetch->due.skip_rows = fetch->skip_rows;
}

static void fetch_start(struct scheduler *scheduler, struct destination *destination,
                        size_t jobs_max, int64_t arrived_before_ms)
{
    struct fetch *fetch = memory_new(sizeof(*fetch));

    fetch->operation.apply = fetch_apply;
    fetch->operation.done = fetch_done;
    fetch->scheduler = scheduler;
    fetch->destination = destination;
    fetch->arrived_before_ms = arrived_before_ms;
    list_init(&fetch->jobs);
    fetch->due = (struct store_due){
        .destination = destination_name(destination),
        .now_ms = scheduler_now(scheduler),
        .message_before = UINT64_MAX,
        .jobs_max = jobs_max,
        .rows_max = QUEUE_DELIVERY_RECIPIENTS_MAX,
        .bytes_max = FETCH_BYTES,
    };
    fetch_skip(fetch);
    destination->is_fetching = true;
    scheduler->window_bytes += FETCH_BYTES; /* what it may bring */
    destination->next_due_ms = INT64_MAX;
    committer_submit(scheduler->committer, &fetch->operation);
}

void scheduler_fetch(struct scheduler *scheduler, struct destination *destination)
{
    if (!destination->is_fetching && destination->ready_count < WINDOW_JOBS_LOW &&
        destination->next_due_ms <= scheduler_now(scheduler) &&
        destination->read_at_ms <= scheduler_now(scheduler) &&
        scheduler->window_bytes < WINDOW_BYTES_MAX && destination_may_run(scheduler, destination))
        fetch_start(scheduler, destination, FETCH_JOBS, INT64_MAX);
}

void scheduler_fetch_expired(struct scheduler *scheduler, struct destination *destination)
{
    if (!destination->is_fetching && destination->ready_count == 0 && destination->in_flight == 0 &&
        destination->next_due_ms <= scheduler_now(scheduler) &&
        destination->read_at_ms <= scheduler_now(scheduler))
        fetch_start(scheduler, destination, EXPIRED_JOBS,
                    scheduler_now(scheduler) - scheduler->options.rules.expiry_ms);
}
