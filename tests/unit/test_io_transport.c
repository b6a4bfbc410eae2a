/* SPDX-License-Identifier: Apache-2.0 */
/* Plain transports over socket pairs. */
#include "tests/unit/io_support.h"

#include <unistd.h>

struct fixture {
    struct io_loop loop;
    struct peer a;
    struct peer b;
};

static int fixture_setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));
    int fds[2];

    io_loop_init(&fixture->loop);
    io_make_pair(fds);
    peer_init(&fixture->a, &fixture->loop, fds[0]);
    peer_init(&fixture->b, &fixture->loop, fds[1]);
    *state = fixture;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    peer_fini(&fixture->a);
    peer_fini(&fixture->b);
    io_loop_fini(&fixture->loop);
    free(fixture);
    return 0;
}

static char *pattern_new(size_t size)
{
    char *pattern = memory_new(size);

    for (size_t i = 0; i < size; i++)
        pattern[i] = (char)(i * 7 + i / 251);
    return pattern;
}

static bool fixture_has_text_at_b(void *context)
{
    return ((struct fixture *)context)->b.received.length >= 5;
}

static void what_is_sent_arrives(void **state)
{
    struct fixture *fixture = *state;

    assert_true(transport_send(&fixture->a.transport, SPAN_LITERAL("hello")));
    assert_false(transport_has_pending(&fixture->a.transport));
    io_run_until(&fixture->loop, fixture_has_text_at_b, fixture);
    assert_span(bytes_span(&fixture->b.received), "hello");
}

static void a_read_after_a_short_read_says_again_and_later_bytes_still_come(void **state)
{
    struct fixture *fixture = *state;
    char target[16];

    fixture->b.reads_once = true;
    assert_true(transport_send(&fixture->a.transport, SPAN_LITERAL("one")));
    io_run_turns(&fixture->loop, 2);
    assert_span(bytes_span(&fixture->b.received), "one");
    assert_true(transport_send(&fixture->a.transport, SPAN_LITERAL("two")));
    assert_int_equal(transport_read(&fixture->b.transport, target, sizeof(target)),
                     TRANSPORT_AGAIN);
    io_run_until(&fixture->loop, fixture_has_text_at_b, fixture);
    assert_span(bytes_span(&fixture->b.received), "onetwo");
}

enum { BIG = 700 * 1024 };

static bool fixture_has_big_at_b(void *context)
{
    return ((struct fixture *)context)->b.received.length >= BIG;
}

static void a_big_send_is_held_and_sent_as_the_peer_reads(void **state)
{
    struct fixture *fixture = *state;
    char *pattern = pattern_new(BIG);

    assert_true(transport_send(&fixture->a.transport, span_of(pattern, BIG)));
    assert_true(transport_has_pending(&fixture->a.transport));
    io_run_until(&fixture->loop, fixture_has_big_at_b, fixture);
    io_run_turns(&fixture->loop, 3);
    assert_memory_equal(fixture->b.received.data, pattern, BIG);
    assert_int_equal(fixture->b.received.length, BIG);
    assert_int_equal(fixture->a.writable_count, 1);
    assert_false(transport_has_pending(&fixture->a.transport));
    assert_null(fixture->a.transport.pending.data);
    free(pattern);
}

static void a_peer_that_does_not_read_breaks_a_send_beyond_one_mebibyte(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 3 * 1024 * 1024;
    char *pattern = pattern_new(size);

    transport_watch(&fixture->b.transport, 0);
    assert_false(transport_send(&fixture->a.transport, span_of(pattern, size)));
    assert_string_equal(transport_error(&fixture->a.transport), "the peer does not read");
    assert_false(transport_send(&fixture->a.transport, SPAN_LITERAL("more")));
    io_run_until_set(&fixture->loop, &fixture->a.has_failed);
    free(pattern);
}

static void try_write_takes_what_fits_and_tells_when_more_does(void **state)
{
    struct fixture *fixture = *state;
    char *pattern = pattern_new(BIG);
    ssize_t taken;

    transport_watch(&fixture->b.transport, 0);
    taken = transport_try_write(&fixture->a.transport, span_of(pattern, BIG));
    assert_in_range(taken, 1, BIG - 1);
    assert_false(transport_has_pending(&fixture->a.transport));
    assert_int_equal(transport_try_write(&fixture->a.transport, SPAN_LITERAL("x")), 0);
    io_run_turns(&fixture->loop, 5);
    assert_int_equal(fixture->a.writable_count, 0);
    transport_watch(&fixture->b.transport, TRANSPORT_READABLE);
    io_run_turns(&fixture->loop, 5);
    assert_int_equal(fixture->a.writable_count, 1);
    assert_int_equal(fixture->b.received.length, taken);
    assert_int_equal(transport_try_write(&fixture->a.transport, SPAN_LITERAL("x")), 1);
    free(pattern);
}

static void a_paused_transport_is_not_called_and_does_not_spin(void **state)
{
    struct fixture *fixture = *state;

    transport_watch(&fixture->b.transport, 0);
    assert_true(transport_send(&fixture->a.transport, SPAN_LITERAL("hello")));
    io_run_turns(&fixture->loop, 3);
    assert_int_equal(fixture->b.readable_count, 0);
    io_assert_quiet(&fixture->loop);
    transport_watch(&fixture->b.transport, TRANSPORT_READABLE);
    io_run_until(&fixture->loop, fixture_has_text_at_b, fixture);
    assert_span(bytes_span(&fixture->b.received), "hello");
}

static void a_paused_transport_whose_peer_leaves_does_not_spin_and_learns_it_later(void **state)
{
    struct fixture *fixture = *state;

    transport_watch(&fixture->b.transport, 0);
    transport_close(&fixture->a.transport);
    io_run_turns(&fixture->loop, 3);
    assert_int_equal(fixture->b.readable_count, 0);
    io_assert_quiet(&fixture->loop);
    transport_watch(&fixture->b.transport, TRANSPORT_READABLE);
    io_run_until_set(&fixture->loop, &fixture->b.has_ended);
}

static void bytes_before_the_end_are_read_before_it_and_the_end_stays(void **state)
{
    struct fixture *fixture = *state;
    char target[4];

    assert_true(transport_send(&fixture->a.transport, SPAN_LITERAL("hello")));
    transport_close(&fixture->a.transport);
    io_run_until_set(&fixture->loop, &fixture->b.has_ended);
    assert_span(bytes_span(&fixture->b.received), "hello");
    assert_int_equal(transport_read(&fixture->b.transport, target, sizeof(target)), TRANSPORT_END);
    io_run_turns(&fixture->loop, 3);
    assert_in_range(fixture->b.readable_count, 1, 2);
}

static void a_shutdown_ends_one_direction_only_and_after_what_is_held(void **state)
{
    struct fixture *fixture = *state;
    char *pattern = pattern_new(BIG);

    assert_true(transport_send(&fixture->a.transport, span_of(pattern, BIG)));
    transport_shutdown(&fixture->a.transport);
    transport_shutdown(&fixture->a.transport);
    io_run_until_set(&fixture->loop, &fixture->b.has_ended);
    assert_int_equal(fixture->b.received.length, BIG);
    assert_true(transport_send(&fixture->b.transport, SPAN_LITERAL("still here")));
    io_run_turns(&fixture->loop, 3);
    assert_span(bytes_span(&fixture->a.received), "still here");
    free(pattern);
}

static void a_write_to_a_peer_that_is_gone_fails(void **state)
{
    struct fixture *fixture = *state;

    transport_close(&fixture->a.transport);
    assert_false(transport_send(&fixture->b.transport, SPAN_LITERAL("x")));
    assert_string_equal(transport_error(&fixture->b.transport), "Broken pipe");
    assert_int_equal(transport_try_write(&fixture->b.transport, SPAN_LITERAL("x")),
                     TRANSPORT_ERROR);
}

static bool a_is_over(void *context)
{
    const struct fixture *fixture = context;

    return fixture->a.has_failed || fixture->a.has_ended;
}

static void held_bytes_that_cannot_be_sent_show_as_readable_and_an_error(void **state)
{
    struct fixture *fixture = *state;
    char *pattern = pattern_new(BIG);

    transport_watch(&fixture->a.transport, 0);
    transport_watch(&fixture->b.transport, 0);
    assert_true(transport_send(&fixture->a.transport, span_of(pattern, BIG)));
    transport_close(&fixture->b.transport);
    io_run_until(&fixture->loop, a_is_over, fixture);
    assert_false(transport_has_pending(&fixture->a.transport));
    free(pattern);
}

static void tcp_reset_shows_as_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct linger linger = { 1, 0 };
    struct peer left, right;
    int fds[2];

    io_make_tcp_pair(fds, 0);
    peer_init(&left, &fixture->loop, fds[0]);
    peer_init(&right, &fixture->loop, fds[1]);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    transport_close(&left.transport);
    io_run_until_set(&fixture->loop, &right.has_failed);
    assert_string_equal(transport_error(&right.transport), "Connection reset by peer");
    io_run_turns(&fixture->loop, 3);
    assert_int_equal(right.readable_count, 1);
    peer_fini(&left);
    peer_fini(&right);
}

static void close_on_ready(struct peer *peer, unsigned readiness)
{
    (void)readiness;
    transport_close(&peer->transport);
    transport_close(&peer->transport);
}

static void a_transport_may_be_closed_in_its_ready_event(void **state)
{
    struct fixture *fixture = *state;

    fixture->b.on_ready = close_on_ready;
    assert_true(transport_send(&fixture->a.transport, SPAN_LITERAL("x")));
    io_run_until_set(&fixture->loop, &fixture->b.is_closed);
    assert_int_equal(fixture->b.readable_count, 1);
}

static void closing_tries_what_is_held_once_more(void **state)
{
    struct fixture *fixture = *state;
    char *pattern = pattern_new(BIG);
    size_t held;

    transport_watch(&fixture->b.transport, 0);
    assert_true(transport_send(&fixture->a.transport, span_of(pattern, BIG)));
    held = fixture->a.transport.pending.length;
    io_run_turns(&fixture->loop, 1);
    peer_drain(&fixture->b);
    transport_close(&fixture->a.transport);
    peer_drain(&fixture->b);
    transport_watch(&fixture->b.transport, TRANSPORT_READABLE);
    io_run_until_set(&fixture->loop, &fixture->b.has_ended);
    assert_true(fixture->b.received.length > BIG - held);
    assert_memory_equal(fixture->b.received.data, pattern, fixture->b.received.length);
    free(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(what_is_sent_arrives),
        TEST(a_read_after_a_short_read_says_again_and_later_bytes_still_come),
        TEST(a_big_send_is_held_and_sent_as_the_peer_reads),
        TEST(a_peer_that_does_not_read_breaks_a_send_beyond_one_mebibyte),
        TEST(try_write_takes_what_fits_and_tells_when_more_does),
        TEST(a_paused_transport_is_not_called_and_does_not_spin),
        TEST(a_paused_transport_whose_peer_leaves_does_not_spin_and_learns_it_later),
        TEST(bytes_before_the_end_are_read_before_it_and_the_end_stays),
        TEST(a_shutdown_ends_one_direction_only_and_after_what_is_held),
        TEST(a_write_to_a_peer_that_is_gone_fails),
        TEST(held_bytes_that_cannot_be_sent_show_as_readable_and_an_error),
        TEST(tcp_reset_shows_as_an_error),
        TEST(a_transport_may_be_closed_in_its_ready_event),
        TEST(closing_tries_what_is_held_once_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
