/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of relays share: a relay between two far ends, all four in one loop. */
#ifndef MAILSTEAD_TESTS_RELAY_SUPPORT_H
#define MAILSTEAD_TESTS_RELAY_SUPPORT_H

#include "common/io/relay.h"
#include "tests/unit/io_support.h"

/* A far end: sends a pattern as fast as the relay takes it, and checks what comes against one. */
struct far {
    struct peer peer;
    size_t to_send;
    size_t sent;
    unsigned seed;
    bool shuts_down; /* when all is sent */
};

struct relay_fixture {
    struct io_loop loop;
    SSL_CTX *server_context;
    SSL_CTX *client_context;
    struct far client; /* outside, talks to near_client */
    struct far backend;
    struct transport near_client; /* the relay's */
    struct transport near_backend;
    struct relay relay;
    enum relay_end end;
    bool is_relaying;
    bool has_ended;
    unsigned near_closed;
    unsigned near_secured;
};

/* The contexts for TLS, in a fixture that the tests of a group use one after another. */
int relay_group_setup(void **state);
int relay_group_teardown(void **state);

/* Four connected transports, in plain text; kernel buffers as in io_make_tcp_pair. */
void relay_fixture_init(struct relay_fixture *fixture, int buffer_size);
int relay_fixture_teardown(void **state);

/* Handshakes between a far end and the relay's transport, to their end. */
void relay_secure_client(struct relay_fixture *fixture);
void relay_secure_backend(struct relay_fixture *fixture);

/* Starts the relay; what was read before, or NULL. */
void relay_fixture_start(struct relay_fixture *fixture, const char *from_client,
                         const char *from_backend);

/* Runs the loop until so many bytes have come at each end. */
void relay_run_until_received(struct relay_fixture *fixture, size_t at_client, size_t at_backend);

/* Sends what is to be sent and the transport takes; goes on by itself. */
void far_send(struct far *far);

/* All that came is the first `length` bytes of the pattern of `seed`. */
void far_assert_received(const struct far *far, size_t length, unsigned seed);

/* Closes it by a reset. */
void far_reset(struct far *far);

#endif
