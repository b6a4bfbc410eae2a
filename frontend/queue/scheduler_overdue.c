/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail that waits for a backend that is down is not attempted, so nothing would tell its sender
 * that it is late, or expire it.  Once a minute this looks at what has become old, a slice at a
 * time. It expires only where an attempt failed since our start, and none could succeed now.
 */
#include <stdio.h>
#include <stdlib.h>

#include "frontend/queue/scheduler_private.h"

enum {
    LOOK_MS = 60000,
    SLICE_MESSAGES = 100,
    SLICE_ROWS = 1000,
    MESSAGE_ROWS = 500 /* of one message in one look */
};

struct overdue_row {
    uint64_t row;
    char destination[ROUTE_HOST_SIZE];
    char reply[QUEUE_TEXT_MAX + 1];
};

struct overdue {
    struct operation operation;
    struct scheduler *scheduler;
    bool is_expiry; /* or else the delays */
    bool is_writing;
    struct store_age after, last; /* where the slice starts, and where it ended */
    int64_t before_ms, now_ms;
    size_t age_count, count;
    struct store_age ages[SLICE_MESSAGES];
    struct overdue_row rows[SLICE_ROWS];
    struct job *reserved; /* while they are written about */
};

/* --- reading ------------------------------------------------------------------------ */

static void overdue_visit(void *context, const struct store_view *view)
{
    struct overdue *overdue = context;
    const struct store_recipient *recipient = &view->recipient;
    struct overdue_row *row = &overdue->rows[overdue->count];

    if (recipient->state != STORE_PENDING || !recipient->destination ||
        (!overdue->is_expiry &&
         (recipient->flags & STORE_DELAY_IS_TOLD || view->reverse_path.length == 0)))
        return;
    row->row = view->row;
    snprintf(row->destination, sizeof(row->destination), "%s", recipient->destination);
    snprintf(row->reply, sizeof(row->reply), "%.*s",
             SPAN_PRINTF(span_take(recipient->reply, QUEUE_TEXT_MAX)));
    overdue->count++;
}

static bool overdue_read(struct overdue *overdue, struct store *store)
{
    overdue->count = 0;
    overdue->last = overdue->after;
    if (!store_find_old(store, &overdue->after, overdue->before_ms, overdue->ages, SLICE_MESSAGES,
                        &overdue->age_count))
        return false;
    for (size_t i = 0; i < overdue->age_count && overdue->count + MESSAGE_ROWS <= SLICE_ROWS; i++) {
        uint64_t message = overdue->ages[i].message;

        if (!store_look(store, STORE_ROW(message, 0) - 1, STORE_ROW(message + 1, 0) - 1,
                        MESSAGE_ROWS, false, overdue_visit, overdue))
            return false;
        overdue->last = overdue->ages[i];
    }
    return true;
}

/* --- writing ------------------------------------------------------------------------ */

static bool expire_rows(struct overdue *overdue, struct store *store,
                        const struct overdue_row *rows, size_t count)
{
    struct settle *settle = settle_new(&overdue->scheduler->options.rules, count);
    bool is_good;

    settle->now_ms = overdue->now_ms;
    for (size_t i = 0; i < count; i++) {
        settle->outcomes[i].row = rows[i].row;
        settle->outcomes[i].fate = QUEUE_UNREACHABLE;
        snprintf(settle->outcomes[i].text, sizeof(settle->outcomes[i].text), "%s", rows[i].reply);
    }
    is_good = settle_apply(&settle->operation, store);
    free(settle);
    return is_good;
}

static bool tell_rows(struct overdue *overdue, struct store *store, const struct overdue_row *rows,
                      size_t count)
{
    uint64_t numbers[MESSAGE_ROWS];

    for (size_t i = 0; i < count; i++)
        numbers[i] = rows[i].row;
    return settle_tell_delay(store, &overdue->scheduler->options.rules, numbers, count,
                             overdue->now_ms);
}

static bool overdue_write(struct overdue *overdue, struct store *store)
{
    for (size_t first = 0, end; first < overdue->count; first = end) {
        const struct overdue_row *rows = &overdue->rows[first];

        for (end = first + 1; end < overdue->count; end++)
            if (STORE_ROW_MESSAGE(overdue->rows[end].row) != STORE_ROW_MESSAGE(rows->row))
                break;
        if (!(overdue->is_expiry ? expire_rows : tell_rows)(overdue, store, rows, end - first))
            return false;
    }
    return true;
}

static bool overdue_apply(struct operation *operation, struct store *store)
{
    struct overdue *overdue = CONTAINER_OF(operation, struct overdue, operation);

    return overdue->is_writing ? overdue_write(overdue, store) : overdue_read(overdue, store);
}

/* --- between the two ------------------------------------------------------------------ */

/* What is attempted has its answer from there. */
static bool overdue_wants(struct overdue *overdue, const struct overdue_row *row)
{
    struct scheduler *scheduler = overdue->scheduler;
    const struct destination *destination = scheduler_destination(scheduler, row->destination);

    if (scheduler_is_in_hand(scheduler, row->row))
        return false;
    return !overdue->is_expiry ||
           (destination->has_failed && !destination_may_run(scheduler, destination));
}

static void overdue_reserve(struct overdue *overdue)
{
    uint64_t numbers[SLICE_ROWS];
    bool is_reserved[SLICE_ROWS];
    size_t kept = 0;

    for (size_t i = 0; i < overdue->count; i++)
        if (overdue_wants(overdue, &overdue->rows[i])) {
            if (kept != i)
                overdue->rows[kept] = overdue->rows[i];
            numbers[kept] = overdue->rows[kept].row;
            kept++;
        }
    overdue->count = kept;
    overdue->reserved = scheduler_reserve(overdue->scheduler, numbers, kept, is_reserved);
}

static void overdue_end(struct overdue *overdue)
{
    struct scheduler *scheduler = overdue->scheduler;

    if (!overdue->is_expiry)
        scheduler->told_until = overdue->after;
    scheduler->overdue = NULL;
    free(overdue);
}

static void overdue_submit(struct overdue *overdue, bool is_writing)
{
    overdue->is_writing = is_writing;
    overdue->now_ms = scheduler_now(overdue->scheduler);
    committer_submit(overdue->scheduler->committer, &overdue->operation);
}

static void overdue_next(struct overdue *overdue)
{
    overdue->after = overdue->last;
    if (overdue->age_count == 0)
        overdue_end(overdue);
    else
        overdue_submit(overdue, false);
}

static void overdue_done(struct operation *operation, bool is_committed)
{
    struct overdue *overdue = CONTAINER_OF(operation, struct overdue, operation);
    struct scheduler *scheduler = overdue->scheduler;

    if (overdue->reserved)
        scheduler_unreserve(scheduler, overdue->reserved);
    overdue->reserved = NULL;
    if (!is_committed || scheduler->is_stopping) {
        overdue_end(overdue); /* the next look starts where this slice did */
        return;
    }
    if (overdue->is_writing) {
        destination_wake(&scheduler->unresolved, overdue->now_ms);
        overdue_next(overdue);
        return;
    }
    overdue_reserve(overdue);
    if (overdue->reserved)
        overdue_submit(overdue, true);
    else
        overdue_next(overdue);
}

/* --- the start -------------------------------------------------------------------------- */

void scheduler_look_for_overdue(struct scheduler *scheduler)
{
    const struct settle_rules *rules = &scheduler->options.rules;
    int64_t now_ms = scheduler_now(scheduler);
    struct overdue *overdue;

    if (scheduler->overdue || now_ms < scheduler->next_overdue_ms || scheduler->expiry_ms == 0)
        return;
    scheduler->is_overdue_expiry = !scheduler->is_overdue_expiry;
    scheduler->next_overdue_ms = now_ms + LOOK_MS / 2;
    if (!scheduler->is_overdue_expiry && rules->delay_ms == 0)
        return;
    overdue = memory_new(sizeof(*overdue));
    overdue->operation.apply = overdue_apply;
    overdue->operation.done = overdue_done;
    overdue->scheduler = scheduler;
    overdue->is_expiry = scheduler->is_overdue_expiry;
    overdue->before_ms = now_ms - (overdue->is_expiry ? scheduler->expiry_ms : rules->delay_ms);
    if (!overdue->is_expiry)
        overdue->after = scheduler->told_until;
    scheduler->overdue = overdue;
    overdue_submit(overdue, false);
}
