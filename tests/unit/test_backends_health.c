/* SPDX-License-Identifier: Apache-2.0 */
/* When a backend is down, up again, and how much may begin there then. */
#include "tests/unit/unit.h"

#include "common/base/log.h"
#include "common/session/backends.h"

enum { CROWD = 1000 };

static struct backend_config configured[] = {
    { .name = (char[]){ "sv1" }, .address = (char[]){ "10.0.1.11" }, .lmtp_port = 24 },
    { .name = (char[]){ "sv2" }, .address = (char[]){ "10.0.1.12" }, .lmtp_port = 24 },
};
static struct config config = {
    .cluster = { .backends = configured, .backend_count = 2 },
    .backend_tls = { .name = (char[]){ "%b" } },
    .health = { .failures = 3, .successes = 2, .ramp_s = 600, .ramp_first = 5 },
};

struct world {
    struct backends backends, others; /* of two processes that share a board */
    struct board *board;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    configured[0].state = BACKEND_UP;
    config.health.ramp_s = 600;
    world->board = board_new();
    backends_init(&world->backends, &config, world->board);
    backends_init(&world->others, &config, world->board);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    backends_fini(&world->backends);
    backends_fini(&world->others);
    board_free(world->board);
    free(world);
    return 0;
}

static unsigned id_of(const struct world *world, const char *name)
{
    return backends_find(&world->backends, name)->id;
}

static void report(const struct world *world, const char *name, bool is_good,
                   const char *session_id)
{
    backends_report(&world->backends, id_of(world, name), PROTOCOL_LMTP, is_good, session_id);
}

static bool is_up(const struct world *world, const char *name)
{
    return backends_is_up(&world->others, backends_find(&world->others, name), PROTOCOL_LMTP);
}

/* How many of a crowd may begin at once at sv1, or sv2, asked by two processes in turns. */
static unsigned may_begin(const struct world *world, const char *name, bool has_waited)
{
    unsigned count = 0;

    for (int i = 0; i < CROWD; i++) {
        const struct backends *asker = i % 2 ? &world->others : &world->backends;

        count += backends_may_begin(asker, id_of(world, name), PROTOCOL_LMTP, has_waited);
    }
    return count;
}

static void go_down(const struct world *world)
{
    for (int i = 0; i < 3; i++)
        report(world, "sv1", false, NULL);
    assert_false(is_up(world, "sv1"));
}

/* The good probes that it takes to come up. */
static unsigned come_up(const struct world *world)
{
    unsigned probes = 0;

    while (!is_up(world, "sv1")) {
        report(world, "sv1", true, NULL);
        probes++;
    }
    return probes;
}

static void one_that_was_never_down_is_not_ramped(void **state)
{
    assert_int_equal(may_begin(*state, "sv1", false), CROWD);
    come_up(*state);
    assert_int_equal(may_begin(*state, "sv1", false), CROWD);
}

static void one_that_returned_gets_little_at_first_from_all_processes_together(void **state)
{
    go_down(*state);
    come_up(*state);
    assert_in_range(may_begin(*state, "sv1", false), 1, 5);
    assert_int_equal(may_begin(*state, "sv2", false), CROWD);
}

static void the_ramp_of_one_protocol_is_not_that_of_another(void **state)
{
    struct world *world = *state;

    go_down(world);
    come_up(world);
    (void)may_begin(world, "sv1", false);
    for (int i = 0; i < CROWD; i++)
        assert_true(
            backends_may_begin(&world->backends, id_of(world, "sv1"), PROTOCOL_IMAP, false));
}

static void one_that_was_set_down_is_ramped_when_it_is_set_up(void **state)
{
    struct world *world = *state;

    configured[0].state = BACKEND_DOWN;
    backends_fini(&world->backends);
    backends_init(&world->backends, &config, world->board);
    backends_forget(&world->backends, backends_find(&world->backends, "sv1"), PROTOCOL_LMTP);
    configured[0].state = BACKEND_UP;
    backends_fini(&world->backends);
    backends_init(&world->backends, &config, world->board);
    assert_true(is_up(world, "sv1"));
    assert_in_range(may_begin(world, "sv1", false), 1, 5);
}

static void a_crowd_that_waited_is_paced_at_one_that_was_up_and_others_are_not(void **state)
{
    assert_in_range(may_begin(*state, "sv2", true), 1, 5);
    assert_int_equal(may_begin(*state, "sv2", false), CROWD);
}

static void without_a_ramp_all_begin_at_once(void **state)
{
    config.health.ramp_s = 0;
    go_down(*state);
    come_up(*state);
    assert_int_equal(may_begin(*state, "sv1", true), CROWD);
}

static void one_that_has_left_or_is_not_watched_holds_nobody_back(void **state)
{
    struct world *world = *state;

    assert_true(backends_may_begin(&world->backends, 0, PROTOCOL_LMTP, true));
    assert_true(backends_may_begin(&world->backends, 12345, PROTOCOL_LMTP, true));
}

static void failures_of_several_sessions_take_it_down_and_those_of_one_do_not(void **state)
{
    for (int i = 0; i < 10; i++)
        report(*state, "sv1", false, "session-a");
    assert_true(is_up(*state, "sv1"));
    report(*state, "sv1", false, "session-b");
    report(*state, "sv1", false, "session-c");
    assert_false(is_up(*state, "sv1"));
    assert_true(is_up(*state, "sv2"));
}

static void a_good_session_ends_the_row_and_only_probes_bring_it_up(void **state)
{
    report(*state, "sv1", false, "session-a");
    report(*state, "sv1", false, "session-b");
    report(*state, "sv1", true, "session-c");
    report(*state, "sv1", false, "session-d");
    assert_true(is_up(*state, "sv1"));
    go_down(*state);
    for (int i = 0; i < 10; i++)
        report(*state, "sv1", true, "session-e");
    assert_false(is_up(*state, "sv1"));
    assert_int_equal(come_up(*state), 2);
}

static void one_that_falls_in_its_ramp_begins_it_anew_and_must_prove_itself_longer(void **state)
{
    const char *const sessions[] = { "a", "b", "c" };

    go_down(*state);
    assert_int_equal(come_up(*state), 2);
    (void)may_begin(*state, "sv1", false);
    for (int i = 0; i < 3; i++)
        report(*state, "sv1", false, sessions[i]);
    assert_false(is_up(*state, "sv1"));
    assert_int_equal(come_up(*state), 4);
    assert_in_range(may_begin(*state, "sv1", false), 0, 5);
    for (int round = 0; round < 5; round++) {
        go_down(*state);
        assert_in_range(come_up(*state), 8, 32); /* and not for ever longer */
    }
    config.health.ramp_s = 0; /* now it was up for longer than that */
    go_down(*state);
    assert_int_equal(come_up(*state), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(one_that_was_never_down_is_not_ramped),
        TEST(one_that_returned_gets_little_at_first_from_all_processes_together),
        TEST(the_ramp_of_one_protocol_is_not_that_of_another),
        TEST(one_that_was_set_down_is_ramped_when_it_is_set_up),
        TEST(a_crowd_that_waited_is_paced_at_one_that_was_up_and_others_are_not),
        TEST(without_a_ramp_all_begin_at_once),
        TEST(one_that_has_left_or_is_not_watched_holds_nobody_back),
        TEST(failures_of_several_sessions_take_it_down_and_those_of_one_do_not),
        TEST(a_good_session_ends_the_row_and_only_probes_bring_it_up),
        TEST(one_that_falls_in_its_ramp_begins_it_anew_and_must_prove_itself_longer),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
