/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request of the admin port, from its first line to the last byte of its answer.
 *
 * libmicrohttpd calls admin_request_access when the head is there, for each part of the body, when
 * the body is whole, and after each resumption until a response is given; then it draws that
 * response's bytes.  Whenever there is nothing for it to do the connection is suspended: its
 * timeouts and its socket then rest, and the tick looks whether the client has left.
 *
 * A question that changes nothing is asked again when the hub is lost before the first line of its
 * answer: a reload makes a new control process.  An order is never given twice.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/admin_port_private.h"
#include "common/service/any_text.h"
#include "common/service/control_answer.h"

enum { BLOCK_SIZE = 16384 };

/* --- suspending ----------------------------------------------------------------------------- */

static void request_suspend(struct admin_request *request)
{
    if (request->is_suspended)
        return;
    request->is_suspended = true;
    MHD_suspend_connection(request->connection);
}

static void request_resume(struct admin_request *request)
{
    if (!request->is_suspended)
        return;
    request->is_suspended = false;
    MHD_resume_connection(request->connection);
    admin_port_wake(request->peer->port);
}

/* --- the output ------------------------------------------------------------------------------ */

static size_t request_unread(const struct admin_request *request)
{
    return request->output.length - request->sent;
}

/* Who reads that slowly is cut off. */
static void request_write(struct admin_request *request, struct span text)
{
    if (!bytes_append(&request->output, text) ||
        !bytes_append(&request->output, SPAN_LITERAL("\n")))
        snprintf(request->error, sizeof(request->error), "the client reads too slowly");
}

/* What is sent leaves the memory when it is half of it, so that no byte is moved often. */
static void request_forget_sent(struct admin_request *request)
{
    if (request->sent < request->output.length && request->sent < request->output.limit / 2)
        return;
    bytes_consume(&request->output, request->sent);
    request->sent = 0;
}

/* MHD_ContentReaderCallback. */
static ssize_t draw(void *context, uint64_t position, char *target, size_t capacity)
{
    struct admin_request *request = context;
    struct span rest = span_drop(bytes_span(&request->output), request->sent);
    size_t count = rest.length < capacity ? rest.length : capacity;

    (void)position;
    if (count == 0 && request->state == ADMIN_REQUEST_ANSWERED)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (count == 0) {
        request_suspend(request);
        return 0;
    }
    memcpy(target, rest.data, count);
    request->sent += count;
    request_forget_sent(request);
    return (ssize_t)count;
}

static enum MHD_Result request_respond(struct admin_request *request)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        request->state == ADMIN_REQUEST_ANSWERED ? request->output.length : MHD_SIZE_UNKNOWN,
        BLOCK_SIZE, draw, request, NULL);
    enum MHD_Result result = MHD_NO;

    if (!response)
        return MHD_NO;
    request->is_responding = true;
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                request->route && request->status < MHD_HTTP_BAD_REQUEST
                                    ? request->route->type
                                    : "application/json") == MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES &&
        (!request->peer->port->is_stopping ||
         MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES) &&
        (request->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
         MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, request->route->method) ==
             MHD_YES))
        result = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response);
    return result;
}

/* --- the answer ------------------------------------------------------------------------------ */

/* The last line of an order's answer, as on control.sock. */
static void write_end(struct admin_request *request)
{
    json_t *end = json_pack("{s:b, s:o*}", "end", 1, "error",
                            *request->error ? json_any_text(request->error) : NULL);
    char *text = json_dumps(end, JSON_COMPACT);

    if (!text)
        memory_exhausted();
    request_write(request, span_from_string(text));
    free(text);
    json_decref(end);
}

static void request_end(struct admin_request *request)
{
    request->state = ADMIN_REQUEST_ANSWERED;
    request_resume(request);
}

void admin_request_refuse(struct admin_request *request, unsigned status, const char *error)
{
    request->status = status;
    snprintf(request->error, sizeof(request->error), "%s", error);
    write_end(request);
    request_end(request);
}

/* All that the hub had to say; or what can be said without it. */
static void request_answered(struct admin_request *request, const char *error)
{
    if (error)
        snprintf(request->error, sizeof(request->error), "%s", error);
    if (request->route->finish) {
        request->route->finish(request, error);
    } else {
        request->status = MHD_HTTP_OK;
        write_end(request);
    }
    request_end(request);
}

static void inquiry_line(struct control_inquiry *inquiry, struct span json)
{
    struct admin_request *request = CONTAINER_OF(inquiry, struct admin_request, inquiry);

    if (request->lines) {
        json_array_append_new(request->lines, json_loadb(json.data, json.length, 0, NULL));
        return;
    }
    request->status = MHD_HTTP_OK;
    request_write(request, json);
    if (*request->error) {
        control_client_withdraw(request->peer->port->hub, &request->inquiry);
        request_answered(request, NULL);
        return;
    }
    request_resume(request);
}

static bool may_ask_again(const struct admin_request *request)
{
    return admin_role_for(request->command) == ADMIN_ROLE_READ && !request->is_responding &&
           request->output.length == 0 && json_array_size(request->lines) == 0;
}

static void request_wait(struct admin_request *request)
{
    request->state = ADMIN_REQUEST_WAITING;
    if (request->deadline_ms == 0)
        request->deadline_ms = clock_monotonic_ms() + ADMIN_HUB_MS;
}

static void inquiry_answered(struct control_inquiry *inquiry, const char *error, bool is_lost)
{
    struct admin_request *request = CONTAINER_OF(inquiry, struct admin_request, inquiry);

    if (is_lost && may_ask_again(request))
        request_wait(request);
    else
        request_answered(request, error);
}

static bool request_try_hub(struct admin_request *request)
{
    if (!control_client_ask(request->peer->port->hub, &request->inquiry, request->command,
                            bytes_span(&request->json)))
        return false;
    request->state = ADMIN_REQUEST_ASKED;
    if (!request->lines)
        request->deadline_ms = 0;
    return true;
}

void admin_request_ask(struct admin_request *request, const char *command, struct span json)
{
    snprintf(request->command, sizeof(request->command), "%s", command);
    request->json = bytes_empty(CONTROL_REQUEST_MAX);
    if (!bytes_append(&request->json, json))
        abort();
    request->inquiry.line = inquiry_line;
    request->inquiry.answered = inquiry_answered;
    if (request->route->finish) {
        request->lines = json_array();
        request->deadline_ms = clock_monotonic_ms() + ADMIN_HUB_MS;
    }
    if (!request_try_hub(request))
        request_wait(request);
}

/* --- the library's calls ------------------------------------------------------------------------
 */

static struct admin_peer *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info->socket_context;
}

static struct admin_request *request_new(struct MHD_Connection *connection, const char *url)
{
    struct admin_request *request = memory_new(sizeof(*request));

    request->peer = peer_of(connection);
    request->connection = connection;
    request->route = admin_route_find(url);
    request->began_ms = clock_monotonic_ms();
    request->body = bytes_empty(CONTROL_REQUEST_MAX);
    request->json = bytes_empty(CONTROL_REQUEST_MAX);
    request->output = bytes_empty(ADMIN_UNREAD_MAX);
    list_init(&request->inquiry.node);
    request->peer->request = request;
    return request;
}

static bool is_method(const struct admin_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 || (strcmp(route->method, MHD_HTTP_METHOD_GET) == 0 &&
                                                  strcmp(method, MHD_HTTP_METHOD_HEAD) == 0);
}

static bool head_is_too_long(struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return length && strtoull(length, NULL, 10) > CONTROL_REQUEST_MAX;
}

/* True when the head alone is reason enough to refuse, which then was done. */
static bool refuse_head(struct admin_request *request, const char *method)
{
    if (request->peer->role == ADMIN_ROLE_NONE)
        admin_request_refuse(request, MHD_HTTP_FORBIDDEN,
                             "your certificate has no name that may do anything here");
    else if (!request->route)
        admin_request_refuse(request, MHD_HTTP_NOT_FOUND, "there is nothing here");
    else if (!is_method(request->route, method))
        admin_request_refuse(request, MHD_HTTP_METHOD_NOT_ALLOWED, "not by this method");
    else if (head_is_too_long(request->connection))
        admin_request_refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too long");
    return request->state == ADMIN_REQUEST_ANSWERED;
}

static void take_body(struct admin_request *request, struct span part)
{
    if (!bytes_append(&request->body, part))
        request->is_too_long = true;
}

static void request_begin(struct admin_request *request)
{
    if (request->is_too_long)
        admin_request_refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too long");
    else
        request->route->begin(request);
}

enum MHD_Result admin_request_access(void *context, struct MHD_Connection *connection,
                                     const char *url, const char *method, const char *version,
                                     const char *upload, size_t *upload_size, void **slot)
{
    struct admin_request *request = *slot;

    (void)context;
    (void)version;
    if (!request) {
        *slot = request = request_new(connection, url);
        return refuse_head(request, method) ? request_respond(request) : MHD_YES;
    }
    if (*upload_size > 0) {
        take_body(request, span_of(upload, *upload_size));
        *upload_size = 0;
        return MHD_YES;
    }
    if (request->state == ADMIN_REQUEST_READING)
        request_begin(request);
    if (request->state == ADMIN_REQUEST_ANSWERED || request_unread(request) > 0)
        return request_respond(request);
    request_suspend(request);
    return MHD_YES;
}

/* One line for each order: who, from where, what, and what came of it. */
static void log_order(const struct admin_request *request, bool is_told)
{
    const struct admin_peer *peer = request->peer;
    const char *result = *request->error                            ? request->error
                         : request->state != ADMIN_REQUEST_ANSWERED ? "the client left"
                         : is_told                                  ? "done"
                                                                    : "done, the client left";

    if (!request->route || strcmp(request->route->method, MHD_HTTP_METHOD_POST) != 0)
        return;
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "admin_order", LOG_TEXT("name", peer->name),
              LOG_TEXT("role", admin_role_names[peer->role]), LOG_TEXT("peer", peer->address),
              LOG_SPAN("order", span_take(bytes_span(&request->body), 400)),
              LOG_INTEGER("status", request->status), LOG_TEXT("result", result),
              LOG_INTEGER("ms", clock_monotonic_ms() - request->began_ms));
}

void admin_request_completed(void *context, struct MHD_Connection *connection, void **slot,
                             enum MHD_RequestTerminationCode code)
{
    struct admin_request *request = *slot;

    (void)context;
    (void)connection;
    if (!request)
        return;
    if (request->state == ADMIN_REQUEST_ASKED)
        control_client_withdraw(request->peer->port->hub, &request->inquiry);
    log_order(request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    request->peer->request = NULL;
    request->peer->is_used = true;
    bytes_release(&request->body);
    bytes_release(&request->json);
    bytes_release(&request->output);
    json_decref(request->lines);
    free(request);
    *slot = NULL;
}

/* --- the tick --------------------------------------------------------------------------------- */

/* While a connection is suspended the library does not look. */
static bool client_has_left(const struct admin_peer *peer)
{
    struct tcp_info info = { .tcpi_state = TCP_ESTABLISHED };
    socklen_t size = sizeof(info);

    return getsockopt(peer->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
           (info.tcpi_state != TCP_ESTABLISHED && info.tcpi_state != 0);
}

static void request_abandon(struct admin_request *request, const char *error)
{
    if (request->state == ADMIN_REQUEST_ASKED)
        control_client_withdraw(request->peer->port->hub, &request->inquiry);
    if (request->state == ADMIN_REQUEST_WAITING && !request->route->finish &&
        request->status == 0) {
        admin_request_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, error);
        return;
    }
    request_answered(request, error);
}

static void request_tick(struct admin_request *request, uint64_t now_ms)
{
    if (client_has_left(request->peer)) {
        request_abandon(request, "the client left");
        return;
    }
    if (request->state == ADMIN_REQUEST_WAITING && request_try_hub(request))
        return;
    if (request->deadline_ms > 0 && now_ms >= request->deadline_ms)
        request_abandon(request, request->state == ADMIN_REQUEST_WAITING
                                     ? "the control process is away"
                                     : "not every process answered in time");
}

void admin_requests_tick(struct admin_port *port, uint64_t now_ms)
{
    LIST_EACH (node, &port->peers) {
        struct admin_request *request = LIST_ELEMENT(node, struct admin_peer, node)->request;

        if (request &&
            (request->state == ADMIN_REQUEST_WAITING || request->state == ADMIN_REQUEST_ASKED))
            request_tick(request, now_ms);
    }
}

void admin_requests_abandon(struct admin_port *port)
{
    LIST_EACH (node, &port->peers) {
        struct admin_request *request = LIST_ELEMENT(node, struct admin_peer, node)->request;

        if (request &&
            (request->state == ADMIN_REQUEST_WAITING || request->state == ADMIN_REQUEST_ASKED))
            request_abandon(request, "the admin process " CONTROL_ASK_AGAIN);
    }
}
