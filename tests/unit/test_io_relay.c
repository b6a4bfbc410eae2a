/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between plain and TLS transports: volume, back-pressure, ends. */
#include "tests/unit/io_support.h"

#include <unistd.h>

#include "common/io/relay.h"
#include "common/io/tls.h"
#include "tests/unit/certificates.h"

enum { SMALL_SOCKETS = 16384, CHUNK = 50000 };

/* A far end: sends a pattern as fast as the relay takes it, and checks what comes against one. */
struct far {
    struct peer peer;
    size_t to_send;
    size_t sent;
    unsigned seed;
    bool shuts_down; /* when all is sent */
};

struct fixture {
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

static void near_on_ready(struct transport *transport, unsigned readiness);
static void near_on_closed(struct transport *transport);

static const struct transport_events near_events = { near_on_ready, near_on_closed };

static struct fixture *fixture_of(struct transport *transport)
{
    return transport->loop->uv.data;
}

static void near_on_ready(struct transport *transport, unsigned readiness)
{
    struct fixture *fixture = fixture_of(transport);

    if (readiness & TRANSPORT_SECURED)
        fixture->near_secured++;
    if (fixture->is_relaying)
        relay_ready(&fixture->relay, transport, readiness);
}

static void near_on_closed(struct transport *transport)
{
    fixture_of(transport)->near_closed++;
}

static void fixture_on_ended(struct relay *relay, enum relay_end end)
{
    struct fixture *fixture = CONTAINER_OF(relay, struct fixture, relay);

    assert_false(fixture->has_ended);
    fixture->has_ended = true;
    fixture->end = end;
    transport_close(&fixture->near_client);
    transport_close(&fixture->near_backend);
}

static unsigned char pattern_at(size_t index, unsigned seed)
{
    return (unsigned char)(index * 7 + index / 251 + seed);
}

static void far_send(struct far *far)
{
    static char chunk[CHUNK];

    while (far->sent < far->to_send && !transport_has_pending(&far->peer.transport)) {
        size_t count = far->to_send - far->sent < CHUNK ? far->to_send - far->sent : CHUNK;

        for (size_t i = 0; i < count; i++)
            chunk[i] = (char)pattern_at(far->sent + i, far->seed);
        assert_true(transport_send(&far->peer.transport, span_of(chunk, count)));
        far->sent += count;
    }
    if (far->sent == far->to_send && far->shuts_down)
        transport_shutdown(&far->peer.transport);
}

static void far_on_ready(struct peer *peer, unsigned readiness)
{
    if (readiness & TRANSPORT_READABLE)
        peer_drain(peer);
    if (readiness & TRANSPORT_WRITABLE)
        far_send(CONTAINER_OF(peer, struct far, peer));
}

static void far_init(struct far *far, struct io_loop *loop, int fd, unsigned seed)
{
    *far = (struct far){ .seed = seed };
    peer_init(&far->peer, loop, fd);
    far->peer.on_ready = far_on_ready;
}

static void assert_pattern(const struct far *far, size_t length, unsigned seed)
{
    assert_int_equal(far->peer.received.length, length);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)far->peer.received.data[i] != pattern_at(i, seed))
            fail_msg("byte %zu differs", i);
}

static int group_setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));
    struct test_certificate authority, certificate;
    char error[TLS_ERROR_SIZE];

    test_authority_make(&authority);
    test_certificate_issue(&certificate, &authority, "DNS:mail.example.org");
    fixture->server_context =
        tls_server_context(certificate.certificate, certificate.key, NULL, error);
    fixture->client_context = tls_client_context(NULL, false, error);
    assert_non_null(fixture->server_context);
    assert_non_null(fixture->client_context);
    test_certificate_free(&authority);
    test_certificate_free(&certificate);
    *state = fixture;
    return 0;
}

static int group_teardown(void **state)
{
    struct fixture *fixture = *state;

    SSL_CTX_free(fixture->server_context);
    SSL_CTX_free(fixture->client_context);
    free(fixture);
    return 0;
}

static int fixture_setup(void **state)
{
    struct fixture *fixture = *state;
    int left[2], right[2];

    fixture->is_relaying = fixture->has_ended = false;
    fixture->near_closed = fixture->near_secured = 0;
    io_loop_init(&fixture->loop);
    fixture->loop.uv.data = fixture;
    io_make_tcp_pair(left, SMALL_SOCKETS);
    io_make_tcp_pair(right, SMALL_SOCKETS);
    far_init(&fixture->client, &fixture->loop, left[0], 11);
    far_init(&fixture->backend, &fixture->loop, right[0], 22);
    transport_init(&fixture->near_client, &fixture->loop, left[1], &near_events);
    transport_init(&fixture->near_backend, &fixture->loop, right[1], &near_events);
    return 0;
}

static bool near_are_closed(void *context)
{
    return ((struct fixture *)context)->near_closed == 2;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    peer_fini(&fixture->client.peer);
    peer_fini(&fixture->backend.peer);
    transport_close(&fixture->near_client);
    transport_close(&fixture->near_backend);
    io_run_until(&fixture->loop, near_are_closed, fixture);
    io_loop_fini(&fixture->loop);
    return 0;
}

static void start_relay(struct fixture *fixture, const char *from_client, const char *from_backend)
{
    fixture->is_relaying = true;
    relay_start(&fixture->relay, &fixture->near_client, &fixture->near_backend,
                span_from_string(from_client), span_from_string(from_backend), fixture_on_ended);
}

struct wait {
    struct fixture *fixture;
    size_t at_client;
    size_t at_backend;
    unsigned secured;
};

static bool wait_is_over(void *context)
{
    const struct wait *wait = context;

    return wait->fixture->client.peer.received.length >= wait->at_client &&
           wait->fixture->backend.peer.received.length >= wait->at_backend &&
           wait->fixture->near_secured >= wait->secured;
}

static void run_until_received(struct fixture *fixture, size_t at_client, size_t at_backend)
{
    struct wait wait = { fixture, at_client, at_backend, 0 };

    io_run_until(&fixture->loop, wait_is_over, &wait);
}

static void secure_client_side(struct fixture *fixture)
{
    struct wait wait = { fixture, 0, 0, fixture->near_secured + 1 };

    assert_true(transport_start_tls_server(&fixture->near_client, fixture->server_context));
    assert_true(
        transport_start_tls_client(&fixture->client.peer.transport, fixture->client_context, NULL));
    io_run_until(&fixture->loop, wait_is_over, &wait);
}

static void secure_backend_side(struct fixture *fixture)
{
    struct wait wait = { fixture, 0, 0, fixture->near_secured + 1 };

    assert_true(
        transport_start_tls_server(&fixture->backend.peer.transport, fixture->server_context));
    assert_true(transport_start_tls_client(&fixture->near_backend, fixture->client_context, NULL));
    io_run_until(&fixture->loop, wait_is_over, &wait);
}

enum { VOLUME = 10 * 1024 * 1024 };

static void relay_volume(struct fixture *fixture)
{
    start_relay(fixture, NULL, NULL);
    fixture->client.to_send = fixture->backend.to_send = VOLUME;
    far_send(&fixture->client);
    far_send(&fixture->backend);
    run_until_received(fixture, VOLUME, VOLUME);
    assert_pattern(&fixture->client, VOLUME, fixture->backend.seed);
    assert_pattern(&fixture->backend, VOLUME, fixture->client.seed);
    assert_int_equal(fixture->relay.bytes_in, VOLUME);
    assert_int_equal(fixture->relay.bytes_out, VOLUME);
    assert_null(fixture->near_client.pending.data);
    assert_null(fixture->near_backend.pending.data);
    assert_false(fixture->has_ended);
}

static void ten_megabytes_cross_both_ways_in_plain_text(void **state)
{
    relay_volume(*state);
}

static void ten_megabytes_cross_both_ways_from_tls_to_plain_text(void **state)
{
    secure_client_side(*state);
    relay_volume(*state);
}

static void ten_megabytes_cross_both_ways_from_tls_to_tls(void **state)
{
    secure_client_side(*state);
    secure_backend_side(*state);
    relay_volume(*state);
}

static void what_was_read_before_is_sent_first(void **state)
{
    struct fixture *fixture = *state;

    assert_true(transport_send(&fixture->client.peer.transport, SPAN_LITERAL(" later")));
    assert_true(transport_send(&fixture->backend.peer.transport, SPAN_LITERAL(" too")));
    start_relay(fixture, "a1 NOOP", "* greeting");
    run_until_received(fixture, 14, 13);
    assert_span(bytes_span(&fixture->backend.peer.received), "a1 NOOP later");
    assert_span(bytes_span(&fixture->client.peer.received), "* greeting too");
    assert_int_equal(fixture->relay.bytes_in, 13);
    assert_int_equal(fixture->relay.bytes_out, 14);
}

/* Input that TLS already holds when the relay starts makes no readiness of its own. */
static void input_inside_tls_at_the_start_is_relayed(void **state)
{
    struct fixture *fixture = *state;
    char byte;

    secure_client_side(fixture);
    assert_true(transport_send(&fixture->client.peer.transport, SPAN_LITERAL("abc")));
    while (transport_read(&fixture->near_client, &byte, 1) != 1) {
        transport_watch(&fixture->near_client, TRANSPORT_READABLE);
        io_loop_turn(&fixture->loop, true);
        transport_watch(&fixture->near_client, 0);
    }
    start_relay(fixture, "a", NULL);
    run_until_received(fixture, 0, 3);
    assert_span(bytes_span(&fixture->backend.peer.received), "abc");
}

static void a_reader_that_is_slow_bounds_what_is_held(void **state)
{
    struct fixture *fixture = *state;

    start_relay(fixture, NULL, NULL);
    transport_watch(&fixture->client.peer.transport, 0);
    fixture->backend.to_send = VOLUME;
    far_send(&fixture->backend);
    io_run_turns(&fixture->loop, 200);
    assert_true(transport_has_pending(&fixture->near_client));
    assert_in_range(fixture->near_client.pending.length, 1, IO_SCRATCH_SIZE);
    assert_in_range(fixture->relay.bytes_out, 1, 1024 * 1024);
    io_assert_quiet(&fixture->loop);

    /* The other direction is not held up. */
    assert_true(transport_send(&fixture->client.peer.transport, SPAN_LITERAL("a2 NOOP")));
    run_until_received(fixture, 0, 7);
    transport_watch(&fixture->client.peer.transport, TRANSPORT_READABLE);
    run_until_received(fixture, VOLUME, 7);
    assert_pattern(&fixture->client, VOLUME, fixture->backend.seed);
}

static void a_client_that_closes_its_direction_still_gets_the_answer(void **state)
{
    struct fixture *fixture = *state;

    start_relay(fixture, NULL, NULL);
    fixture->client.to_send = VOLUME;
    fixture->client.shuts_down = true;
    far_send(&fixture->client);
    io_run_until_set(&fixture->loop, &fixture->backend.peer.has_ended);
    assert_pattern(&fixture->backend, VOLUME, fixture->client.seed);
    assert_false(fixture->has_ended);
    fixture->backend.to_send = VOLUME;
    fixture->backend.shuts_down = true;
    far_send(&fixture->backend);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_CLIENT);
    io_run_until_set(&fixture->loop, &fixture->client.peer.has_ended);
    assert_pattern(&fixture->client, VOLUME, fixture->backend.seed);
}

static void a_backend_that_closes_has_all_it_said_sent_first(void **state)
{
    struct fixture *fixture = *state;

    secure_client_side(fixture);
    start_relay(fixture, NULL, NULL);
    fixture->backend.to_send = VOLUME;
    fixture->backend.shuts_down = true;
    far_send(&fixture->backend);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_BACKEND);
    assert_string_equal(relay_end_text(fixture->end), "backend closed");
    io_run_until_set(&fixture->loop, &fixture->client.peer.has_ended);
    assert_pattern(&fixture->client, VOLUME, fixture->backend.seed);
}

static void reset_far(struct far *far)
{
    struct linger linger = { 1, 0 };

    assert_int_equal(
        setsockopt(far->peer.transport.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    transport_close(&far->peer.transport);
}

static void an_error_of_either_side_names_it(void **state)
{
    struct fixture *fixture = *state;

    start_relay(fixture, NULL, NULL);
    reset_far(&fixture->client);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_CLIENT_ERROR);
    assert_string_equal(transport_error(&fixture->near_client), "Connection reset by peer");

    assert_int_equal(fixture_teardown(state) | fixture_setup(state), 0);
    start_relay(fixture, NULL, NULL);
    reset_far(&fixture->backend);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_BACKEND_ERROR);
}

/* The client is not read (the backend does not take more) and holds bytes back itself. */
static void a_client_that_leaves_while_both_sides_are_blocked_ends_the_relay(void **state)
{
    struct fixture *fixture = *state;

    start_relay(fixture, NULL, NULL);
    transport_watch(&fixture->client.peer.transport, 0);
    transport_watch(&fixture->backend.peer.transport, 0);
    fixture->client.to_send = fixture->backend.to_send = VOLUME;
    far_send(&fixture->client);
    far_send(&fixture->backend);
    io_run_turns(&fixture->loop, 200);
    assert_true(transport_has_pending(&fixture->near_client));
    assert_true(transport_has_pending(&fixture->near_backend));
    fixture->backend.to_send = fixture->backend.sent;
    reset_far(&fixture->client);
    transport_watch(&fixture->backend.peer.transport, TRANSPORT_READABLE);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_CLIENT_ERROR);
}

/* relay_start calls nothing; its failed send does not hide what the backend said before it left. */
static void a_backend_that_left_before_the_start_is_heard_and_then_ends_the_relay(void **state)
{
    struct fixture *fixture = *state;

    assert_true(transport_send(&fixture->backend.peer.transport, SPAN_LITERAL("* BYE")));
    reset_far(&fixture->backend);
    io_run_turns(&fixture->loop, 2);
    start_relay(fixture, "a1 NOOP", NULL);
    assert_false(fixture->has_ended);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_BACKEND_ERROR);
    assert_int_equal(fixture->relay.bytes_in, 0);
    io_run_until_set(&fixture->loop, &fixture->client.peer.has_ended);
    assert_span(bytes_span(&fixture->client.peer.received), "* BYE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(ten_megabytes_cross_both_ways_in_plain_text),
        TEST(ten_megabytes_cross_both_ways_from_tls_to_plain_text),
        TEST(ten_megabytes_cross_both_ways_from_tls_to_tls),
        TEST(what_was_read_before_is_sent_first),
        TEST(input_inside_tls_at_the_start_is_relayed),
        TEST(a_reader_that_is_slow_bounds_what_is_held),
        TEST(a_client_that_closes_its_direction_still_gets_the_answer),
        TEST(a_backend_that_closes_has_all_it_said_sent_first),
        TEST(an_error_of_either_side_names_it),
        TEST(a_client_that_leaves_while_both_sides_are_blocked_ends_the_relay),
        TEST(a_backend_that_left_before_the_start_is_heard_and_then_ends_the_relay),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
