/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two byte pumps between two transports.  It knows no protocol: what one side
 * sends is tried on the other at once; when the other does not take all, the
 * rest is held and the source is not read until it is gone.  While nothing
 * is held it owns no memory but this struct.
 */
#ifndef MAILSTEAD_IO_RELAY_H
#define MAILSTEAD_IO_RELAY_H

#include "common/io/transport.h"

enum relay_end {
    RELAY_END_CLIENT, /* `client` closed in order, and `backend` has said what it still had to */
    RELAY_END_BACKEND, /* `backend` closed in order, and `client` was sent all of it */
    RELAY_END_CLIENT_ERROR,
    RELAY_END_BACKEND_ERROR
};

struct relay {
    struct transport *client;
    struct transport *backend;
    uint64_t bytes_in;  /* from client to backend */
    uint64_t bytes_out; /* from backend to client */
    uint64_t last_activity_ms; /* io_loop_now_ms of the last byte */
    void (*ended)(struct relay *relay, enum relay_end end); /* once; the owner then closes both */
    bool is_client_done; /* its end was passed on to the backend */
    bool has_ended;
};

/*
 * Starts with what each side already read but not consumed (may be empty; sent first).  The owner
 * routes the transports' ready events to relay_ready from now on.  `ended` is called from there,
 * never from here; it may close the transports.  The relay has no clock of its own: the owner ends
 * what is silent for too long, a backend that does not answer the client's end too.
 */
void relay_start(struct relay *relay, struct transport *client, struct transport *backend,
                 struct span from_client, struct span from_backend,
                 void (*ended)(struct relay *relay, enum relay_end end));

/* To be called from the ready event of either transport. */
void relay_ready(struct relay *relay, struct transport *transport, unsigned readiness);

/* "client closed" and so on, for the log. */
const char *relay_end_text(enum relay_end end);

#endif
