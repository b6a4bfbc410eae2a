/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After the mirror has changed, all waiting recipients are resolved again, a slice at a time, so
 * that mail for a backend that is down moves to the sibling that took its accounts over.
 */
#include <stdio.h>
#include <stdlib.h>

#include "frontend/queue/scheduler_private.h"

enum {
    SWEEP_SLICE = 500,      /* recipients: a few milliseconds of the loop */
    SWEEP_INTERVAL_MS = 500 /* between two, at least; twice their duration for long ones */
};

struct sweep_row {
    uint64_t row;
    bool is_unresolved;
    char destination[ROUTE_HOST_SIZE];
    char address[ROUTE_ADDRESS_SIZE];
    struct destination *target; /* NULL: stays */
};

struct sweep {
    struct operation operation;
    struct scheduler *scheduler;
    uint64_t start, cursor; /* rows: where the slice starts, and where it ended */
    int64_t started_ms, now_ms;
    bool is_moving;        /* the operation writes what the last one read */
    size_t visited, count; /* in this slice; an address that cannot be one is not counted */
    struct sweep_row rows[SWEEP_SLICE];
};

static void sweep_collect(void *context, const struct store_view *view)
{
    struct sweep *sweep = context;
    struct sweep_row *row = &sweep->rows[sweep->count];
    const char *destination = view->recipient.destination;

    sweep->cursor = view->row;
    sweep->visited++;
    row->row = view->row;
    row->target = NULL;
    row->is_unresolved = !destination;
    snprintf(row->destination, sizeof(row->destination), "%s", destination ? destination : "");
    if (span_copy_string(view->recipient.address, row->address, sizeof(row->address)))
        sweep->count++;
}

static bool sweep_apply(struct operation *operation, struct store *store)
{
    struct sweep *sweep = CONTAINER_OF(operation, struct sweep, operation);
    bool is_good = true;

    if (sweep->is_moving) {
        for (size_t i = 0; i < sweep->count && is_good; i++)
            if (sweep->rows[i].target)
                is_good = store_move(store, sweep->rows[i].row,
                                     destination_name(sweep->rows[i].target), sweep->now_ms);
        return is_good;
    }
    sweep->count = sweep->visited = 0;
    sweep->cursor = sweep->start;
    return store_scan(store, sweep->start, UINT64_MAX, SWEEP_SLICE, true, sweep_collect, sweep);
}

/* Where a waiting recipient should go now; NULL when that is where it is, or is not clear. */
static struct destination *sweep_target(struct scheduler *scheduler, const struct sweep_row *row)
{
    struct destination *target;
    const char *reason;
    struct route route;

    if (scheduler_find_row(scheduler, row->row))
        return NULL;
    scheduler->options.ops->route(scheduler->options.context, span_from_string(row->address),
                                  &route);
    if (route.outcome != ROUTE_FOUND && route.outcome != ROUTE_RELAY)
        return NULL;
    target = scheduler_choose(scheduler, &route, false, &reason);
    if (target->is_unresolved ||
        (!row->is_unresolved && strcmp(target->name, row->destination) == 0))
        return NULL;
    return target;
}

static bool sweep_choose(struct sweep *sweep)
{
    bool has_moves = false;

    for (size_t i = 0; i < sweep->count; i++) {
        sweep->rows[i].target = sweep_target(sweep->scheduler, &sweep->rows[i]);
        has_moves |= sweep->rows[i].target != NULL;
    }
    return has_moves;
}

static void sweep_end(struct sweep *sweep)
{
    struct scheduler *scheduler = sweep->scheduler;
    int64_t now_ms = scheduler_now(scheduler);
    int64_t pause_ms = 2 * (now_ms - sweep->started_ms);

    scheduler->next_sweep_ms =
        now_ms + (pause_ms > SWEEP_INTERVAL_MS ? pause_ms : SWEEP_INTERVAL_MS);
    scheduler->sweep = NULL;
    free(sweep);
}

static void sweep_submit(struct sweep *sweep)
{
    sweep->now_ms = scheduler_now(sweep->scheduler);
    committer_submit(sweep->scheduler->committer, &sweep->operation);
}

static void sweep_wake_targets(struct sweep *sweep)
{
    for (size_t i = 0; i < sweep->count; i++)
        if (sweep->rows[i].target)
            destination_wake(sweep->rows[i].target, sweep->now_ms);
}

static void sweep_done(struct operation *operation, bool is_committed)
{
    struct sweep *sweep = CONTAINER_OF(operation, struct sweep, operation);
    struct scheduler *scheduler = sweep->scheduler;
    bool is_last = sweep->visited < SWEEP_SLICE;

    if (!is_committed || scheduler->is_stopping) {
        scheduler->swept_revision = 0; /* again, from the start */
        sweep_end(sweep);
        return;
    }
    if (sweep->is_moving) {
        sweep_wake_targets(sweep);
        sweep->is_moving = false;
    } else {
        sweep->start = sweep->cursor;
        sweep->is_moving = sweep_choose(sweep);
    }
    if (is_last && !sweep->is_moving)
        sweep_end(sweep);
    else
        sweep_submit(sweep);
    scheduler_run(scheduler);
}

void scheduler_sweep(struct scheduler *scheduler)
{
    uint64_t revision = scheduler->options.ops->revision(scheduler->options.context);
    struct sweep *sweep;

    if (scheduler->sweep || revision == scheduler->swept_revision ||
        scheduler_now(scheduler) < scheduler->next_sweep_ms)
        return;
    sweep = memory_new(sizeof(*sweep));
    sweep->operation.apply = sweep_apply;
    sweep->operation.done = sweep_done;
    sweep->scheduler = scheduler;
    sweep->started_ms = scheduler_now(scheduler);
    scheduler->swept_revision = revision;
    scheduler->sweep = sweep;
    sweep_submit(sweep);
}
