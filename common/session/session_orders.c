/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An order goes on in the ticks of one timer until it has met all sessions.  Who asked and left
 * ends it at its next tick.
 */
#include "common/session/session_orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/session/session_walk.h"

enum {
    ORDERS_TICK_MS = 1,
    ORDERS_SLICE = 128,     /* sessions in one tick */
    ORDERS_UNREAD_MAX = 256 /* lines that the hub has not taken */
};

struct session_order {
    struct list node;
    struct session_orders *orders;
    struct control_request *request;
    struct session_walk walk;
    /* Which are meant; empty: any. */
    char account[ROUTE_ADDRESS_SIZE], backend[ROUTE_HOST_SIZE], session[RANDOM_ID_SIZE];
    struct network address;
    bool has_address, is_kick;
    size_t matched;
};

/* --- which are meant --------------------------------------------------------------------- */

/* Copies an argument; false when it is there and is none that could be meant. */
static bool order_take_text(const json_t *arguments, const char *name, char *text, size_t size)
{
    const json_t *value = json_object_get(arguments, name);

    return !value || (json_is_string(value) &&
                      span_copy_string(span_from_string(json_string_value(value)), text, size));
}

static bool order_read(struct session_order *order, const json_t *arguments)
{
    char address[64] = "";

    if (!order_take_text(arguments, "account", order->account, sizeof(order->account)) ||
        !order_take_text(arguments, "backend", order->backend, sizeof(order->backend)) ||
        !order_take_text(arguments, "session", order->session, sizeof(order->session)) ||
        !order_take_text(arguments, "address", address, sizeof(address)))
        return false;
    order->has_address = address[0] != '\0';
    return !order->has_address || network_parse(address, &order->address);
}

static bool order_means(const struct session_order *order, const struct session *session)
{
    struct network peer;

    if (order->account[0] && (!session->account || strcmp(session->account, order->account) != 0))
        return false;
    if (order->backend[0] && strcmp(session->backend, order->backend) != 0)
        return false;
    if (order->session[0] && strcmp(session->id, order->session) != 0)
        return false;
    return !order->has_address || (network_parse(session->peer_address, &peer) &&
                                   network_list_has_address(&order->address, 1, peer.address));
}

/* --- what is done with them ------------------------------------------------------------------ */

static json_t *order_row(const struct session_order *order, const struct session *session)
{
    const struct child *child = order->orders->child;
    struct session_view view = { .tls = "no" };

    if (session->view)
        session->view(session, &view);
    return json_pack("{s:s, s:s, s:s*, s:s, s:s*, s:I, s:s, s:i, s:i, s:b}", "id", session->id,
                     "protocol", protocol_name(session->listener->protocol), "account",
                     session->account, "address", session->peer_address, "backend",
                     session->backend[0] ? session->backend : NULL, "age_ms",
                     (json_int_t)(io_loop_now_ms(session->service->loop) - session->started_ms),
                     "tls", view.tls, "worker", child->number, "pid", (int)getpid(), "is_leaving",
                     departures_has(session) ? 1 : 0);
}

static void order_meet(struct session_order *order, struct session *session)
{
    json_t *row;

    if (!order_means(order, session))
        return;
    order->matched++;
    if (order->is_kick) {
        departures_add_abandoned(&session->service->departures, session,
                                 "ended by the administrator");
        return;
    }
    row = order_row(order, session);
    if (row) /* NULL: a name that is no UTF-8, and that nobody has */
        control_reply(order->request, row);
}

static void order_end(struct session_order *order, const char *error)
{
    if (order->is_kick && !error) {
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "sessions_kicked",
                  LOG_TEXT("account", order->account[0] ? order->account : NULL),
                  LOG_TEXT("backend", order->backend[0] ? order->backend : NULL),
                  LOG_TEXT("session", order->session[0] ? order->session : NULL),
                  LOG_INTEGER("by_address", order->has_address),
                  LOG_INTEGER("sessions", order->matched));
        control_reply(order->request, json_pack("{s:I}", "kicked", (json_int_t)order->matched));
    }
    control_finish(order->request, error);
    session_walk_end(&order->walk);
    list_remove(&order->node);
    free(order);
}

static void order_go_on(struct session_order *order)
{
    for (int i = 0; i < ORDERS_SLICE; i++) {
        struct session *session;

        if (!control_is_wanted(order->request)) {
            order_end(order, "nobody waits for it");
            return;
        }
        if (control_unread(order->request) > ORDERS_UNREAD_MAX)
            return;
        session = session_walk_next(&order->walk);
        if (!session) {
            order_end(order, NULL);
            return;
        }
        order_meet(order, session);
    }
}

static void orders_on_tick(uv_timer_t *timer)
{
    struct session_orders *orders = CONTAINER_OF(timer, struct session_orders, timer);

    LIST_EACH (node, &orders->running)
        order_go_on(LIST_ELEMENT(node, struct session_order, node));
    if (!list_is_empty(&orders->running))
        uv_timer_start(timer, orders_on_tick, ORDERS_TICK_MS, 0);
}

static void orders_begin(struct control_request *request, const json_t *arguments, void *context,
                         bool is_kick)
{
    struct session_orders *orders = context;
    struct session_order *order = memory_new(sizeof(*order));

    order->orders = orders;
    order->request = request;
    order->is_kick = is_kick;
    session_walk_begin(&order->walk, orders->service);
    list_append(&orders->running, &order->node);
    if (orders->is_stopped)
        order_end(order, "this process ends");
    else if (!order_read(order, arguments))
        order_end(order, "account, backend, address or session makes no sense");
    else if (is_kick && !order->account[0] && !order->backend[0] && !order->session[0] &&
             !order->has_address)
        order_end(order, "it is not said which sessions");
    else
        uv_timer_start(&orders->timer, orders_on_tick, ORDERS_TICK_MS, 0);
}

static void orders_run_who(struct control_request *request, json_t *arguments, void *context)
{
    orders_begin(request, arguments, context, false);
}

static void orders_run_kick(struct control_request *request, json_t *arguments, void *context)
{
    orders_begin(request, arguments, context, true);
}

/* --- life ---------------------------------------------------------------------------------------
 */

void session_orders_start(struct session_orders *orders, struct child *child,
                          struct session_service *service)
{
    static const struct control_command commands[] = { { "who", orders_run_who },
                                                       { "kick", orders_run_kick },
                                                       { NULL, NULL } };

    *orders = (struct session_orders){ .child = child, .service = service };
    list_init(&orders->running);
    uv_timer_init(&child->loop.uv, &orders->timer);
    uv_unref((uv_handle_t *)&orders->timer);
    orders->client = control_client_start(child, commands, orders);
}

static void orders_on_closed(uv_handle_t *handle)
{
    struct session_orders *orders = CONTAINER_OF(handle, struct session_orders, timer);

    orders->stopped(orders);
}

void session_orders_stop(struct session_orders *orders,
                         void (*stopped)(struct session_orders *orders))
{
    orders->is_stopped = true;
    orders->stopped = stopped;
    LIST_EACH (node, &orders->running)
        order_end(LIST_ELEMENT(node, struct session_order, node), "this process ends");
    control_client_stop(orders->client);
    uv_close((uv_handle_t *)&orders->timer, orders_on_closed);
}
