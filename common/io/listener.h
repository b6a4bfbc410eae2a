/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepts from one listening socket that the supervisor made.  A bounded number
 * of connections a turn, so that a flood cannot starve the sessions.
 */
#ifndef MAILSTEAD_IO_LISTENER_H
#define MAILSTEAD_IO_LISTENER_H

#include <sys/socket.h>

#include "common/io/watch.h"

struct listener;

/* Gets each connection: `fd` is non-blocking, close-on-exec, and the callee's now. */
typedef void listener_accepted(struct listener *listener, int fd,
                               const struct sockaddr_storage *peer);

struct listener {
    struct io_watch *watch;
    uv_timer_t pause; /* after EMFILE: accepts again a moment later */
    struct io_loop *loop;
    int fd; /* borrowed from the supervisor; never closed here */
    listener_accepted *accepted;
    void *context;
    int burst;     /* connections that one turn may take */
    unsigned turn; /* the turn of the loop that last had some */
    unsigned open_handles;
    void (*stopped)(struct listener *listener);
};

/*
 * Starts accepting from `fd`, a non-blocking listening socket; aborts when it is none.  `accepted`
 * may call listener_stop.
 */
void listener_start(struct listener *listener, struct io_loop *loop, int fd,
                    listener_accepted *accepted, void *context);

/* Accepts all that waits in the backlog now; before listener_stop, when the socket will be closed.
 */
void listener_drain(struct listener *listener);

/*
 * Accepts what waits in the backlog, and has the kernel refuse who comes from then on: the socket
 * listens no more, for all processes that have it, but it stays bound.
 */
void listener_refuse(struct listener *listener);

/* Listens again after listener_refuse. */
void listener_listen(struct listener *listener);

/*
 * Stops, idempotent; `stopped` (may be NULL) is called from the loop when the memory may be freed.
 */
void listener_stop(struct listener *listener, void (*stopped)(struct listener *listener));

/*
 * Writes a numeric address ("192.0.2.1", also when an IPv6 socket accepted it, "2001:db8::1",
 * "unix" for a unix peer) to `text`; the result is its port.
 */
uint16_t peer_format(const struct sockaddr_storage *peer, char text[46]);

#endif
