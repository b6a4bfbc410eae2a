/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports.  All input and output of a descriptor goes through here, tried first and waited for
 * only when the kernel has nothing or takes nothing.  It never blocks, never reads ahead of its
 * owner in plain text, and calls its owner from the loop only.
 *
 * System calls are what a relayed byte costs, so none is made that can be known to be vain: a read
 * after a short one, a write after a short one, a change of what epoll watches.  The descriptor
 * tells edges, so what it told is remembered here: `input` and `output` say what is to be tried.
 * An edge that came while the owner paused is made up for by `news`.
 *
 * Failures: a read error, a write error and a failed handshake break the transport and stay; the
 * owner learns them from the call itself or, in the background, by READABLE and a read.
 */
#include "common/io/transport.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/io/transport_tls.h"

enum { TRANSPORT_PENDING_MAX = 1024 * 1024, TRANSPORT_TURN_MAX = IO_SCRATCH_SIZE };

/* --- what is watched ------------------------------------------------------- */

static unsigned transport_input_event(const struct transport *transport)
{
    bool wants_other = transport->tls_wants & TRANSPORT_TLS_READ_WANTS_WRITABLE;

    return wants_other ? IO_WRITABLE : IO_READABLE;
}

static unsigned transport_output_event(const struct transport *transport)
{
    bool wants_other = transport->tls_wants & TRANSPORT_TLS_WRITE_WANTS_READABLE;

    return wants_other ? IO_READABLE : IO_WRITABLE;
}

/* Reading is always watched.  Once writing had to be, it stays so: an edge more costs nothing. */
static bool transport_waits_for_writable(const struct transport *transport)
{
    if (transport->handshake == TRANSPORT_IN_HANDSHAKE && transport->plain_left == 0)
        return transport_input_event(transport) == IO_WRITABLE;
    return transport->output == TRANSPORT_OUTPUT_BLOCKED ||
           transport_input_event(transport) == IO_WRITABLE;
}

/* True when the owner is to be called although the descriptor may stay silent. */
static bool transport_has_news(const struct transport *transport)
{
    bool is_over =
        transport->input >= TRANSPORT_INPUT_ENDED || transport->output == TRANSPORT_OUTPUT_BROKEN;
    bool is_there =
        transport->handshake != TRANSPORT_IN_HANDSHAKE &&
        (transport->input == TRANSPORT_INPUT_READY || transport->input == TRANSPORT_INPUT_BUFFERED);

    return transport->is_handshake_due || ((transport->watched & TRANSPORT_READABLE) &&
                                           (is_over ? !transport->is_end_told : is_there));
}

/* After any change of state: has what is wanted watched. */
static void transport_settle(struct transport *transport)
{
    if (transport->is_closing)
        return;
    if (transport_has_news(transport))
        io_loop_resume(transport->loop, &transport->news);
    else
        io_resumption_cancel(&transport->news);
    if (transport_waits_for_writable(transport))
        io_watch_edges(transport->watch, IO_WRITABLE);
}

/* --- output ---------------------------------------------------------------- */

static void transport_break_output(struct transport *transport, int error, const char *text)
{
    transport->output = TRANSPORT_OUTPUT_BROKEN;
    transport->plain_left = 0;
    bytes_wipe(&transport->pending);
    if (transport->error_text[0] == '\0')
        snprintf(transport->error_text, sizeof(transport->error_text), "%s", text);
    transport->error = error;
}

static ssize_t transport_write_plain(struct transport *transport, struct span bytes)
{
    ssize_t count;

    do
        count = send(transport->fd, bytes.data, bytes.length, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    if (count < 0 && errno != EAGAIN) {
        transport_break_output(transport, errno, strerror(errno));
        return TRANSPORT_ERROR;
    }
    if (count < 0)
        count = 0;
    if ((size_t)count < bytes.length)
        transport->output = TRANSPORT_OUTPUT_BLOCKED;
    return count;
}

/* Writes until all of `bytes` is taken or the output is not ready any more: the count, or ERROR. */
static ssize_t transport_write_now(struct transport *transport, struct span bytes)
{
    bool is_tls = transport->ssl && transport->plain_left == 0;
    size_t taken = 0;

    while (taken < bytes.length && transport->output == TRANSPORT_OUTPUT_READY) {
        struct span rest = span_drop(bytes, taken);
        ssize_t count =
            is_tls ? transport_tls_write(transport, rest) : transport_write_plain(transport, rest);

        if (count < 0)
            return count;
        taken += (size_t)count;
    }
    return (ssize_t)taken;
}

static void transport_finish_shutdown(struct transport *transport)
{
    if (transport->ssl && !transport_tls_shutdown(transport)) {
        transport->output = TRANSPORT_OUTPUT_BLOCKED;
        return;
    }
    shutdown(transport->fd, SHUT_WR);
    transport->output = TRANSPORT_OUTPUT_SHUT;
}

/* Sends `count` bytes of what is held, as far as the descriptor takes them. */
static void transport_flush_some(struct transport *transport, size_t count)
{
    ssize_t sent;

    transport->output = TRANSPORT_OUTPUT_READY;
    sent = transport_write_now(transport, span_take(bytes_span(&transport->pending), count));
    if (sent <= 0)
        return;
    if ((size_t)sent == transport->pending.length)
        bytes_wipe(&transport->pending);
    else
        bytes_consume(&transport->pending, (size_t)sent);
    if (transport->plain_left > 0)
        transport->plain_left -= (size_t)sent;
}

/* Sends what is held and then the end, if it is wanted; the readiness to tell. */
static unsigned transport_flush(struct transport *transport)
{
    transport_flush_some(transport, transport->pending.length);
    if (transport->output == TRANSPORT_OUTPUT_READY && transport->is_shutdown_wanted)
        transport_finish_shutdown(transport);
    switch (transport->output) {
    case TRANSPORT_OUTPUT_READY:
        return TRANSPORT_WRITABLE;
    case TRANSPORT_OUTPUT_BROKEN:
        return TRANSPORT_READABLE;
    default:
        return 0;
    }
}

/* A sealed record must be sent as it is: what is in it is taken, whatever the owner does next. */
static size_t transport_hold_record(struct transport *transport, struct span rest)
{
    struct span record = span_take(rest, TRANSPORT_TLS_RECORD_MAX);

    if (!transport->ssl || transport->output != TRANSPORT_OUTPUT_BLOCKED)
        return 0;
    if (!bytes_append(&transport->pending, record))
        abort();
    return record.length;
}

ssize_t transport_try_write(struct transport *transport, struct span bytes)
{
    ssize_t taken;

    assert(!transport->is_shutdown_wanted);
    if (transport->output == TRANSPORT_OUTPUT_BROKEN || transport->is_closing)
        return TRANSPORT_ERROR;
    if (transport->handshake == TRANSPORT_IN_HANDSHAKE)
        transport->output = TRANSPORT_OUTPUT_BLOCKED;
    if (transport->output == TRANSPORT_OUTPUT_BLOCKED)
        return 0;
    taken = transport_write_now(transport, bytes);
    if (taken >= 0 && (size_t)taken < bytes.length)
        taken += (ssize_t)transport_hold_record(transport, span_drop(bytes, (size_t)taken));
    transport_settle(transport);
    return taken;
}

bool transport_send(struct transport *transport, struct span bytes)
{
    ssize_t taken = transport_try_write(transport, bytes);

    if (taken < 0)
        return false;
    if (bytes_append(&transport->pending, span_drop(bytes, (size_t)taken)))
        return true;
    transport_break_output(transport, ENOBUFS, "the peer does not read");
    transport_settle(transport);
    return false;
}

void transport_shutdown(struct transport *transport)
{
    if (transport->is_shutdown_wanted || transport->is_closing ||
        transport->output == TRANSPORT_OUTPUT_BROKEN)
        return;
    transport->is_shutdown_wanted = true;
    if (transport->handshake == TRANSPORT_IN_HANDSHAKE)
        transport->output = TRANSPORT_OUTPUT_BLOCKED;
    if (transport->output == TRANSPORT_OUTPUT_READY)
        transport_finish_shutdown(transport);
    transport_settle(transport);
}

/* --- input ----------------------------------------------------------------- */

ssize_t transport_receive(struct transport *transport, char *target, size_t size)
{
    ssize_t count;

    do
        count = recv(transport->fd, target, size, 0);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        transport->is_dry = errno == EAGAIN;
    else /* epoll(7): a short read has taken all, and the next bytes make an event */
        transport->is_dry = (size_t)count < size && !transport->is_hung_up;
    return count;
}

static ssize_t transport_read_plain(struct transport *transport, char *target, size_t size)
{
    ssize_t count = transport_receive(transport, target, size);

    if (count > 0) {
        if (transport->is_dry)
            transport->input = TRANSPORT_INPUT_DRAINED;
        return count;
    }
    if (count == 0) {
        transport->input = TRANSPORT_INPUT_ENDED;
        return TRANSPORT_END;
    }
    if (errno == EAGAIN) {
        transport->input = TRANSPORT_INPUT_DRAINED;
        return TRANSPORT_AGAIN;
    }
    transport_break_output(transport, errno, strerror(errno));
    transport->input = TRANSPORT_INPUT_BROKEN;
    return TRANSPORT_ERROR;
}

/* Whether this turn of the loop has any reading left for it. */
static bool transport_has_turn(struct transport *transport)
{
    if (transport->turn != transport->loop->turn) {
        transport->turn = transport->loop->turn;
        transport->turn_bytes = 0;
    }
    return transport->turn_bytes < TRANSPORT_TURN_MAX;
}

static ssize_t transport_read_now(struct transport *transport, char *target, size_t size)
{
    if (transport->input == TRANSPORT_INPUT_ENDED)
        return TRANSPORT_END;
    if (transport->input == TRANSPORT_INPUT_BROKEN || transport->is_closing)
        return TRANSPORT_ERROR;
    if (transport->input == TRANSPORT_INPUT_DRAINED ||
        transport->handshake == TRANSPORT_IN_HANDSHAKE || !transport_has_turn(transport))
        return TRANSPORT_AGAIN;
    if (transport->ssl)
        return transport_tls_read(transport, target, size);
    return transport_read_plain(transport, target, size);
}

ssize_t transport_read(struct transport *transport, char *target, size_t size)
{
    ssize_t result = transport_read_now(transport, target, size);

    assert(size > 0);
    if (result > 0)
        transport->turn_bytes += (size_t)result;
    if (result < 0 && transport->output == TRANSPORT_OUTPUT_BROKEN)
        result = TRANSPORT_ERROR; /* what came before a failed write is read, then the failure */
    if (result == TRANSPORT_END || result == TRANSPORT_ERROR)
        transport->is_end_told = true;
    transport_settle(transport);
    return result;
}

void transport_watch(struct transport *transport, unsigned readiness)
{
    assert((readiness & ~(unsigned)TRANSPORT_READABLE) == 0);
    transport->watched = readiness;
    transport_settle(transport);
}

/* --- TLS ------------------------------------------------------------------- */

/* Sends what is still due in plain text, then goes on; the readiness to tell. */
static unsigned transport_advance_handshake(struct transport *transport)
{
    transport->is_handshake_due = false;
    if (transport->plain_left > 0) {
        transport_flush_some(transport, transport->plain_left);
        if (transport->output == TRANSPORT_OUTPUT_READY)
            transport->output = TRANSPORT_OUTPUT_BLOCKED;
    }
    if (transport->plain_left == 0 && transport->output != TRANSPORT_OUTPUT_BROKEN)
        transport_tls_advance(transport);
    if (transport->output == TRANSPORT_OUTPUT_BROKEN)
        return TRANSPORT_READABLE;
    if (transport->handshake == TRANSPORT_IN_HANDSHAKE)
        return 0;
    if (transport->output == TRANSPORT_OUTPUT_BLOCKED)
        return TRANSPORT_SECURED | transport_flush(transport);
    return TRANSPORT_SECURED;
}

static void transport_on_news(struct io_resumption *resumption)
{
    struct transport *transport = CONTAINER_OF(resumption, struct transport, news);
    unsigned readiness = TRANSPORT_READABLE;

    if (transport->is_handshake_due)
        readiness = transport_advance_handshake(transport);
    if (readiness != 0)
        transport->events->ready(transport, readiness);
    transport_settle(transport);
}

static bool transport_can_start_tls(const struct transport *transport)
{
    return !transport->ssl && !transport->is_closing && !transport->is_shutdown_wanted &&
           transport->input < TRANSPORT_INPUT_ENDED && transport->output != TRANSPORT_OUTPUT_BROKEN;
}

/*
 * The first step is taken from the loop, not here: a fast peer can end a handshake within it, which
 * is an event.  A server's waits for the client, unless its first bytes are there already.
 */
static void transport_enter_handshake(struct transport *transport, bool is_ours_to_begin)
{
    transport->is_handshake_due = is_ours_to_begin || !transport->is_dry;
    transport->handshake = TRANSPORT_IN_HANDSHAKE;
    transport->input = TRANSPORT_INPUT_READY;
    transport->plain_left = transport->pending.length;
}

bool transport_start_tls_server(struct transport *transport, SSL_CTX *context)
{
    if (!transport_can_start_tls(transport) || !transport_tls_start_server(transport, context))
        return false;
    transport_enter_handshake(transport, false);
    transport_settle(transport);
    return true;
}

bool transport_start_tls_client(struct transport *transport, SSL_CTX *context,
                                const char *verify_name, const char *peer)
{
    if (!transport_can_start_tls(transport) ||
        !transport_tls_start_client(transport, context, verify_name, peer))
        return false;
    transport_enter_handshake(transport, true);
    transport_settle(transport);
    return true;
}

/* --- life ------------------------------------------------------------------ */

/* The descriptor fired: what of it the owner is to know. */
static unsigned transport_take_events(struct transport *transport, unsigned fired)
{
    unsigned readiness = 0;

    if (fired & IO_READABLE)
        transport->is_dry = false;
    if (fired & IO_HUNG_UP)
        transport->is_hung_up = true;
    if (transport->handshake == TRANSPORT_IN_HANDSHAKE)
        return transport_advance_handshake(transport);
    if (transport->output == TRANSPORT_OUTPUT_BLOCKED &&
        (fired & transport_output_event(transport))) {
        transport->tls_wants &= ~(unsigned)TRANSPORT_TLS_WRITE_WANTS_READABLE;
        readiness |= transport_flush(transport);
    }
    if (fired & transport_input_event(transport)) {
        transport->tls_wants &= ~(unsigned)TRANSPORT_TLS_READ_WANTS_WRITABLE;
        if (transport->input == TRANSPORT_INPUT_DRAINED)
            transport->input = TRANSPORT_INPUT_READY;
        if ((transport->watched & TRANSPORT_READABLE) && transport->input < TRANSPORT_INPUT_ENDED)
            readiness |= TRANSPORT_READABLE;
    }
    return readiness;
}

static void transport_on_event(void *owner, unsigned fired)
{
    struct transport *transport = owner;
    unsigned readiness = transport_take_events(transport, fired);

    if (readiness != 0)
        transport->events->ready(transport, readiness);
    transport_settle(transport);
}

static void transport_start(struct transport *transport, struct io_watch *watch,
                            const struct transport_events *events)
{
    *transport = (struct transport){ .watch = watch,
                                     .loop = watch->loop,
                                     .events = events,
                                     .fd = watch->fd,
                                     .input = TRANSPORT_INPUT_DRAINED,
                                     .is_dry = true,
                                     .pending = bytes_empty(TRANSPORT_PENDING_MAX) };
    io_resumption_init(&transport->news, transport_on_news);
    io_watch_edges(watch, IO_READABLE);
}

void transport_init(struct transport *transport, struct io_loop *loop, int fd,
                    const struct transport_events *events)
{
    transport_start(transport, io_watch_new(loop, fd, transport_on_event, transport), events);
}

void transport_init_connected(struct transport *transport, struct io_watch *watch,
                              const struct transport_events *events)
{
    io_watch_give(watch, transport_on_event, transport);
    transport_start(transport, watch, events);
    (void)transport_take_events(transport, watch->fired & (IO_READABLE | IO_HUNG_UP));
}

static void transport_on_closed(void *owner)
{
    struct transport *transport = owner;

    transport->events->closed(transport);
}

void transport_close(struct transport *transport)
{
    bool can_write =
        transport->output < TRANSPORT_OUTPUT_SHUT && transport->handshake != TRANSPORT_IN_HANDSHAKE;

    if (transport->is_closing)
        return;
    if (can_write && transport->output == TRANSPORT_OUTPUT_BLOCKED)
        transport_flush(transport);
    if (transport->output == TRANSPORT_OUTPUT_READY &&
        transport->handshake == TRANSPORT_IS_SECURED && !transport_tls_shutdown(transport))
        transport->output = TRANSPORT_OUTPUT_BLOCKED; /* the peer misses close_notify */
    transport->is_closing = true;
    io_resumption_cancel(&transport->news);
    SSL_free(transport->ssl);
    transport->ssl = NULL;
    bytes_wipe(&transport->pending);
    io_watch_close(transport->watch, transport_on_closed);
    transport->fd = -1;
}

bool transport_has_peer_left(const struct transport *transport)
{
    struct pollfd descriptor = { .fd = transport->fd, .events = POLLRDHUP };

    return transport->input >= TRANSPORT_INPUT_ENDED || transport->is_closing ||
           transport->output == TRANSPORT_OUTPUT_BROKEN || poll(&descriptor, 1, 0) > 0;
}

const char *transport_error(const struct transport *transport)
{
    return transport->error_text;
}
