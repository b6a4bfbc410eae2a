/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transport is one connection: a TCP or unix stream socket, plain or inside
 * TLS; whoever holds it need not know which.  Reading is pulled (ready event, then
 * transport_read until it says AGAIN), writing tries at once.
 *
 * Owner: the struct is embedded in a session.  It owns its descriptor and its
 * SSL object from init on.  After transport_close nothing is called but
 * `closed`, and only in `closed` may the memory of the session be freed.
 */
#ifndef MAILSTEAD_IO_TRANSPORT_H
#define MAILSTEAD_IO_TRANSPORT_H

#include <openssl/ssl.h>

#include "common/base/bytes.h"
#include "common/io/loop.h"

struct transport;

enum transport_readiness {
    TRANSPORT_READABLE = 1, /* transport_read will give something: bytes, the end, or an error */
    TRANSPORT_WRITABLE = 2, /* what was held back is sent, and more can be tried */
    TRANSPORT_SECURED = 4   /* the TLS handshake that was started is done */
};

struct transport_events {
    /* `readiness` is a set of transport_readiness.  A failed handshake shows as READABLE and a read error. */
    void (*ready)(struct transport *transport, unsigned readiness);
    /* Last call: the descriptor is closed, the struct may be freed. */
    void (*closed)(struct transport *transport);
};

struct transport {
    uv_poll_t poll;
    struct io_loop *loop;
    const struct transport_events *events;
    SSL *ssl; /* NULL while plain */
    int fd;
    unsigned watched;        /* the readiness that the owner asked for */
    struct bytes pending;    /* what a write could not take yet */
    struct list resume_node; /* in loop->resume */
    /* ... the implementation's own members below */
    unsigned handshake;      /* none, in progress, failed */
    unsigned tls_wants;      /* readiness that TLS itself waits for */
    bool is_closing;
    int error;               /* errno-style, 0 when none */
    char error_text[128];    /* for the log; empty when none */
};

/* Results of transport_read and transport_write below 0. */
enum { TRANSPORT_AGAIN = -1, TRANSPORT_END = -2, TRANSPORT_ERROR = -3 };

/*
 * Takes over `fd`, a connected non-blocking stream socket.  Nothing is watched
 * yet.  TCP_NODELAY is set on a TCP socket.
 */
void transport_init(struct transport *transport, struct io_loop *loop, int fd,
                    const struct transport_events *events);

/* Asks for `readiness` (READABLE, or 0 to pause).  WRITABLE comes by itself after a short write. */
void transport_watch(struct transport *transport, unsigned readiness);

/*
 * Starts TLS as server with `context`; SECURED follows.  False when there is
 * input that the caller has not consumed: it must check its own leftover too (RFC 3207 section 5).
 */
bool transport_start_tls_server(struct transport *transport, SSL_CTX *context)
    __attribute__((warn_unused_result));

/*
 * Starts TLS as client.  `verify_name` is the DNS name (or textual IP address)
 * that the certificate must have, also sent as SNI when it is a name; NULL: as `context` says.
 */
bool transport_start_tls_client(struct transport *transport, SSL_CTX *context,
                                const char *verify_name) __attribute__((warn_unused_result));

/* Reads up to `size` (> 0) bytes: their count, or AGAIN, END (orderly), ERROR. */
ssize_t transport_read(struct transport *transport, char *target, size_t size);

/* Tries to write: the count taken (0 when none now; WRITABLE follows), or ERROR. */
ssize_t transport_try_write(struct transport *transport, struct span bytes);

/*
 * Writes all of `bytes`, keeping what the peer does not take yet (WRITABLE
 * follows when it is all sent).  False when the connection is broken or more
 * than 1 MiB would be held back: close it.
 */
bool transport_send(struct transport *transport, struct span bytes)
    __attribute__((warn_unused_result));

/* True while something is held back: then stop reading what produces more. */
static inline bool transport_has_pending(const struct transport *transport)
{
    return transport->pending.length > 0;
}

/* Sends the end of our direction (close_notify, FIN) once nothing is pending. */
void transport_shutdown(struct transport *transport);

/*
 * Ends it: tries once more what is pending, then closes.  Idempotent;
 * `closed` comes later, from the loop.
 */
void transport_close(struct transport *transport);

/* Why the last operation failed, for the log; never NULL. */
const char *transport_error(const struct transport *transport);

#endif
