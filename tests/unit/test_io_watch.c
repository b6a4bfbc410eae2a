/* SPDX-License-Identifier: Apache-2.0 */
/* Watches, and the turns of the loop that they share with libuv. */
#include "tests/unit/io_support.h"

#include <fcntl.h>
#include <unistd.h>

enum { SIDES = 2 };

/* A pair of sockets; `near` is watched. */
struct side {
    struct io_watch *watch;
    int far;
    unsigned count; /* events */
    unsigned last;  /* readiness of the last one */
    bool is_closed;
    struct side *closes; /* what its event closes, if anything */
    struct side *opens;  /* what its event starts to watch then */
    struct io_loop *loop;
};

struct fixture {
    struct io_loop loop;
    struct side sides[SIDES];
};

static void side_on_closed(void *owner)
{
    struct side *side = owner;

    assert_false(side->is_closed);
    side->is_closed = true;
}

static void side_close(struct side *side)
{
    io_watch_close(side->watch, side_on_closed);
    if (side->far >= 0)
        close(side->far);
    side->far = -1;
}

static void side_on_ready(void *owner, unsigned readiness);

static void side_open(struct side *side, struct io_loop *loop)
{
    int fds[2];

    io_make_pair(fds);
    *side = (struct side){ .far = fds[1], .loop = loop };
    side->watch = io_watch_new(loop, fds[0], side_on_ready, side);
}

static void side_on_ready(void *owner, unsigned readiness)
{
    struct side *side = owner;

    assert_false(side->is_closed);
    side->count++;
    side->last = readiness;
    if (side->closes)
        side_close(side->closes);
    if (side->opens) {
        side_open(side->opens, side->loop);
        io_watch_edges(side->opens->watch, IO_READABLE);
        side->opens = NULL;
    }
    side->closes = NULL;
}

static void side_make_readable(const struct side *side)
{
    assert_int_equal(write(side->far, "x", 1), 1);
}

static int setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));

    io_loop_init(&fixture->loop);
    for (int i = 0; i < SIDES; i++)
        side_open(&fixture->sides[i], &fixture->loop);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < SIDES; i++)
        if (!fixture->sides[i].is_closed)
            side_close(&fixture->sides[i]);
    io_loop_fini(&fixture->loop);
    for (int i = 0; i < SIDES; i++)
        assert_true(fixture->sides[i].is_closed);
    free(fixture);
    return 0;
}

static void an_edge_is_told_once_and_a_level_in_each_turn(void **state)
{
    struct fixture *fixture = *state;
    struct side *edge = &fixture->sides[0], *level = &fixture->sides[1];

    side_make_readable(edge);
    side_make_readable(level);
    io_watch_edges(edge->watch, IO_READABLE);
    io_watch_levels(level->watch, IO_READABLE);
    io_run_turns(&fixture->loop, 4);
    assert_int_equal(edge->count, 1);
    assert_int_equal(edge->last, IO_READABLE);
    assert_int_equal(level->count, 4);
    side_make_readable(edge);
    io_watch_levels(level->watch, 0);
    io_run_turns(&fixture->loop, 4);
    assert_int_equal(edge->count, 2);
    assert_int_equal(level->count, 4);
}

static void what_is_asked_for_later_is_told_too_when_it_is_so_already(void **state)
{
    struct fixture *fixture = *state;
    struct side *side = &fixture->sides[0];

    io_watch_edges(side->watch, IO_READABLE);
    io_run_turns(&fixture->loop, 2);
    assert_int_equal(side->count, 0);
    io_watch_edges(side->watch, IO_WRITABLE);
    io_run_turns(&fixture->loop, 2);
    assert_int_equal(side->count, 1);
    assert_int_equal(side->last, IO_WRITABLE);
}

static void a_peer_that_leaves_is_a_hang_up(void **state)
{
    struct fixture *fixture = *state;
    struct side *side = &fixture->sides[0];

    io_watch_edges(side->watch, IO_READABLE);
    close(side->far);
    side->far = -1;
    io_run_turns(&fixture->loop, 2);
    assert_true(side->last & IO_HUNG_UP);
    assert_true(side->last & IO_READABLE);
}

/* Both are ready in the same turn, and whichever is told first closes the other. */
static void the_rest_of_a_turn_spares_who_was_closed_in_it(void **state)
{
    struct fixture *fixture = *state;
    struct side *sides = fixture->sides;

    for (int i = 0; i < SIDES; i++) {
        sides[i].closes = &sides[1 - i];
        side_make_readable(&sides[i]);
        io_watch_edges(sides[i].watch, IO_READABLE);
    }
    io_run_turns(&fixture->loop, 2);
    assert_int_equal(sides[0].count + sides[1].count, 1);
    assert_int_equal(sides[0].is_closed + sides[1].is_closed, 1);
}

static void an_event_of_a_closed_watch_is_not_its_successors(void **state)
{
    struct fixture *fixture = *state;
    struct side *sides = fixture->sides, successors[SIDES];
    struct side *first;

    for (int i = 0; i < SIDES; i++) {
        sides[i].closes = &sides[1 - i];
        sides[i].opens = &successors[i];
        successors[i] = (struct side){ .far = -1 };
        side_make_readable(&sides[i]);
        io_watch_edges(sides[i].watch, IO_READABLE);
    }
    io_run_turns(&fixture->loop, 3);
    first = sides[0].count > 0 ? &successors[0] : &successors[1];
    assert_non_null(first->watch);
    assert_int_equal(first->count, 0);
    side_close(first);
    io_run_turns(&fixture->loop, 1);
    assert_true(first->is_closed);
}

/* As a forked child that still has the descriptor does. */
static void a_closed_watch_stays_silent_while_a_copy_of_its_descriptor_lives(void **state)
{
    struct fixture *fixture = *state;
    struct side *side = &fixture->sides[0];
    int far = side->far, copy = fcntl(side->watch->fd, F_DUPFD_CLOEXEC, 0);

    assert_true(copy >= 0);
    io_watch_edges(side->watch, IO_READABLE);
    side->far = -1;
    side_close(side);
    io_run_turns(&fixture->loop, 1);
    assert_true(side->is_closed);
    assert_int_equal(write(far, "x", 1), 1);
    io_run_turns(&fixture->loop, 3);
    assert_int_equal(side->count, 0);
    close(far);
    close(copy);
}

static void timer_on_due(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void a_descriptor_that_is_always_ready_does_not_hold_up_timers(void **state)
{
    struct fixture *fixture = *state;
    struct side *side = &fixture->sides[0];
    bool is_due = false;
    uv_timer_t timer;

    side_make_readable(side);
    io_watch_levels(side->watch, IO_READABLE);
    uv_timer_init(&fixture->loop.uv, &timer);
    timer.data = &is_due;
    uv_timer_start(&timer, timer_on_due, 5, 0);
    io_run_until_set(&fixture->loop, &is_due);
    assert_true(side->count > 1);
    uv_close((uv_handle_t *)&timer, NULL);
    io_run_turns(&fixture->loop, 1);
}

static void a_fast_peer_gets_no_more_than_its_share_of_a_turn(void **state)
{
    struct fixture *fixture = *state;
    const size_t size = (size_t)1024 * 1024;
    char *bytes = memory_new(size);
    struct peer reader, writer;
    int fds[2];

    io_make_tcp_pair(fds, (int)size);
    peer_init(&reader, &fixture->loop, fds[0]);
    peer_init(&writer, &fixture->loop, fds[1]);
    reader.read_size = 1000;
    assert_true(transport_send(&writer.transport, span_of(bytes, size)));
    for (size_t before = 0; reader.received.length < size; before = reader.received.length) {
        io_loop_turn(&fixture->loop, true);
        assert_in_range(reader.received.length - before, 0, IO_SCRATCH_SIZE + 1000);
    }
    peer_fini(&reader);
    peer_fini(&writer);
    free(bytes);
}

static void only_what_is_in_the_background_does_not_keep_the_loop(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < SIDES; i++)
        io_watch_levels(fixture->sides[i].watch, IO_READABLE);
    assert_true(io_loop_turn(&fixture->loop, false));
    io_watch_put_in_background(fixture->sides[0].watch);
    assert_true(io_loop_turn(&fixture->loop, false));
    io_watch_put_in_background(fixture->sides[1].watch);
    assert_false(io_loop_turn(&fixture->loop, false));
    io_loop_run(&fixture->loop);
}

static void a_borrowed_descriptor_stays_open(void **state)
{
    struct fixture *fixture = *state;
    struct side *side = &fixture->sides[0];
    int fd = side->watch->fd;

    io_watch_levels(side->watch, IO_READABLE);
    io_watch_return(side->watch, side_on_closed);
    side_make_readable(side);
    io_run_turns(&fixture->loop, 2);
    assert_int_equal(side->count, 0);
    assert_true(side->is_closed);
    close(side->far);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(an_edge_is_told_once_and_a_level_in_each_turn),
        TEST(what_is_asked_for_later_is_told_too_when_it_is_so_already),
        TEST(a_peer_that_leaves_is_a_hang_up),
        TEST(the_rest_of_a_turn_spares_who_was_closed_in_it),
        TEST(an_event_of_a_closed_watch_is_not_its_successors),
        TEST(a_closed_watch_stays_silent_while_a_copy_of_its_descriptor_lives),
        TEST(a_descriptor_that_is_always_ready_does_not_hold_up_timers),
        TEST(a_fast_peer_gets_no_more_than_its_share_of_a_turn),
        TEST(only_what_is_in_the_background_does_not_keep_the_loop),
        TEST(a_borrowed_descriptor_stays_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
