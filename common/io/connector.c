/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting: resolve, then one attempt after another, each with a socket and a poll handle
 * of its own, until one is connected or none is left or the deadline passes.  It never
 * blocks and never connects twice at once.  The memory goes with the last of what libuv still
 * holds: the timer, the attempt's poll handle, a name resolution that could not be cancelled.
 * Failures: the text of the last attempt's, of the resolution's, or "timed out".
 */
#include "common/io/connector.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct connector {
    struct io_loop *loop;
    connector_done *done; /* NULL once it was called or cancelled */
    void *context;
    uv_timer_t deadline;
    uv_getaddrinfo_t resolution;
    uv_poll_t poll;               /* of the attempt */
    struct io_resumption outcome; /* an attempt that ended at once is told of later */
    struct endpoint endpoint;
    struct addrinfo *addresses;    /* owned; NULL when the endpoint was numeric */
    struct addrinfo *next_address; /* the one after the attempt's */
    unsigned held_by_loop;         /* of timer, poll, resolution */
    int fd;                        /* the attempt's, or -1 */
    bool is_resolving;
    char error[128];
};

static void connector_try_next(struct connector *connector);

static void connector_release(struct connector *connector)
{
    if (--connector->held_by_loop > 0)
        return;
    uv_freeaddrinfo(connector->addresses);
    free(connector);
}

static void connector_on_deadline_closed(uv_handle_t *handle)
{
    connector_release(CONTAINER_OF(handle, struct connector, deadline));
}

static void connector_on_poll_closed(uv_handle_t *handle)
{
    struct connector *connector = CONTAINER_OF(handle, struct connector, poll);

    if (connector->done)
        connector_try_next(connector);
    connector_release(connector);
}

/* Drops the attempt; the next one starts when its poll handle is closed. */
static void connector_drop_attempt(struct connector *connector)
{
    if (connector->fd < 0)
        return;
    uv_close((uv_handle_t *)&connector->poll, connector_on_poll_closed);
    close(connector->fd);
    connector->fd = -1;
}

/* Lets everything go; what libuv does not give back at once is waited for. */
static void connector_end(struct connector *connector)
{
    connector->done = NULL;
    io_resumption_cancel(&connector->outcome);
    uv_close((uv_handle_t *)&connector->deadline, connector_on_deadline_closed);
    connector_drop_attempt(connector);
    if (connector->is_resolving)
        uv_cancel((uv_req_t *)&connector->resolution);
}

static void connector_fail(struct connector *connector)
{
    connector_done *done = connector->done;

    connector->done = NULL;
    done(connector, -1, connector->error);
    connector_end(connector);
}

static void connector_succeed(struct connector *connector)
{
    connector_done *done = connector->done;
    int fd = connector->fd;

    connector->done = NULL;
    connector->fd = -1;
    uv_close((uv_handle_t *)&connector->poll, connector_on_poll_closed);
    done(connector, fd, NULL);
    connector_end(connector);
}

static void connector_on_deadline(uv_timer_t *timer)
{
    struct connector *connector = CONTAINER_OF(timer, struct connector, deadline);

    snprintf(connector->error, sizeof(connector->error), "timed out");
    connector_fail(connector);
}

static void connector_attempt_ended(struct connector *connector, int error)
{
    if (error == 0) {
        connector_succeed(connector);
        return;
    }
    snprintf(connector->error, sizeof(connector->error), "connect: %s", strerror(error));
    connector_drop_attempt(connector);
}

static void connector_on_poll(uv_poll_t *poll, int status, int events)
{
    struct connector *connector = CONTAINER_OF(poll, struct connector, poll);
    int error = 0;
    socklen_t length = sizeof(error);

    (void)events;
    if (getsockopt(connector->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    connector_attempt_ended(connector, error == 0 && status < 0 ? ECONNABORTED : error);
}

/* True when an attempt is under way; else connector->error says why not. */
static bool connector_attempt(struct connector *connector, const struct sockaddr *address,
                              socklen_t length)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        snprintf(connector->error, sizeof(connector->error), "socket: %s", strerror(errno));
        return false;
    }
    if (connect(fd, address, length) != 0 && errno != EINPROGRESS) {
        snprintf(connector->error, sizeof(connector->error), "connect: %s", strerror(errno));
        close(fd);
        return false;
    }
    if (uv_poll_init(&connector->loop->uv, &connector->poll, fd) != 0)
        abort();
    uv_poll_start(&connector->poll, UV_WRITABLE, connector_on_poll);
    connector->fd = fd;
    connector->held_by_loop++;
    return true;
}

/* Goes through the resolved addresses up to one that can be tried. */
static void connector_try_next(struct connector *connector)
{
    while (connector->next_address) {
        struct addrinfo *address = connector->next_address;

        connector->next_address = address->ai_next;
        if (connector_attempt(connector, address->ai_addr, address->ai_addrlen))
            return;
    }
    io_loop_resume(connector->loop, &connector->outcome);
}

static void connector_on_outcome(struct io_resumption *resumption)
{
    connector_fail(CONTAINER_OF(resumption, struct connector, outcome));
}

static void connector_on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct connector *connector = CONTAINER_OF(request, struct connector, resolution);

    connector->is_resolving = false;
    connector->addresses = addresses;
    if (connector->done) {
        connector->next_address = addresses;
        if (status != 0)
            snprintf(connector->error, sizeof(connector->error), "resolve: %s",
                     uv_strerror(status));
        connector_try_next(connector);
    }
    connector_release(connector);
}

static void connector_resolve(struct connector *connector)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG };
    char port[8];
    int result;

    snprintf(port, sizeof(port), "%u", connector->endpoint.port);
    result = uv_getaddrinfo(&connector->loop->uv, &connector->resolution, connector_on_resolved,
                            connector->endpoint.host, port, &hints);
    if (result == 0) {
        connector->is_resolving = true;
        connector->held_by_loop++;
        return;
    }
    snprintf(connector->error, sizeof(connector->error), "resolve: %s", uv_strerror(result));
    io_loop_resume(connector->loop, &connector->outcome);
}

struct connector *connector_start(struct io_loop *loop, const struct endpoint *endpoint,
                                  unsigned timeout_ms, connector_done *done, void *context)
{
    struct connector *connector = memory_new(sizeof(*connector));
    struct sockaddr_storage address;
    socklen_t length;

    assert(timeout_ms > 0);
    *connector = (struct connector){ .loop = loop,
                                     .done = done,
                                     .context = context,
                                     .endpoint = *endpoint,
                                     .held_by_loop = 1,
                                     .fd = -1,
                                     .error = "no address" };
    io_resumption_init(&connector->outcome, connector_on_outcome);
    if (uv_timer_init(&loop->uv, &connector->deadline) != 0)
        abort();
    uv_timer_start(&connector->deadline, connector_on_deadline, timeout_ms, 0);
    if (!endpoint_to_sockaddr(endpoint, &address, &length))
        connector_resolve(connector);
    else if (!connector_attempt(connector, (struct sockaddr *)&address, length))
        io_loop_resume(loop, &connector->outcome);
    return connector;
}

void connector_cancel(struct connector *connector)
{
    assert(connector->done);
    connector_end(connector);
}

void *connector_context(const struct connector *connector)
{
    return connector->context;
}
