/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between plain and TLS transports: volume, back-pressure, ends. */
#include "tests/unit/relay_support.h"

/* Less, and the kernel's own windows close: see test_io_wakeups.c. */
enum { SMALL_SOCKETS = 16384 };

static int small_fixture_setup(void **state)
{
    relay_fixture_init(*state, SMALL_SOCKETS);
    return 0;
}

enum { VOLUME = 10 * 1024 * 1024 };

static void relay_volume(struct relay_fixture *fixture)
{
    relay_fixture_start(fixture, NULL, NULL);
    fixture->client.to_send = fixture->backend.to_send = VOLUME;
    far_send(&fixture->client);
    far_send(&fixture->backend);
    relay_run_until_received(fixture, VOLUME, VOLUME);
    far_assert_received(&fixture->client, VOLUME, fixture->backend.seed);
    far_assert_received(&fixture->backend, VOLUME, fixture->client.seed);
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
    relay_secure_client(*state);
    relay_volume(*state);
}

static void ten_megabytes_cross_both_ways_from_tls_to_tls(void **state)
{
    relay_secure_client(*state);
    relay_secure_backend(*state);
    relay_volume(*state);
}

static void what_was_read_before_is_sent_first(void **state)
{
    struct relay_fixture *fixture = *state;

    assert_true(transport_send(&fixture->client.peer.transport, SPAN_LITERAL(" later")));
    assert_true(transport_send(&fixture->backend.peer.transport, SPAN_LITERAL(" too")));
    relay_fixture_start(fixture, "a1 NOOP", "* greeting");
    relay_run_until_received(fixture, 14, 13);
    assert_span(bytes_span(&fixture->backend.peer.received), "a1 NOOP later");
    assert_span(bytes_span(&fixture->client.peer.received), "* greeting too");
    assert_int_equal(fixture->relay.bytes_in, 13);
    assert_int_equal(fixture->relay.bytes_out, 14);
}

/* Input that TLS already holds when the relay starts makes no readiness of its own. */
static void input_inside_tls_at_the_start_is_relayed(void **state)
{
    struct relay_fixture *fixture = *state;
    char byte;

    relay_secure_client(fixture);
    assert_true(transport_send(&fixture->client.peer.transport, SPAN_LITERAL("abc")));
    while (transport_read(&fixture->near_client, &byte, 1) != 1) {
        transport_watch(&fixture->near_client, TRANSPORT_READABLE);
        io_loop_turn(&fixture->loop, true);
        transport_watch(&fixture->near_client, 0);
    }
    relay_fixture_start(fixture, "a", NULL);
    relay_run_until_received(fixture, 0, 3);
    assert_span(bytes_span(&fixture->backend.peer.received), "abc");
}

static void a_reader_that_is_slow_bounds_what_is_held(void **state)
{
    struct relay_fixture *fixture = *state;

    relay_fixture_start(fixture, NULL, NULL);
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
    relay_run_until_received(fixture, 0, 7);
    transport_watch(&fixture->client.peer.transport, TRANSPORT_READABLE);
    relay_run_until_received(fixture, VOLUME, 7);
    far_assert_received(&fixture->client, VOLUME, fixture->backend.seed);
}

static void a_client_that_closes_its_direction_still_gets_the_answer(void **state)
{
    struct relay_fixture *fixture = *state;

    relay_fixture_start(fixture, NULL, NULL);
    fixture->client.to_send = VOLUME;
    fixture->client.shuts_down = true;
    far_send(&fixture->client);
    io_run_until_set(&fixture->loop, &fixture->backend.peer.has_ended);
    far_assert_received(&fixture->backend, VOLUME, fixture->client.seed);
    assert_false(fixture->has_ended);
    fixture->backend.to_send = VOLUME;
    fixture->backend.shuts_down = true;
    far_send(&fixture->backend);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_CLIENT);
    io_run_until_set(&fixture->loop, &fixture->client.peer.has_ended);
    far_assert_received(&fixture->client, VOLUME, fixture->backend.seed);
}

static void a_backend_that_closes_has_all_it_said_sent_first(void **state)
{
    struct relay_fixture *fixture = *state;

    relay_secure_client(fixture);
    relay_fixture_start(fixture, NULL, NULL);
    fixture->backend.to_send = VOLUME;
    fixture->backend.shuts_down = true;
    far_send(&fixture->backend);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_BACKEND);
    assert_string_equal(relay_end_text(fixture->end), "backend closed");
    io_run_until_set(&fixture->loop, &fixture->client.peer.has_ended);
    far_assert_received(&fixture->client, VOLUME, fixture->backend.seed);
}

static void an_error_of_either_side_names_it(void **state)
{
    struct relay_fixture *fixture = *state;

    relay_fixture_start(fixture, NULL, NULL);
    far_reset(&fixture->client);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_CLIENT_ERROR);
    assert_string_equal(transport_error(&fixture->near_client), "Connection reset by peer");

    assert_int_equal(relay_fixture_teardown(state) | small_fixture_setup(state), 0);
    relay_fixture_start(fixture, NULL, NULL);
    far_reset(&fixture->backend);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_BACKEND_ERROR);
}

/* A backend that goes on after the client's end is not read for nobody. */
static void a_client_that_is_reset_behind_its_end_ends_the_relay(void **state)
{
    struct relay_fixture *fixture = *state;

    relay_secure_client(fixture);
    relay_fixture_start(fixture, NULL, NULL);
    far_reset(&fixture->client); /* close_notify, then the reset */
    io_run_until_set(&fixture->loop, &fixture->backend.peer.has_ended);
    assert_false(fixture->has_ended);
    fixture->backend.to_send = VOLUME;
    far_send(&fixture->backend);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_CLIENT);
}

/* The client is not read (the backend does not take more) and holds bytes back itself. */
static void a_client_that_leaves_while_both_sides_are_blocked_ends_the_relay(void **state)
{
    struct relay_fixture *fixture = *state;

    relay_fixture_start(fixture, NULL, NULL);
    transport_watch(&fixture->client.peer.transport, 0);
    transport_watch(&fixture->backend.peer.transport, 0);
    fixture->client.to_send = fixture->backend.to_send = VOLUME;
    far_send(&fixture->client);
    far_send(&fixture->backend);
    io_run_turns(&fixture->loop, 200);
    assert_true(transport_has_pending(&fixture->near_client));
    assert_true(transport_has_pending(&fixture->near_backend));
    fixture->backend.to_send = fixture->backend.sent;
    far_reset(&fixture->client);
    transport_watch(&fixture->backend.peer.transport, TRANSPORT_READABLE);
    io_run_until_set(&fixture->loop, &fixture->has_ended);
    assert_int_equal(fixture->end, RELAY_END_CLIENT_ERROR);
}

/* relay_start calls nothing; its failed send does not hide what the backend said before it left. */
static void a_backend_that_left_before_the_start_is_heard_and_then_ends_the_relay(void **state)
{
    struct relay_fixture *fixture = *state;

    assert_true(transport_send(&fixture->backend.peer.transport, SPAN_LITERAL("* BYE")));
    far_reset(&fixture->backend);
    io_run_turns(&fixture->loop, 2);
    relay_fixture_start(fixture, "a1 NOOP", NULL);
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
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, small_fixture_setup, relay_fixture_teardown)
        TEST(ten_megabytes_cross_both_ways_in_plain_text),
        TEST(ten_megabytes_cross_both_ways_from_tls_to_plain_text),
        TEST(ten_megabytes_cross_both_ways_from_tls_to_tls),
        TEST(what_was_read_before_is_sent_first),
        TEST(input_inside_tls_at_the_start_is_relayed),
        TEST(a_reader_that_is_slow_bounds_what_is_held),
        TEST(a_client_that_closes_its_direction_still_gets_the_answer),
        TEST(a_backend_that_closes_has_all_it_said_sent_first),
        TEST(an_error_of_either_side_names_it),
        TEST(a_client_that_is_reset_behind_its_end_ends_the_relay),
        TEST(a_client_that_leaves_while_both_sides_are_blocked_ends_the_relay),
        TEST(a_backend_that_left_before_the_start_is_heard_and_then_ends_the_relay),
    };
    return cmocka_run_group_tests(tests, relay_group_setup, relay_group_teardown);
}
