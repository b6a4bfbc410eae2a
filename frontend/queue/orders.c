/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slice of rows at a time, so that an order over a large queue delays no mail: one operation
 * reads and chooses, the loop takes the chosen rows in hand, a second operation changes them.
 * An order that fails on the way has done its earlier slices; done again it does the rest.
 */
#include "frontend/queue/orders.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "frontend/queue/filter.h"

enum { SLICE_ROWS = 1000, SLICES_PER_LINE = 20 };

enum order_kind { ORDER_HOLD, ORDER_RELEASE, ORDER_FLUSH, ORDER_DELETE, ORDER_BOUNCE };

static const char *const kind_names[] = { "hold", "release", "flush", "delete", "bounce" };

/* A recipient that the filter means. */
struct chosen {
    uint64_t row;
    bool is_unknown;
};

struct order {
    struct operation operation;
    struct commands *commands;
    struct control_request *request;
    enum order_kind kind;
    struct filter filter;
    bool is_dry_run, wants_unknown, is_changing;
    uint64_t start, cursor, last; /* rows: where the slice starts, has come to, and ends */
    size_t visited;               /* rows of this slice */
    size_t count;                 /* of them chosen; then, of these to be changed */
    struct chosen chosen[SLICE_ROWS];
    struct job *reserved; /* while they are changed */
    int64_t now_ms;
    uint64_t last_message;
    unsigned slices;
    size_t matched, changed, messages, in_delivery, unknown;
};

/* --- choosing -------------------------------------------------------------------- */

/* Whether the order means anything to a recipient in that state. */
static bool kind_takes(enum order_kind kind, enum store_state state)
{
    switch (kind) {
    case ORDER_HOLD:
    case ORDER_FLUSH:
        return state == STORE_PENDING;
    case ORDER_RELEASE:
        return state != STORE_PENDING;
    case ORDER_DELETE:
    case ORDER_BOUNCE:
        return true;
    }
    abort();
}

static void order_visit(void *context, const struct store_view *view)
{
    struct order *order = context;
    const struct store_recipient *recipient = &view->recipient;

    order->visited++;
    order->cursor = view->row;
    if (kind_takes(order->kind, recipient->state) && filter_matches(&order->filter, view))
        order->chosen[order->count++] = (struct chosen){
            .row = view->row,
            .is_unknown = (recipient->flags & STORE_IS_UNKNOWN) != 0,
        };
}

static bool order_read(struct order *order, struct store *store)
{
    uint64_t after;

    order->visited = order->count = 0;
    order->cursor = order->start;
    return !filter_range(&order->filter, order->start, &after, &order->last) ||
           store_look(store, after, order->last, SLICE_ROWS, false, order_visit, order);
}

/* --- changing -------------------------------------------------------------------- */

/* Takes recipients of one message out; those that fail are reported. */
static bool give_up(struct order *order, struct store *store, const struct chosen *chosen,
                    size_t count)
{
    struct settle_rules rules = scheduler_rules(order->commands->scheduler);
    struct settle *settle = settle_new(&rules, count);
    bool is_good;

    settle->now_ms = order->now_ms;
    for (size_t i = 0; i < count; i++) {
        struct outcome *outcome = &settle->outcomes[i];

        outcome->row = chosen[i].row;
        outcome->fate = order->kind == ORDER_BOUNCE ? QUEUE_FAILED : QUEUE_GONE;
        snprintf(outcome->text, sizeof(outcome->text), "5.0.0 given up by the administrator");
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "queue_recipient_ordered",
                  LOG_TEXT("order", kind_names[order->kind]),
                  LOG_INTEGER("message", STORE_ROW_MESSAGE(chosen[i].row)),
                  LOG_INTEGER("recipient", chosen[i].row & (STORE_RECIPIENTS_MAX - 1)));
    }
    is_good = settle_apply(&settle->operation, store);
    free(settle);
    return is_good;
}

static bool give_up_all(struct order *order, struct store *store)
{
    for (size_t first = 0, end; first < order->count; first = end) {
        uint64_t message = STORE_ROW_MESSAGE(order->chosen[first].row);

        for (end = first; end < order->count; end++)
            if (STORE_ROW_MESSAGE(order->chosen[end].row) != message)
                break;
        if (!give_up(order, store, &order->chosen[first], end - first))
            return false;
    }
    return true;
}

static bool change_one(const struct order *order, struct store *store, uint64_t row)
{
    if (order->kind == ORDER_HOLD)
        return store_set_state(store, row, STORE_HELD, 0, SPAN_EMPTY);
    if (order->kind == ORDER_RELEASE)
        return store_release(store, row, order->now_ms);
    return store_make_due(store, row, order->now_ms);
}

static bool order_change(struct order *order, struct store *store)
{
    if (order->kind == ORDER_DELETE || order->kind == ORDER_BOUNCE)
        return give_up_all(order, store);
    for (size_t i = 0; i < order->count; i++)
        if (!change_one(order, store, order->chosen[i].row))
            return false;
    return true;
}

static bool order_apply(struct operation *operation, struct store *store)
{
    struct order *order = CONTAINER_OF(operation, struct order, operation);

    return order->is_changing ? order_change(order, store) : order_read(order, store);
}

/* --- the end --------------------------------------------------------------------- */

static json_t *order_answer(const struct order *order)
{
    json_t *answer =
        json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:b}", "order", kind_names[order->kind], "matched",
                  (json_int_t)order->matched, "changed", (json_int_t)order->changed, "messages",
                  (json_int_t)order->messages, "in_delivery", (json_int_t)order->in_delivery,
                  "unknown", (json_int_t)order->unknown, "is_dry_run", order->is_dry_run);

    if (order->kind == ORDER_FLUSH)
        json_object_set_new(answer, "flushed", json_integer((json_int_t)order->changed));
    return answer;
}

static void order_end(struct order *order, const char *error)
{
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "queue_ordered", LOG_TEXT("order", kind_names[order->kind]),
              LOG_TEXT("dry_run", order->is_dry_run ? "yes" : "no"),
              LOG_INTEGER("matched", order->matched), LOG_INTEGER("changed", order->changed),
              LOG_INTEGER("messages", order->messages),
              LOG_INTEGER("in_delivery", order->in_delivery), LOG_TEXT("error", error));
    control_reply(order->request, order_answer(order));
    control_finish(order->request, error);
    filter_fini(&order->filter);
    free(order);
}

/* --- between the operations --------------------------------------------------------- */

/* Whether a chosen row is to be changed; counts why not. */
static bool order_wants(struct order *order, const struct chosen *chosen)
{
    if (order->kind == ORDER_FLUSH && chosen->is_unknown && !order->wants_unknown) {
        order->unknown++;
        return false;
    }
    if (scheduler_is_in_hand(order->commands->scheduler, chosen->row)) {
        order->in_delivery++;
        return false;
    }
    return true;
}

static void order_keep_wanted(struct order *order)
{
    size_t kept = 0;

    order->matched += order->count;
    for (size_t i = 0; i < order->count; i++)
        if (order_wants(order, &order->chosen[i]))
            order->chosen[kept++] = order->chosen[i];
    order->count = kept;
}

/* Takes the rows in hand, so that no attempt is made of what is being changed. */
static void order_reserve(struct order *order)
{
    uint64_t rows[SLICE_ROWS];
    bool is_reserved[SLICE_ROWS];

    for (size_t i = 0; i < order->count; i++)
        rows[i] = order->chosen[i].row;
    order->reserved =
        scheduler_reserve(order->commands->scheduler, rows, order->count, is_reserved);
}

static void order_count_changed(struct order *order)
{
    order->changed += order->count;
    for (size_t i = 0; i < order->count; i++) {
        uint64_t message = STORE_ROW_MESSAGE(order->chosen[i].row);

        order->messages += message != order->last_message;
        order->last_message = message;
    }
}

/* A client that waits hears that the order goes on. */
static void order_tell_partial(struct order *order)
{
    json_t *answer = order_answer(order);

    json_object_set_new(answer, "is_partial", json_true());
    control_reply(order->request, answer);
}

static void order_next(struct order *order)
{
    uint64_t after, last;

    order->is_changing = false;
    if (++order->slices % SLICES_PER_LINE == 0)
        order_tell_partial(order);
    if (order->visited < SLICE_ROWS)
        order->cursor = order->last;
    order->start = order->cursor;
    if (!filter_range(&order->filter, order->cursor, &after, &last) ||
        !control_is_wanted(order->request))
        order_end(order, NULL);
    else
        committer_submit(order->commands->committer, &order->operation);
}

static void order_has_read(struct order *order)
{
    order_keep_wanted(order);
    if (order->is_dry_run || order->count == 0) {
        order_count_changed(order);
        order_next(order);
        return;
    }
    order_reserve(order);
    order->is_changing = true;
    order->now_ms = order->commands->now_ms(order->commands->context);
    committer_submit(order->commands->committer, &order->operation);
}

static void order_has_changed(struct order *order)
{
    struct scheduler *scheduler = order->commands->scheduler;

    order_count_changed(order);
    if (order->kind != ORDER_HOLD && order->kind != ORDER_DELETE)
        scheduler_wake(scheduler);
    order_next(order);
}

static void order_done(struct operation *operation, bool is_committed)
{
    struct order *order = CONTAINER_OF(operation, struct order, operation);

    if (order->reserved)
        scheduler_unreserve(order->commands->scheduler, order->reserved);
    order->reserved = NULL;
    if (!is_committed)
        order_end(order, order->is_changing ? "the queue's database cannot be written now"
                                            : "the queue's database cannot be read now");
    else if (order->is_changing)
        order_has_changed(order);
    else
        order_has_read(order);
}

/* --- the start ---------------------------------------------------------------------- */

static void order_run(enum order_kind kind, struct control_request *request,
                      const json_t *arguments, struct commands *commands)
{
    struct order *order = memory_new(sizeof(*order));
    const char *error;

    order->operation.apply = order_apply;
    order->operation.done = order_done;
    order->commands = commands;
    order->request = request;
    order->kind = kind;
    order->is_dry_run = json_is_true(json_object_get(arguments, "dry_run"));
    order->wants_unknown = json_is_true(json_object_get(arguments, "unknown"));
    if (!filter_init(&order->filter, arguments, commands->now_ms(commands->context), &error)) {
        control_finish(request, error);
        free(order);
        return;
    }
    committer_submit(commands->committer, &order->operation);
}

void order_run_hold(struct control_request *request, json_t *arguments, void *context)
{
    order_run(ORDER_HOLD, request, arguments, context);
}

void order_run_release(struct control_request *request, json_t *arguments, void *context)
{
    order_run(ORDER_RELEASE, request, arguments, context);
}

void order_run_flush(struct control_request *request, json_t *arguments, void *context)
{
    order_run(ORDER_FLUSH, request, arguments, context);
}

void order_run_delete(struct control_request *request, json_t *arguments, void *context)
{
    order_run(ORDER_DELETE, request, arguments, context);
}

void order_run_bounce(struct control_request *request, json_t *arguments, void *context)
{
    order_run(ORDER_BOUNCE, request, arguments, context);
}
