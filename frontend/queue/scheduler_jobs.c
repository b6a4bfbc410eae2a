/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs and rows in hand: one row is never in two hands. */
#include <assert.h>
#include <stdlib.h>

#include "frontend/queue/scheduler_private.h"

struct job *job_new(struct destination *destination, size_t count)
{
    struct job *job = memory_new(sizeof(*job) + count * sizeof(job->rows[0]));

    job->destination = destination;
    list_init(&job->node);
    list_init(&job->ready);
    if (destination)
        list_append(&destination->jobs, &job->node);
    return job;
}

static struct span key_of(const uint64_t *number)
{
    return span_of((const char *)number, sizeof(*number));
}

bool job_add_row(struct scheduler *scheduler, struct job *job, uint64_t row, struct span address)
{
    struct job_row *added = &job->rows[job->row_count];

    if (scheduler_find_row(scheduler, row))
        return false;
    *added = (struct job_row){ .row = row, .job = job, .address = address, .is_in_hand = true };
    map_insert(&scheduler->rows, &added->node, key_of(&added->row));
    job->row_count++;
    job->in_hand++;
    return true;
}

struct job_row *scheduler_find_row(struct scheduler *scheduler, uint64_t row)
{
    struct map_node *node = map_find(&scheduler->rows, key_of(&row));

    return node ? CONTAINER_OF(node, struct job_row, node) : NULL;
}

struct job *scheduler_find_attempt(struct scheduler *scheduler, uint64_t attempt)
{
    struct map_node *node = map_find(&scheduler->attempts, key_of(&attempt));

    return node ? CONTAINER_OF(node, struct job, attempt_node) : NULL;
}

void job_set_attempt(struct scheduler *scheduler, struct job *job, uint64_t attempt)
{
    assert(job->attempt == 0);
    job->attempt = attempt;
    map_insert(&scheduler->attempts, &job->attempt_node, key_of(&job->attempt));
}

void job_leave_window(struct job *job)
{
    if (list_is_empty(&job->ready))
        return;
    list_remove(&job->ready);
    job->destination->ready_count--;
}

static void job_free(struct scheduler *scheduler, struct job *job)
{
    job_leave_window(job);
    list_remove(&job->node);
    if (job->attempt != 0)
        map_remove(&scheduler->attempts, &job->attempt_node);
    for (size_t i = 0; i < job->row_count; i++)
        free(job->rows[i].recipient);
    if (job->stored) {
        scheduler->window_bytes -= job->stored->memory_bytes;
        store_job_free(job->stored);
    }
    free(job);
}

void job_release_row(struct scheduler *scheduler, struct job_row *row)
{
    struct job *job = row->job;

    assert(row->is_in_hand);
    row->is_in_hand = false;
    map_remove(&scheduler->rows, &row->node);
    if (--job->in_hand == 0)
        job_free(scheduler, job);
}

void job_release(struct scheduler *scheduler, struct job *job)
{
    size_t count = job->row_count;

    if (job->in_hand == 0) {
        job_free(scheduler, job);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (job->rows[i].is_in_hand) {
            bool is_last = job->in_hand == 1;

            job_release_row(scheduler, &job->rows[i]);
            if (is_last)
                return;
        }
}
