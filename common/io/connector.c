/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting: for each endpoint resolve, then one attempt after another, each with a watched socket
 * of its own, until one is connected or none is left or the deadline passes.  An endpoint may take
 * its share of the time that is left: one that says nothing leaves some to those behind it.  It
 * never blocks and never connects twice at once.  The memory goes with the timer; a name
 * resolution that is given up has its own.
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

#include "common/io/keepalive.h"

/* A name resolution; it cannot always be cancelled. */
struct resolution {
    uv_getaddrinfo_t request;
    struct connector *connector; /* NULL: given up */
};

struct connector {
    struct io_loop *loop;
    connector_done *done; /* NULL once it was called or cancelled */
    void *context;
    uv_timer_t deadline;           /* of the endpoint */
    uint64_t end_ms;               /* of all */
    struct resolution *resolution; /* NULL: none is under way */
    struct io_watch *attempt;      /* NULL: none is under way */
    struct io_resumption outcome;  /* what ended at once, or connected at once, is told of later */
    struct endpoint endpoints[ENDPOINTS_MAX];
    size_t endpoint_count;
    const struct endpoint_sources *sources; /* NULL: the kernel chooses */
    size_t next_endpoint;                   /* the one after that which is tried */
    struct addrinfo *addresses;             /* owned; NULL when the endpoint is numeric */
    struct addrinfo *next_address;          /* the one after the attempt's */
    char error[128];
};

static void connector_try_next(struct connector *connector);
static bool connector_resolve(struct connector *connector, const struct endpoint *endpoint);

static void connector_on_deadline_closed(uv_handle_t *handle)
{
    struct connector *connector = CONTAINER_OF(handle, struct connector, deadline);

    uv_freeaddrinfo(connector->addresses);
    free(connector);
}

static void connector_give_up_resolution(struct connector *connector)
{
    if (!connector->resolution)
        return;
    connector->resolution->connector = NULL;
    uv_cancel((uv_req_t *)&connector->resolution->request);
    connector->resolution = NULL;
}

static void connector_drop_attempt(struct connector *connector)
{
    if (!connector->attempt)
        return;
    io_resumption_cancel(&connector->outcome); /* the attempt's */
    io_watch_close(connector->attempt, NULL);
    connector->attempt = NULL;
}

/* Lets everything go; what libuv does not give back at once is waited for. */
static void connector_end(struct connector *connector)
{
    connector->done = NULL;
    io_resumption_cancel(&connector->outcome);
    uv_close((uv_handle_t *)&connector->deadline, connector_on_deadline_closed);
    connector_drop_attempt(connector);
    connector_give_up_resolution(connector);
}

static void connector_fail(struct connector *connector)
{
    connector_done *done = connector->done;

    connector->done = NULL;
    done(connector, NULL, connector->error);
    connector_end(connector);
}

static void connector_succeed(struct connector *connector)
{
    connector_done *done = connector->done;
    struct io_watch *attempt = connector->attempt;

    connector->done = NULL;
    connector->attempt = NULL;
    done(connector, attempt, NULL);
    connector_end(connector);
}

/* The endpoint's share of the time is used up. */
static void connector_on_deadline(uv_timer_t *timer)
{
    struct connector *connector = CONTAINER_OF(timer, struct connector, deadline);

    snprintf(connector->error, sizeof(connector->error), "timed out");
    if (connector->next_endpoint == connector->endpoint_count) {
        connector_fail(connector);
        return;
    }
    connector->next_address = NULL;
    connector_drop_attempt(connector);
    connector_give_up_resolution(connector);
    connector_try_next(connector);
}

static void connector_attempt_ended(struct connector *connector, int error)
{
    if (error == 0) {
        connector_succeed(connector);
        return;
    }
    snprintf(connector->error, sizeof(connector->error), "connect: %s", strerror(error));
    connector_drop_attempt(connector);
    connector_try_next(connector);
}

static void connector_on_event(void *owner, unsigned readiness)
{
    struct connector *connector = owner;
    int error = 0;
    socklen_t length = sizeof(error);

    if ((readiness & IO_HUNG_UP) &&
        getsockopt(connector->attempt->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    connector_attempt_ended(connector, error);
}

/* The port is chosen at connect(2): it need not be free for all peers at once. */
static bool connector_bind(struct connector *connector, int fd, int family)
{
    const struct sockaddr *source;
    socklen_t length;
    int on = 1;

    if (!connector->sources)
        return true;
    source = endpoint_source(connector->sources, family, &length);
    if (!source)
        return true;
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, source, length) == 0)
        return true;
    snprintf(connector->error, sizeof(connector->error), "bind_address: %s", strerror(errno));
    return false;
}

/*
 * True when an attempt is under way; else connector->error says why not.  A unix socket is
 * connected at once, and is not watched for writing: it would tell of each thing sent that the peer
 * has read.
 */
static bool connector_attempt(struct connector *connector, const struct sockaddr *address,
                              socklen_t length)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool is_connected;

    if (fd < 0) {
        snprintf(connector->error, sizeof(connector->error), "socket: %s", strerror(errno));
        return false;
    }
    if (address->sa_family != AF_UNIX)
        nodelay_set(fd);
    if (!connector_bind(connector, fd, address->sa_family)) {
        close(fd);
        return false;
    }
    is_connected = connect(fd, address, length) == 0;
    if (!is_connected && errno != EINPROGRESS) {
        snprintf(connector->error, sizeof(connector->error), "connect: %s", strerror(errno));
        close(fd);
        return false;
    }
    connector->attempt = io_watch_new(connector->loop, fd, connector_on_event, connector);
    io_watch_edges(connector->attempt, is_connected ? IO_READABLE : IO_READABLE | IO_WRITABLE);
    if (is_connected)
        io_loop_resume(connector->loop, &connector->outcome);
    return true;
}

/* Goes through the resolved addresses up to one that can be tried; true when there is one. */
static bool connector_try_address(struct connector *connector)
{
    while (connector->next_address) {
        struct addrinfo *address = connector->next_address;

        connector->next_address = address->ai_next;
        if (connector_attempt(connector, address->ai_addr, address->ai_addrlen))
            return true;
    }
    return false;
}

/* Begins with the next endpoint; false when it ended at once. */
static bool connector_try_endpoint(struct connector *connector)
{
    const struct endpoint *endpoint = &connector->endpoints[connector->next_endpoint++];
    size_t left = connector->endpoint_count - connector->next_endpoint + 1;
    uint64_t now_ms = io_loop_now_ms(connector->loop);
    uint64_t left_ms = connector->end_ms > now_ms ? connector->end_ms - now_ms : 0;
    struct sockaddr_storage address;
    socklen_t length;

    uv_timer_start(&connector->deadline, connector_on_deadline, left_ms / left, 0);
    uv_freeaddrinfo(connector->addresses);
    connector->addresses = NULL;
    if (!endpoint_to_sockaddr(endpoint, &address, &length))
        return connector_resolve(connector, endpoint);
    return connector_attempt(connector, (struct sockaddr *)&address, length);
}

/* Goes on behind an attempt that failed. */
static void connector_try_next(struct connector *connector)
{
    if (connector_try_address(connector))
        return;
    while (connector->next_endpoint < connector->endpoint_count)
        if (connector_try_endpoint(connector))
            return;
    io_loop_resume(connector->loop, &connector->outcome);
}

static void connector_on_outcome(struct io_resumption *resumption)
{
    struct connector *connector = CONTAINER_OF(resumption, struct connector, outcome);

    if (connector->attempt)
        connector_succeed(connector);
    else
        connector_fail(connector);
}

static void connector_on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct resolution *resolution = CONTAINER_OF(request, struct resolution, request);
    struct connector *connector = resolution->connector;

    free(resolution);
    if (!connector) {
        uv_freeaddrinfo(addresses);
        return;
    }
    connector->resolution = NULL;
    connector->addresses = addresses;
    connector->next_address = addresses;
    if (status != 0)
        snprintf(connector->error, sizeof(connector->error), "resolve: %s", uv_strerror(status));
    connector_try_next(connector);
}

/* True when a resolution is under way; else connector->error says why not. */
static bool connector_resolve(struct connector *connector, const struct endpoint *endpoint)
{
    struct resolution *resolution = memory_new(sizeof(*resolution));
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG };
    char port[8];
    int result;

    snprintf(port, sizeof(port), "%u", endpoint->port);
    result = uv_getaddrinfo(&connector->loop->uv, &resolution->request, connector_on_resolved,
                            endpoint->host, port, &hints);
    if (result == 0) {
        resolution->connector = connector;
        connector->resolution = resolution;
        return true;
    }
    free(resolution);
    snprintf(connector->error, sizeof(connector->error), "resolve: %s", uv_strerror(result));
    return false;
}

struct connector *connector_start(struct io_loop *loop, const struct endpoint *endpoints,
                                  size_t endpoint_count, const struct endpoint_sources *sources,
                                  unsigned timeout_ms, connector_done *done, void *context)
{
    struct connector *connector = memory_new(sizeof(*connector));

    assert(timeout_ms > 0 && endpoint_count > 0 && endpoint_count <= ENDPOINTS_MAX);
    *connector = (struct connector){ .loop = loop,
                                     .done = done,
                                     .context = context,
                                     .sources = sources,
                                     .end_ms = io_loop_now_ms(loop) + timeout_ms,
                                     .endpoint_count = endpoint_count,
                                     .error = "no address" };
    memcpy(connector->endpoints, endpoints, endpoint_count * sizeof(*endpoints));
    io_resumption_init(&connector->outcome, connector_on_outcome);
    if (uv_timer_init(&loop->uv, &connector->deadline) != 0)
        abort();
    connector_try_next(connector);
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
