/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/storage_jobs.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum { KILL_WAIT_MS = 2000 };

static void jobs_send(struct storage_jobs *jobs, const struct buffer *message)
{
    if (jobs->is_open)
        (void)channel_send(&jobs->channel, buffer_span(message), -1);
}

static void job_signal(struct storage_jobs *jobs, const struct storage_job *job, int number)
{
    char memory[16];
    struct buffer out = buffer_over(memory, sizeof(memory));

    wire_put_u8(&out, HAND_SIGNAL);
    wire_put_u32(&out, job->number);
    wire_put_u8(&out, (uint8_t)number);
    jobs_send(jobs, &out);
}

void storage_job_start(struct storage_jobs *jobs, struct storage_job *job, enum hand_task kind,
                       const char *server, bool flag, uint64_t timeout_ms)
{
    char memory[HAND_MESSAGE_MAX];
    struct buffer out = buffer_over(memory, sizeof(memory));

    job->number = ++jobs->last_number;
    job->kind = kind;
    job->is_killed = false;
    job->why[0] = '\0';
    list_init(&job->node);
    list_append(&jobs->running, &job->node);
    storage_job_extend(job, timeout_ms);
    wire_put_u8(&out, HAND_START);
    wire_put_u32(&out, job->number);
    wire_put_u8(&out, (uint8_t)kind);
    wire_put_span(&out, span_from_string(server));
    wire_put_u8(&out, flag);
    jobs_send(jobs, &out);
}

void storage_job_extend(struct storage_job *job, uint64_t timeout_ms)
{
    if (!job->is_killed)
        job->due_ms = clock_monotonic_ms() + timeout_ms;
}

void storage_job_dismiss(struct storage_jobs *jobs, struct storage_job *job, uint64_t timeout_ms)
{
    storage_job_extend(job, timeout_ms);
    job_signal(jobs, job, SIGTERM);
}

static void job_end(struct storage_job *job, bool is_good)
{
    list_remove(&job->node);
    job->number = 0;
    if (!is_good && !job->why[0])
        snprintf(job->why, sizeof(job->why), "it ended without a word");
    job->ended(job, is_good && !job->is_killed);
}

static void job_is_overdue(struct storage_jobs *jobs, struct storage_job *job)
{
    job_signal(jobs, job, SIGKILL);
    if (job->is_killed) { /* for the second time: its file system holds it */
        snprintf(job->why, sizeof(job->why), "it hangs and cannot even be killed");
        job_end(job, false);
        return;
    }
    snprintf(job->why, sizeof(job->why), "it did not answer in time and was killed");
    storage_job_extend(job, KILL_WAIT_MS);
    job->is_killed = true;
}

void storage_jobs_look(struct storage_jobs *jobs)
{
    uint64_t now_ms = clock_monotonic_ms();

    LIST_EACH (node, &jobs->running) {
        struct storage_job *job = LIST_ELEMENT(node, struct storage_job, node);

        if (now_ms >= job->due_ms)
            job_is_overdue(jobs, job);
    }
}

/* --- what the hand says ------------------------------------------------------------------------
 */

static struct storage_job *jobs_find(const struct storage_jobs *jobs, uint32_t number)
{
    LIST_EACH (node, &jobs->running) {
        struct storage_job *job = LIST_ELEMENT(node, struct storage_job, node);

        if (job->number == number)
            return job;
    }
    return NULL;
}

static void job_tells(struct storage_job *job, bool is_well, struct span text)
{
    if (job->is_killed)
        return;
    if (!is_well)
        snprintf(job->why, sizeof(job->why), "%.*s", SPAN_PRINTF(text));
    else if (job->is_well)
        job->is_well(job);
}

static void jobs_on_message(struct channel *channel, struct span message, int fd)
{
    struct storage_jobs *jobs = CONTAINER_OF(channel, struct storage_jobs, channel);
    struct wire_reader reader = wire_reader_over(message);
    uint8_t type = wire_get_u8(&reader);
    struct storage_job *job = jobs_find(jobs, wire_get_u32(&reader));
    bool is_good = wire_get_u8(&reader) != 0;
    struct span text = type == HAND_TELLS ? wire_get_span(&reader) : SPAN_EMPTY;

    if (fd >= 0)
        close(fd);
    if (!job || !wire_reader_is_complete(&reader))
        return; /* it was given up */
    if (type == HAND_TELLS)
        job_tells(job, is_good, text);
    else
        job_end(job, is_good);
}

static void jobs_on_ended(struct channel *channel)
{
    struct storage_jobs *jobs = CONTAINER_OF(channel, struct storage_jobs, channel);

    storage_jobs_stop(jobs);
    jobs->lost(jobs);
}

static void jobs_on_closed(struct channel *channel)
{
    (void)channel; /* it lives as long as the process */
}

void storage_jobs_start(struct storage_jobs *jobs, struct child *child,
                        void (*lost)(struct storage_jobs *jobs))
{
    static const struct channel_events events = { jobs_on_message, jobs_on_ended, jobs_on_closed };

    *jobs = (struct storage_jobs){ .child = child, .lost = lost };
    list_init(&jobs->running);
    if (child->helper_fd < 0)
        return;
    channel_init(&jobs->channel, &child->loop, child->helper_fd, &events);
    channel_put_in_background(&jobs->channel);
    jobs->is_open = true;
}

void storage_jobs_stop(struct storage_jobs *jobs)
{
    if (jobs->is_open)
        channel_close(&jobs->channel);
    jobs->is_open = false;
}
