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
#include "common/io/watch.h"

struct transport;

enum transport_readiness {
    TRANSPORT_READABLE = 1, /* transport_read will give something: bytes, the end, or an error */
    TRANSPORT_WRITABLE = 2, /* what was held back is sent, and more can be tried */
    TRANSPORT_SECURED = 4   /* the TLS handshake that was started is done */
};

struct transport_events {
    /*
     * `readiness` is a set of transport_readiness.  A failed handshake shows as READABLE and a
     * read error.
     */
    void (*ready)(struct transport *transport, unsigned readiness);
    /* Last call: the descriptor is closed, the struct may be freed. */
    void (*closed)(struct transport *transport);
};

enum transport_handshake { TRANSPORT_NOT_SECURED, TRANSPORT_IN_HANDSHAKE, TRANSPORT_IS_SECURED };

enum transport_input {
    TRANSPORT_INPUT_READY,    /* to be tried */
    TRANSPORT_INPUT_DRAINED,  /* nothing there before the next readiness of the descriptor */
    TRANSPORT_INPUT_BUFFERED, /* more is inside TLS already */
    TRANSPORT_INPUT_ENDED,
    TRANSPORT_INPUT_BROKEN
};

enum transport_output {
    TRANSPORT_OUTPUT_READY,
    TRANSPORT_OUTPUT_BLOCKED, /* a write was short: WRITABLE is owed */
    TRANSPORT_OUTPUT_SHUT,
    TRANSPORT_OUTPUT_BROKEN
};

struct transport {
    struct io_watch *watch;
    struct io_loop *loop;
    const struct transport_events *events;
    SSL *ssl;             /* NULL while plain */
    int fd;               /* the watch's */
    unsigned watched;     /* the readiness that the owner asked for */
    struct bytes pending; /* what a write could not take yet */
    /* The implementation's own: */
    struct io_resumption news; /* READABLE that no event of the descriptor announces */
    size_t plain_left;         /* how much of `pending` goes out before TLS starts */
    size_t turn_bytes;         /* how much was read in `turn` of the loop */
    unsigned turn;
    unsigned tls_wants; /* set of transport_tls_wants */
    enum transport_handshake handshake;
    enum transport_input input;
    enum transport_output output;
    bool is_dry;           /* the descriptor has nothing to read before its next event */
    bool is_hung_up;       /* behind what it has there is an end or an error, and no event */
    bool is_handshake_due; /* the first step of a client's handshake */
    bool is_end_told;      /* a read gave END or ERROR */
    bool is_shutdown_wanted;
    bool is_closing;
    int error;            /* errno-style, 0 when none */
    char error_text[128]; /* for the log; empty when none */
};

/* Results of transport_read and transport_write below 0. */
enum { TRANSPORT_AGAIN = -1, TRANSPORT_END = -2, TRANSPORT_ERROR = -3 };

/*
 * Takes over `fd`, a connected non-blocking stream socket.  The owner hears of nothing yet.
 * A TCP socket must have TCP_NODELAY: listening sockets hand it down, connectors set it.
 */
void transport_init(struct transport *transport, struct io_loop *loop, int fd,
                    const struct transport_events *events);

/* As above, with the watch of a connector. */
void transport_init_connected(struct transport *transport, struct io_watch *watch,
                              const struct transport_events *events);

/*
 * Asks for `readiness` (READABLE, or 0 to pause).  WRITABLE comes by itself after a short write.
 * Pausing and going on cost no system call while nothing arrives.  A paused transport hears of the
 * peer only what a write that is held back finds out; that comes as READABLE, once, all the same.
 */
void transport_watch(struct transport *transport, unsigned readiness);

/*
 * Starts TLS as server with `context`; SECURED follows, also while reading is paused.  What is
 * held back is sent in plain text first, what is sent from now on goes inside TLS.  False when
 * TLS already runs, the connection is broken, or the library has no memory.
 *
 * Bytes that came with the STARTTLS command in one read are the caller's to refuse (RFC 3207
 * section 5: it must have no leftover).  Bytes that are still in the socket are not looked at
 * here: they are taken as TLS records, so that plain text among them fails the handshake and
 * never reaches the caller.
 */
bool transport_start_tls_server(struct transport *transport, SSL_CTX *context)
    __attribute__((warn_unused_result));

/*
 * Starts TLS as client, otherwise as above.  `verify_name` is the DNS name (or textual IP
 * address) that the certificate must have when `context` verifies, also sent as SNI when it is
 * a name; NULL: any name.  `peer` says who is connected to (a backend's name and port): a TLS
 * session that it gave to an earlier connection of this context, and under this verify_name, is
 * resumed (tls_sessions.h); NULL: none is.
 */
bool transport_start_tls_client(struct transport *transport, SSL_CTX *context,
                                const char *verify_name, const char *peer)
    __attribute__((warn_unused_result));

/*
 * Reads up to `size` (> 0) bytes: their count, or AGAIN, END (orderly), ERROR.  After a read that
 * was not filled it says AGAIN, without asking the kernel, until the descriptor is ready again.
 * It also says so when IO_SCRATCH_SIZE or more was read in this turn of the loop, so that a fast
 * peer leaves the others their turn; then READABLE comes in the next one.
 * After a write that failed, what the peer still said is read first, then ERROR.
 * Inside TLS a connection that ends without close_notify ends in order too: what is inside
 * (SMTP, IMAP, POP3) says by itself whether it is whole.
 */
ssize_t transport_read(struct transport *transport, char *target, size_t size);

/*
 * Tries to write: the count taken, or ERROR.  When it is less than all of `bytes` (0 also during a
 * handshake or while something is held back), WRITABLE follows.  Inside TLS a record that is
 * already sealed counts as taken and is held back.
 */
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

/*
 * Sends the end of our direction (close_notify, FIN) once nothing is pending; idempotent, and
 * nothing may be written after it.  Reading goes on.
 */
void transport_shutdown(struct transport *transport);

/*
 * Ends it: tries once more what is pending, says close_notify when TLS is up, closes at once.
 * Idempotent; `closed` comes later, from the loop.  Input that was not read makes the kernel
 * reset the connection, which can overtake the last bytes sent: who must be heard reads to the end.
 */
void transport_close(struct transport *transport);

/*
 * True when the peer has closed, or shut its direction down, even while reading is paused and
 * bytes of it are unread.  Costs a system call.
 */
bool transport_has_peer_left(const struct transport *transport);

/* Why the last operation failed, for the log; never NULL. */
const char *transport_error(const struct transport *transport);

#endif
