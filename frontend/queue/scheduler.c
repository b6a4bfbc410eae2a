/* SPDX-License-Identifier: Apache-2.0 */
/* Destinations, ticks and deposits.  It never waits, and holds nothing that is not in the store. */
#include "frontend/queue/scheduler.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "frontend/queue/scheduler_private.h"

enum {
    LIMIT_FIRST = 4,        /* attempts at once at a destination that was not tried yet */
    EXPIRY_LOOK_MS = 60000, /* between looks for what expires at a backend that is down */
    TRIM_MS = 5000,
    TRIM_PAGES = 512
};

/* --- destinations ------------------------------------------------------------------ */

static void destination_init(struct destination *destination, const char *name)
{
    *destination = (struct destination){ .limit = LIMIT_FIRST,
                                         .next_due_ms = INT64_MAX,
                                         .is_unresolved = !name };
    snprintf(destination->name, sizeof(destination->name), "%s", name ? name : "");
    list_init(&destination->node);
    list_init(&destination->jobs);
    list_init(&destination->ready);
}

struct destination *scheduler_destination(struct scheduler *scheduler, const char *name)
{
    struct map_node *node;
    struct destination *destination;

    if (!name || strlen(name) >= ROUTE_HOST_SIZE)
        return &scheduler->unresolved;
    node = map_find(&scheduler->by_name, span_from_string(name));
    if (node)
        return CONTAINER_OF(node, struct destination, by_name);
    destination = memory_new(sizeof(*destination));
    destination_init(destination, name);
    list_append(&scheduler->destinations, &destination->node);
    map_insert(&scheduler->by_name, &destination->by_name, span_from_string(destination->name));
    return destination;
}

const char *destination_name(const struct destination *destination)
{
    return destination->is_unresolved ? NULL : destination->name;
}

const char *scheduler_job_backend(const struct job *job)
{
    return job->destination->name;
}

void destination_wake(struct destination *destination, int64_t at_ms)
{
    if (at_ms < destination->next_due_ms)
        destination->next_due_ms = at_ms;
}

static bool is_backend(const struct destination *destination)
{
    return !destination->is_unresolved && destination->name[0];
}

static bool destination_is_up(const struct scheduler *scheduler,
                              const struct destination *destination)
{
    return !is_backend(destination) ||
           scheduler->options.ops->is_up(scheduler->options.context, destination->name);
}

bool destination_may_run(const struct scheduler *scheduler, const struct destination *destination)
{
    return destination->retry_at_ms <= scheduler_now(scheduler) &&
           destination_is_up(scheduler, destination);
}

bool destination_may_begin(const struct scheduler *scheduler, const struct destination *destination)
{
    return !is_backend(destination) ||
           scheduler->options.ops->may_begin(scheduler->options.context, destination->name);
}

/* --- ticks ------------------------------------------------------------------------- */

/* What waits for a destination that is down is in the store, and not in memory. */
static void destination_empty(struct scheduler *scheduler, struct destination *destination)
{
    LIST_EACH (node, &destination->ready) {
        struct job *job = LIST_ELEMENT(node, struct job, ready);

        if (!job->is_forced) {
            job_release(scheduler, job);
            destination_wake(destination, scheduler_now(scheduler));
        }
    }
}

static void destination_look(struct scheduler *scheduler, struct destination *destination)
{
    bool is_up = destination_is_up(scheduler, destination);

    if (is_up && destination->was_down) {
        destination->limit = 1;
        destination->failures = 0;
        destination->retry_at_ms = 0;
    }
    destination->was_down = !is_up;
    if (scheduler->has_skipped)
        destination_wake(destination, scheduler_now(scheduler));
    if (destination->retry_at_ms != 0 && destination->retry_at_ms <= scheduler_now(scheduler))
        destination->retry_at_ms = 0;
    if (!destination_may_run(scheduler, destination))
        destination_empty(scheduler, destination);
}

static void look_for_expired(struct scheduler *scheduler)
{
    if (scheduler_now(scheduler) < scheduler->next_expiry_look_ms || scheduler->expiry_ms == 0)
        return;
    scheduler->next_expiry_look_ms = scheduler_now(scheduler) + EXPIRY_LOOK_MS;
    LIST_EACH (node, &scheduler->destinations) {
        struct destination *destination = LIST_ELEMENT(node, struct destination, node);

        if (!destination_may_run(scheduler, destination) && !destination->has_failed)
            scheduler_fetch_expired(scheduler, destination);
    }
}

static bool trim_apply(struct operation *operation, struct store *store)
{
    (void)operation;
    return store_trim(store, TRIM_PAGES);
}

static void trim_done(struct operation *operation, bool is_committed)
{
    (void)is_committed;
    free(operation);
}

static void trim(struct scheduler *scheduler)
{
    struct operation *operation;

    if (scheduler_now(scheduler) < scheduler->next_trim_ms)
        return;
    scheduler->next_trim_ms = scheduler_now(scheduler) + TRIM_MS;
    operation = memory_new(sizeof(*operation));
    operation->apply = trim_apply;
    operation->done = trim_done;
    committer_submit(scheduler->committer, operation);
}

void scheduler_tick(struct scheduler *scheduler)
{
    if (scheduler->is_stopping)
        return;
    scheduler_retry_settles(scheduler);
    scheduler_give_up_lost(scheduler);
    if (scheduler_now(scheduler) < scheduler->start_at_ms)
        return;
    destination_look(scheduler, &scheduler->unresolved);
    LIST_EACH (node, &scheduler->destinations)
        destination_look(scheduler, LIST_ELEMENT(node, struct destination, node));
    scheduler->has_skipped = false;
    scheduler_sweep(scheduler);
    look_for_expired(scheduler);
    scheduler_look_for_overdue(scheduler);
    trim(scheduler);
    scheduler_run(scheduler);
}

void scheduler_suspend_expiry(struct scheduler *scheduler, bool is_suspended)
{
    scheduler->expiry_ms = is_suspended ? 0 : scheduler->options.rules.expiry_ms;
}

void scheduler_each(struct scheduler *scheduler,
                    void (*visit)(void *context, const char *name, size_t in_hand, bool is_waiting),
                    void *context)
{
    visit(context, NULL, scheduler->unresolved.ready_count, false);
    LIST_EACH (node, &scheduler->destinations) {
        const struct destination *destination = LIST_ELEMENT(node, struct destination, node);

        visit(context, destination->name, destination->ready_count + destination->in_flight,
              !destination_may_run(scheduler, destination));
    }
}

/* --- deposits and confirmations --------------------------------------------------------- */

void scheduler_resolve(struct scheduler *scheduler, struct deposit *deposit)
{
    const struct scheduler_options *options = &scheduler->options;

    for (size_t i = 0; i < deposit->count; i++) {
        struct route route;
        const char *reason;

        options->ops->route(options->context, deposit->recipients[i].address, &route);
        deposit->recipients[i].destination = destination_name(
            scheduler_choose(scheduler, &route, deposit->message.may_relay, &reason));
    }
}

void scheduler_deposited(struct scheduler *scheduler, const struct deposit *deposit)
{
    for (size_t i = 0; i < deposit->count; i++) {
        const struct deposit_recipient *recipient = &deposit->recipients[i];

        if (recipient->fate != QUEUE_FAILED && recipient->fate != QUEUE_DELIVERED)
            destination_wake(scheduler_destination(scheduler, recipient->destination),
                             recipient->not_before_ms > deposit->now_ms ? recipient->not_before_ms
                                                                        : deposit->now_ms);
    }
    if (deposit->has_report)
        destination_wake(&scheduler->unresolved, deposit->now_ms);
    scheduler_run(scheduler);
}

void scheduler_confirmed(struct scheduler *scheduler, uint64_t row, bool is_absent)
{
    struct job_row *found = scheduler_find_row(scheduler, row);
    struct settle *settle;

    if (!found)
        return;
    settle = scheduler_settle(scheduler, found->job, 0, 1);
    settle->outcomes[0].row = row;
    settle->outcomes[0].fate = is_absent ? QUEUE_FAILED : QUEUE_PENDING;
    settle->outcomes[0].is_ours = !is_absent;
    snprintf(settle->outcomes[0].text, sizeof(settle->outcomes[0].text), "%s",
             is_absent ? "5.1.1 no such address"
                       : "4.3.0 the directory could not confirm the address");
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "queue_address_unknown",
              LOG_INTEGER("message", STORE_ROW_MESSAGE(row)), LOG_SPAN("recipient", found->address),
              LOG_TEXT("confirmed", is_absent ? "yes" : "no"));
    scheduler_submit_settle(scheduler, settle);
}

/* --- life ------------------------------------------------------------------------------- */

static void note_destination(void *context, const struct store_view *view)
{
    destination_wake(scheduler_destination(context, view->recipient.destination),
                     view->recipient.next_attempt_ms);
}

/* Reports that waited for a relay host can go now that there is one. */
static bool release_reports(struct scheduler *scheduler, struct store *store, int64_t now_ms)
{
    size_t count;

    if (!scheduler->options.has_relay_host)
        return true;
    if (!store_release_for_relay(store, now_ms, &count))
        return false;
    if (count > 0)
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "queue_reports_released", LOG_INTEGER("recipients", count));
    return true;
}

static void look_into_store(struct scheduler *scheduler)
{
    const struct settle_rules *rules = &scheduler->options.rules;
    struct store *store = scheduler->committer->store;
    int64_t now_ms = scheduler_now(scheduler);
    int64_t latest_ms = now_ms + 2 * rules->retry_max_ms + 2 * rules->unknown_delay_ms;
    bool is_good =
        store_begin(store) && release_reports(scheduler, store, now_ms) &&
        store_visit_destinations(store, now_ms, latest_ms, note_destination, scheduler) &&
        store_commit(store);

    if (!is_good) {
        store_abort(store);
        scheduler->has_skipped = true;
    }
    scheduler->committer->counts = store_counts(store);
}

struct scheduler *scheduler_new(const struct scheduler_options *options,
                                struct committer *committer)
{
    struct scheduler *scheduler = memory_new(sizeof(*scheduler));

    scheduler->options = *options;
    scheduler->committer = committer;
    scheduler->expiry_ms = options->rules.expiry_ms;
    list_init(&scheduler->destinations);
    list_init(&scheduler->retries);
    map_init(&scheduler->by_name);
    map_init(&scheduler->rows);
    map_init(&scheduler->attempts);
    destination_init(&scheduler->unresolved, NULL);
    scheduler->last_attempt = random_u64() >> 1;
    look_into_store(scheduler);
    scheduler->next_overdue_ms = scheduler_now(scheduler) + EXPIRY_LOOK_MS;
    if (committer->counts.messages > 0)
        scheduler->start_at_ms = scheduler_now(scheduler) + SCHEDULER_RETURN_MS;
    return scheduler;
}

void scheduler_stop(struct scheduler *scheduler)
{
    scheduler->is_stopping = true;
}

static void free_jobs(struct scheduler *scheduler, struct destination *destination)
{
    while (!list_is_empty(&destination->jobs))
        job_release(scheduler, LIST_ELEMENT(destination->jobs.next, struct job, node));
}

static void free_claim(struct map_node *node, void *context)
{
    job_release(context, CONTAINER_OF(node, struct job, attempt_node));
}

void scheduler_free(struct scheduler *scheduler)
{
    free_jobs(scheduler, &scheduler->unresolved);
    LIST_EACH (node, &scheduler->destinations) {
        struct destination *destination = LIST_ELEMENT(node, struct destination, node);

        free_jobs(scheduler, destination);
        list_remove(node);
        free(destination);
    }
    map_each(&scheduler->attempts, free_claim, scheduler);
    LIST_EACH (node, &scheduler->retries) {
        list_remove(node);
        free(CONTAINER_OF(LIST_ELEMENT(node, struct operation, node), struct settle, operation));
    }
    map_fini(&scheduler->by_name);
    map_fini(&scheduler->rows);
    map_fini(&scheduler->attempts);
    free(scheduler);
}
