/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel carries whole messages, and descriptors with them, between our own
 * processes over a SOCK_SEQPACKET unix socket.  Requests and answers are told
 * apart by a type byte and matched by a number, both chosen by who uses it.
 */
#ifndef MAILSTEAD_IO_CHANNEL_H
#define MAILSTEAD_IO_CHANNEL_H

#include "common/base/wire.h"
#include "common/io/watch.h"

enum { CHANNEL_MESSAGE_MAX = IO_MESSAGE_SIZE };

struct channel;

struct channel_events {
    /*
     * One whole message, valid during the call (it is not in the loop's scratch area: reading
     * from a transport leaves it alone); `fd` is -1 or the callee's.
     */
    void (*message)(struct channel *channel, struct span message, int fd);
    /* The peer is gone or broke the contract, once, from the loop: close it. */
    void (*ended)(struct channel *channel);
    /* Last call after channel_close; the struct may be freed. */
    void (*closed)(struct channel *channel);
};

struct channel {
    struct io_watch *watch;
    struct io_loop *loop;
    const struct channel_events *events;
    int fd;               /* the watch's */
    struct list outgoing; /* messages that the socket did not take yet, each with its descriptor */
    size_t outgoing_count;
    struct io_resumption end; /* an end found while sending, told of later */
    bool has_ended;
    bool is_closing;
};

/* Takes over `fd`, a connected SOCK_SEQPACKET socket, and starts reading. */
void channel_init(struct channel *channel, struct io_loop *loop, int fd,
                  const struct channel_events *events);

/*
 * Sends one message of 1 to CHANNEL_MESSAGE_MAX bytes; `fd` (-1: none) is
 * duplicated by the kernel and stays the caller's.  What the socket does not take is
 * kept in order.  False when the peer is gone (or no descriptor was left for the duplicate);
 * `ended` follows unless it already came.
 */
bool channel_send(struct channel *channel, struct span message, int fd);

/* Messages that wait; who produces many should stop while it is above a bound of its own. */
static inline size_t channel_waiting(const struct channel *channel)
{
    return channel->outgoing_count;
}

/* The loop may end while only such channels are left. */
void channel_put_in_background(struct channel *channel);

/* Idempotent; drops what waits. */
void channel_close(struct channel *channel);

/* unix_socket_connect, for channel_init. */
int channel_connect(const char *path) __attribute__((warn_unused_result));

/* unix_socket_listen, for channel_connect. */
int channel_listen(const char *path, unsigned mode) __attribute__((warn_unused_result));

#endif
