/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting.  It never closes the listening socket.  Without descriptors or memory it
 * pauses, with one line in the log for each pause; the kernel's backlog holds who waits.  On a
 * socket that was shut down (a machine that is drained) it pauses without a word.  A connection
 * that is gone before it is accepted is skipped.
 */
#include "common/io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

enum { LISTENER_ACCEPTS_PER_TURN = 16, LISTENER_BACKLOG_MAX = 8192, LISTENER_PAUSE_MS = 100 };

static void listener_on_pause_end(uv_timer_t *timer)
{
    io_watch_levels(CONTAINER_OF(timer, struct listener, pause)->watch, IO_READABLE);
}

static void listener_pause(struct listener *listener, int error)
{
    if (error != EINVAL) /* accept(2): the socket does not listen */
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "accept_paused", LOG_TEXT("error", strerror(error)),
                  LOG_INTEGER("ms", LISTENER_PAUSE_MS));
    io_watch_levels(listener->watch, 0);
    uv_timer_start(&listener->pause, listener_on_pause_end, LISTENER_PAUSE_MS, 0);
}

/* accept(2): a pending error of the new connection shows here; it says nothing about the listener.
 */
static bool error_is_of_connection(int error)
{
    switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EOPNOTSUPP:
    case EPERM:
        return true;
    default:
        return false;
    }
}

/* Accepts one; false when there is nothing more to do in this turn. */
static bool listener_accept(struct listener *listener)
{
    struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
    socklen_t length = sizeof(peer);
    int fd = accept4(listener->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        listener->accepted(listener, fd, &peer);
        return true;
    }
    if (error_is_of_connection(errno))
        return true;
    if (errno != EAGAIN)
        listener_pause(listener, errno);
    return false;
}

/*
 * Who accepts until nothing is there pays for one vain call each time.  So a turn takes one, but
 * twice as many as the turn before it when they come one turn after another.
 */
static void listener_on_event(void *owner, unsigned readiness)
{
    struct listener *listener = owner;
    bool is_flood = listener->turn + 1 == listener->loop->turn;
    bool has_more = true;

    (void)readiness;
    listener->turn = listener->loop->turn;
    if (!is_flood)
        listener->burst = 1;
    else if (listener->burst < LISTENER_ACCEPTS_PER_TURN)
        listener->burst *= 2;
    for (int i = 0; i < listener->burst && has_more && !listener->watch->is_closing; i++)
        has_more = listener_accept(listener);
    if (!has_more)
        listener->burst = 1;
}

void listener_start(struct listener *listener, struct io_loop *loop, int fd,
                    listener_accepted *accepted, void *context)
{
    *listener = (struct listener){ .watch = io_watch_new(loop, fd, listener_on_event, listener),
                                   .loop = loop,
                                   .fd = fd,
                                   .accepted = accepted,
                                   .context = context,
                                   .burst = 1,
                                   .open_handles = 2 };
    if (uv_timer_init(&loop->uv, &listener->pause) != 0)
        abort();
    io_watch_levels(listener->watch, IO_READABLE);
}

static bool listener_is_listening(const struct listener *listener)
{
    int is_listening = 0;
    socklen_t size = sizeof(is_listening);

    return getsockopt(listener->fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) == 0 &&
           is_listening;
}

void listener_drain(struct listener *listener)
{
    if (!listener_is_listening(listener))
        return;
    for (int i = 0; i < LISTENER_BACKLOG_MAX; i++)
        if (!listener_accept(listener))
            return;
}

/* Linux takes a socket out of its listening state by shutdown(2), and back by listen(2). */
void listener_refuse(struct listener *listener)
{
    uv_timer_stop(&listener->pause);
    io_watch_levels(listener->watch, 0);
    if (!listener_is_listening(listener))
        return;
    listener_drain(listener);
    uv_timer_stop(&listener->pause);
    (void)shutdown(listener->fd, SHUT_RD);
}

/*
 * A second shutdown(2), by a process that has it too, would be one for reading, and go over to each
 * connection that is accepted later; one in the listening state takes that away.
 */
void listener_listen(struct listener *listener)
{
    if (!listener_is_listening(listener) &&
        (listen(listener->fd, LISTENER_BACKLOG_MAX) != 0 || shutdown(listener->fd, SHUT_RD) != 0 ||
         listen(listener->fd, LISTENER_BACKLOG_MAX) != 0)) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "listen_failed", LOG_TEXT("error", strerror(errno)));
        return;
    }
    io_watch_levels(listener->watch, IO_READABLE);
}

static void listener_release(struct listener *listener)
{
    if (--listener->open_handles == 0 && listener->stopped)
        listener->stopped(listener);
}

static void listener_on_unwatched(void *owner)
{
    listener_release(owner);
}

static void listener_on_pause_closed(uv_handle_t *handle)
{
    listener_release(CONTAINER_OF(handle, struct listener, pause));
}

void listener_stop(struct listener *listener, void (*stopped)(struct listener *listener))
{
    if (uv_is_closing((uv_handle_t *)&listener->pause))
        return;
    listener->stopped = stopped;
    io_watch_return(listener->watch, listener_on_unwatched);
    uv_close((uv_handle_t *)&listener->pause, listener_on_pause_closed);
}

uint16_t peer_format(const struct sockaddr_storage *peer, char text[46])
{
    const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)peer;
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)peer;

    if (peer->ss_family == AF_INET) {
        inet_ntop(AF_INET, &ipv4->sin_addr, text, 46);
        return ntohs(ipv4->sin_port);
    }
    if (peer->ss_family == AF_INET6) {
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr);

        inet_ntop(is_mapped ? AF_INET : AF_INET6, ipv6->sin6_addr.s6_addr + (is_mapped ? 12 : 0),
                  text, 46);
        return ntohs(ipv6->sin6_port);
    }
    snprintf(text, 46, "unix");
    return 0;
}
