/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two pumps.  What a transport could not send stays in that transport, at most one read of
 * it, since its source is not read before it is gone.
 *
 * Ends.  A client that closes its direction gets what the backend still has to say: the end
 * travels on, and the backend's own end is the relay's.  A backend that closes has said all: what
 * is held for the client is sent, and that is the end.  An error of either is the end at once,
 * but never hides that the client was already done.
 */
#include "common/io/relay.h"

/* What is held back at most for a peer that does not take it: there may be thousands. */
enum { RELAY_READ_MAX = 65536 };

#include <assert.h>

static struct transport *relay_peer(const struct relay *relay, const struct transport *transport)
{
    return transport == relay->client ? relay->backend : relay->client;
}

static void relay_end(struct relay *relay, enum relay_end end)
{
    if (relay->has_ended)
        return;
    relay->has_ended = true;
    relay->ended(relay, relay->is_client_done ? RELAY_END_CLIENT : end);
}

/* `source` closed its direction, and nothing that it sent is held any more. */
static void relay_source_ended(struct relay *relay, struct transport *source)
{
    if (source == relay->backend) {
        relay_end(relay, RELAY_END_BACKEND);
        return;
    }
    relay->is_client_done = true;
    transport_shutdown(relay->backend);
}

/*
 * Hands on what was read.  When that fails, the other pump reads what the target still said, and
 * then its error; a client that is done has nothing left to say.
 */
static void relay_pass(struct relay *relay, struct transport *source, struct span bytes)
{
    if (!transport_send(relay_peer(relay, source), bytes)) {
        if (source == relay->backend && relay->is_client_done)
            relay_end(relay, RELAY_END_CLIENT);
        return;
    }
    *(source == relay->client ? &relay->bytes_in : &relay->bytes_out) += bytes.length;
    relay->last_activity_ms = io_loop_now_ms(source->loop);
}

/* Reads once from `source`; false when that is all for this turn. */
static bool relay_pump_once(struct relay *relay, struct transport *source)
{
    char *scratch = source->loop->scratch;
    ssize_t count = transport_read(source, scratch, RELAY_READ_MAX);

    switch (count) {
    case TRANSPORT_AGAIN:
        return false;
    case TRANSPORT_END:
        relay_source_ended(relay, source);
        return false;
    case TRANSPORT_ERROR:
        relay_end(relay,
                  source == relay->client ? RELAY_END_CLIENT_ERROR : RELAY_END_BACKEND_ERROR);
        return false;
    default:
        relay_pass(relay, source, span_of(scratch, (size_t)count));
        return true;
    }
}

static bool relay_can_read(const struct relay *relay, const struct transport *source)
{
    return !relay->has_ended && !(source == relay->client && relay->is_client_done) &&
           !transport_has_pending(relay_peer(relay, source));
}

static void relay_pump(struct relay *relay, struct transport *source)
{
    while (relay_can_read(relay, source) && relay_pump_once(relay, source))
        ;
}

static void relay_watch(struct relay *relay)
{
    if (relay->has_ended)
        return;
    transport_watch(relay->client, relay_can_read(relay, relay->client) ? TRANSPORT_READABLE : 0);
    transport_watch(relay->backend, relay_can_read(relay, relay->backend) ? TRANSPORT_READABLE : 0);
}

void relay_start(struct relay *relay, struct transport *client, struct transport *backend,
                 struct span from_client, struct span from_backend,
                 void (*ended)(struct relay *relay, enum relay_end end))
{
    *relay = (struct relay){ .client = client,
                             .backend = backend,
                             .last_activity_ms = io_loop_now_ms(client->loop),
                             .ended = ended };
    relay_pass(relay, client, from_client);
    relay_pass(relay, backend, from_backend);
    relay_watch(relay);
}

void relay_ready(struct relay *relay, struct transport *transport, unsigned readiness)
{
    if (relay->has_ended)
        return;
    if ((readiness & TRANSPORT_READABLE) && transport == relay->client && relay->is_client_done)
        relay_end(relay, RELAY_END_CLIENT); /* what was held for it cannot be sent */
    if (readiness & TRANSPORT_READABLE)
        relay_pump(relay, transport);
    if (readiness & TRANSPORT_WRITABLE)
        relay_pump(relay, relay_peer(relay, transport));
    relay_watch(relay);
}

const char *relay_end_text(enum relay_end end)
{
    static const char *const texts[] = {
        [RELAY_END_CLIENT] = "client closed",
        [RELAY_END_BACKEND] = "backend closed",
        [RELAY_END_CLIENT_ERROR] = "client failed",
        [RELAY_END_BACKEND_ERROR] = "backend failed",
    };

    assert((size_t)end < ARRAY_LENGTH(texts));
    return texts[end];
}
