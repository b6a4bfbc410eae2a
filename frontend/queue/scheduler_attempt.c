/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is, and what of a job is attempted now: each recipient is resolved again first. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "frontend/queue/scheduler_private.h"

struct destination *scheduler_choose(struct scheduler *scheduler, const struct route *route,
                                     bool may_relay, const char **reason)
{
    const struct scheduler_options *options = &scheduler->options;

    *reason = route->reason ? route->reason : "its address cannot be resolved now";
    if (route->outcome == ROUTE_FOUND) {
        if (options->ops->is_known(options->context, route->host))
            return scheduler_destination(scheduler, route->host);
        *reason = "hostServer names no backend of the configuration";
    } else if (route->outcome == ROUTE_RELAY || (route->outcome == ROUTE_NOT_OURS && may_relay)) {
        if (options->has_relay_host)
            return scheduler_destination(scheduler, "");
        *reason = "no relay host is configured";
    } else if (route->outcome == ROUTE_NOT_OURS) {
        *reason = "its domain is not one of the cluster's any more";
    }
    return &scheduler->unresolved;
}

/* --- preparing an attempt ------------------------------------------------------------ */

/* What a look at one row led to. */
struct prepared {
    struct settle *settle; /* for rows that wait again; NULL while there are none */
    size_t sent;           /* rows that are part of the attempt */
};

static void prepare_deferral(struct scheduler *scheduler, struct job *job,
                             const struct job_row *row, const struct route *route,
                             const char *reason, struct prepared *prepared)
{
    const struct store_message *message = &job->stored->content;
    struct outcome *outcome;

    if (!prepared->settle) {
        prepared->settle = scheduler_settle(scheduler, job, 0, job->row_count);
        prepared->settle->count = 0;
    }
    outcome = &prepared->settle->outcomes[prepared->settle->count++];
    outcome->row = row->row;
    outcome->fate = QUEUE_PENDING;
    outcome->is_ours = route->outcome == ROUTE_UNAVAILABLE;
    /* A report for which there is no way out: the sender's domain is not ours to route. */
    outcome->is_held = route->outcome == ROUTE_NOT_OURS && message->reverse_path.length == 0 &&
                       !scheduler->options.has_relay_host;
    snprintf(outcome->text, sizeof(outcome->text), "4.4.0 %s", reason);
    LOG_EVENT(outcome->is_held ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, NULL,
              outcome->is_held ? "queue_report_held" : "queue_not_routed",
              LOG_INTEGER("message", STORE_ROW_MESSAGE(row->row)),
              LOG_SPAN("recipient", row->address), LOG_TEXT("reason", reason));
}

static void prepare_row(struct scheduler *scheduler, struct job *job, struct job_row *row,
                        struct prepared *prepared)
{
    const struct scheduler_options *options = &scheduler->options;
    struct destination *target;
    const char *reason;
    struct route route;

    options->ops->route(options->context, row->address, &route);
    if (route.outcome == ROUTE_UNKNOWN) {
        options->ops->confirm(options->context, row->row, row->address);
        return;
    }
    target = scheduler_choose(scheduler, &route, job->stored->content.may_relay, &reason);
    if (target->is_unresolved) {
        prepare_deferral(scheduler, job, row, &route, reason, prepared);
    } else if (target != job->destination) {
        scheduler_move_row(scheduler, row, target);
    } else {
        row->recipient =
            memory_new(ROUTE_ADDRESS_SIZE > row->address.length ? ROUTE_ADDRESS_SIZE
                                                                : row->address.length + 1);
        if (route.outcome == ROUTE_FOUND)
            snprintf(row->recipient, ROUTE_ADDRESS_SIZE, "%s", route.recipient);
        else
            memcpy(row->recipient, row->address.data, row->address.length);
        prepared->sent++;
    }
}

/* Resolves the job's rows again; true when some are to be attempted here. */
static bool job_prepare(struct scheduler *scheduler, struct job *job)
{
    struct prepared prepared = { NULL, 0 };
    size_t row_count = job->row_count;

    job->state = JOB_SETTLING;
    for (size_t i = 0; i < row_count; i++)
        if (job->rows[i].is_in_hand)
            prepare_row(scheduler, job, &job->rows[i], &prepared);
    if (prepared.settle)
        scheduler_submit_settle(scheduler, prepared.settle);
    return prepared.sent > 0;
}

/* No worker could be given it after all: a failure of our own, so it waits like after any other. */
static void job_return(struct scheduler *scheduler, struct job *job)
{
    struct settle *settle = scheduler_settle(scheduler, job, 0, job->row_count);

    settle->count = 0;
    for (size_t i = 0; i < job->row_count; i++) {
        struct outcome *outcome = &settle->outcomes[settle->count];

        if (!job->rows[i].is_in_hand || !job->rows[i].recipient)
            continue;
        *outcome = (struct outcome){ .row = job->rows[i].row, .is_ours = true };
        snprintf(outcome->text, sizeof(outcome->text), "4.3.0 it could not be given to a worker");
        settle->count++;
    }
    scheduler_submit_settle(scheduler, settle);
}

static void job_start(struct scheduler *scheduler, struct job *job)
{
    const struct scheduler_options *options = &scheduler->options;

    job_leave_window(job);
    if (!job_prepare(scheduler, job))
        return;
    job_set_attempt(scheduler, job, ++scheduler->last_attempt);
    if (!options->ops->deliver(options->context, job)) {
        job_return(scheduler, job);
        return;
    }
    job->state = JOB_SENT;
    job->destination->in_flight++;
}

/* --- turns ------------------------------------------------------------------------- */

static struct job *destination_first(const struct destination *destination)
{
    return list_is_empty(&destination->ready)
               ? NULL
               : LIST_ELEMENT(destination->ready.next, struct job, ready);
}

static bool destination_has_turn(const struct scheduler *scheduler,
                                 const struct destination *destination, size_t free_slots)
{
    const struct job *job = destination_first(destination);

    if (!job || destination->in_flight >= destination->limit ||
        (destination->in_flight > 0 && destination->in_flight >= free_slots))
        return false;
    return job->is_forced || (destination_may_run(scheduler, destination) &&
                              destination_may_begin(scheduler, destination));
}

static struct destination *next_turn(struct scheduler *scheduler, size_t free_slots)
{
    LIST_EACH (node, &scheduler->destinations) {
        struct destination *destination = LIST_ELEMENT(node, struct destination, node);

        if (destination_has_turn(scheduler, destination, free_slots)) {
            list_remove(node);
            list_append(&scheduler->destinations, node);
            return destination;
        }
    }
    return NULL;
}

static void attempt_all(struct scheduler *scheduler)
{
    const struct scheduler_options *options = &scheduler->options;
    struct destination *destination;
    size_t free_slots;

    while ((free_slots = options->ops->free_slots(options->context)) > 0 &&
           (destination = next_turn(scheduler, free_slots)) != NULL)
        job_start(scheduler, destination_first(destination));
}

/* Recipients without a destination need no slot: they are only resolved. */
static void resolve_all(struct scheduler *scheduler)
{
    struct job *job;

    while ((job = destination_first(&scheduler->unresolved)) != NULL)
        job_start(scheduler, job);
}

void scheduler_run(struct scheduler *scheduler)
{
    if (scheduler->is_stopping || scheduler_now(scheduler) < scheduler->start_at_ms)
        return;
    resolve_all(scheduler);
    attempt_all(scheduler);
    scheduler_fetch(scheduler, &scheduler->unresolved);
    LIST_EACH (node, &scheduler->destinations)
        scheduler_fetch(scheduler, LIST_ELEMENT(node, struct destination, node));
}
