/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The role "admin": libmicrohttpd in our loop, and its end.  At the end it takes no more
 * connections (those that come wait for the next process, on the same socket), and answers what it
 * has; who is not done by then is told so.
 */
#include "common/service/admin_port.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/admin_port_private.h"

enum { TICK_MS = 100, STOP_MS = 4000, NEWCOMER_MS = 1000, LOG_LINE_SIZE = 400 };

bool admin_port_is_wanted(const struct config *config)
{
    return *config->admin_port.endpoint.host != '\0';
}

/* --- turns ------------------------------------------------------------------------------------ */

static void port_tick(uv_timer_t *timer);

static void port_turn(struct admin_port *port);

static void turn_is_due(uv_timer_t *timer)
{
    port_turn(CONTAINER_OF(timer, struct admin_port, turn));
}

void admin_port_wake(struct admin_port *port)
{
    uv_timer_start(&port->turn, turn_is_due, 0, 0);
}

/* Lets the library do what it has, and asks when it wants to be called next. */
static void port_turn(struct admin_port *port)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;

    MHD_run(port->daemon);
    if (MHD_get_timeout(port->daemon, &timeout_ms) == MHD_YES)
        uv_timer_start(&port->turn, turn_is_due, timeout_ms, 0);
    else
        uv_timer_stop(&port->turn);
    if (list_is_empty(&port->peers) && !port->is_stopping)
        uv_timer_stop(&port->tick);
    else if (!uv_is_active((const uv_handle_t *)&port->tick))
        uv_timer_start(&port->tick, port_tick, TICK_MS, TICK_MS);
}

static void poll_told(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    port_turn(CONTAINER_OF(poll, struct admin_port, poll));
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void port_close(struct admin_port *port)
{
    admin_requests_abandon(port);
    MHD_run(port->daemon); /* nothing may be suspended when it ends */
    uv_poll_stop(&port->poll);
    MHD_stop_daemon(port->daemon);
    port->daemon = NULL;
    control_client_stop(port->hub);
    uv_close((uv_handle_t *)&port->poll, NULL);
    uv_close((uv_handle_t *)&port->turn, NULL);
    uv_close((uv_handle_t *)&port->tick, NULL);
}

/* A request is being answered, or may be on its way on a new connection. */
static bool port_is_busy(const struct admin_port *port, uint64_t now_ms)
{
    LIST_EACH (node, &port->peers) {
        const struct admin_peer *peer = LIST_ELEMENT(node, struct admin_peer, node);

        if (peer->request || (!peer->is_used && now_ms < peer->opened_ms + NEWCOMER_MS))
            return true;
    }
    return false;
}

static void port_tick(uv_timer_t *timer)
{
    struct admin_port *port = CONTAINER_OF(timer, struct admin_port, tick);
    uint64_t now_ms = clock_monotonic_ms();

    admin_peers_tick(port, now_ms);
    admin_requests_tick(port, now_ms);
    if (port->is_stopping && (now_ms >= port->stop_deadline_ms || !port_is_busy(port, now_ms)))
        port_close(port);
    else
        port_turn(port);
}

static void admin_port_stop(struct child *child)
{
    struct admin_port *port = child->context;

    if (port->is_stopping)
        return;
    port->is_stopping = true;
    port->stop_deadline_ms = clock_monotonic_ms() + STOP_MS;
    (void)MHD_quiesce_daemon(port->daemon);
    uv_timer_start(&port->tick, port_tick, 0, TICK_MS);
}

/* --- the start ----------------------------------------------------------------------------------
 */

static void log_library(void *context, const char *format, va_list arguments)
{
    char line[LOG_LINE_SIZE];

    (void)context;
    vsnprintf(line, sizeof(line), format, arguments);
    LOG_EVENT(LOG_LEVEL_DEBUG, NULL, "admin_port_says",
              LOG_SPAN("text", span_trim(span_from_string(line))));
}

static bool port_listen(struct admin_port *port)
{
    const struct admin_port_config *config = &port->child->config->admin_port;

    port->daemon = MHD_start_daemon(
        MHD_USE_TLS | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        admin_request_access, port, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
        MHD_OPTION_LISTEN_SOCKET, port->child->admin_fd, MHD_OPTION_HTTPS_MEM_KEY, config->pem.key,
        MHD_OPTION_HTTPS_MEM_CERT, config->pem.certificate, MHD_OPTION_HTTPS_MEM_TRUST,
        config->client_ca, MHD_OPTION_HTTPS_PRIORITIES,
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE",
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)ADMIN_CONNECTIONS_MAX,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)ADMIN_CONNECTIONS_PER_ADDRESS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)ADMIN_CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)ADMIN_IDLE_S, MHD_OPTION_NOTIFY_CONNECTION,
        admin_peer_notify, port, MHD_OPTION_NOTIFY_COMPLETED, admin_request_completed, port,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!port->daemon)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "admin_port_failed",
                  LOG_TEXT("why", "the certificate, key or client_ca cannot be used"));
    return port->daemon != NULL;
}

static void port_watch(struct admin_port *port)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(port->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_loop_t *loop = &port->child->loop.uv;

    if (!info || uv_poll_init(loop, &port->poll, info->epoll_fd) != 0 ||
        uv_poll_start(&port->poll, UV_READABLE, poll_told) != 0)
        abort();
    uv_timer_init(loop, &port->turn);
    uv_timer_init(loop, &port->tick);
    port_turn(port);
}

bool admin_port_run(struct child *child)
{
    static const struct control_command none[] = { { NULL, NULL } };
    struct admin_port port = { .child = child };

    list_init(&port.peers);
    if (!port_listen(&port))
        return false;
    child->context = &port;
    child->stop = admin_port_stop;
    port.hub = control_client_start(child, none, &port);
    port_watch(&port);
    child_run_loop(child);
    child->context = NULL;
    return true;
}
