/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Senders, a machine that lets them go on in some order, and a disk, in a world whose clock goes by
 * milliseconds: nothing here depends on how busy the machine of the test is.
 */
#include "tests/unit/unit.h"

#include "common/base/list.h"
#include "frontend/queue/gathering.h"

enum { SENDERS_MAX = 200, MESSAGES = 5000 };

/* Each sender that was answered takes its turn; `at_a_time` of them come each `period_ms`. */
struct world {
    unsigned senders, at_a_time, period_ms, sync_ms;
    struct gathering gathering;
    uint64_t now_ms, sync_ends_ms, slowest_ms;
    uint64_t came_ms[SENDERS_MAX]; /* of those who wait, and behind them of those being committed */
    unsigned thinking, waiting, committing;
    unsigned messages, syncs;
};

static void come(struct world *world)
{
    for (unsigned i = 0; i < world->at_a_time && world->thinking > 0; i++) {
        world->thinking--;
        world->came_ms[world->committing + world->waiting++] = world->now_ms;
        gathering_add(&world->gathering, world->waiting, world->now_ms);
    }
}

static void end_sync(struct world *world)
{
    unsigned count = world->committing;

    for (unsigned i = 0; i < count; i++)
        if (world->now_ms - world->came_ms[i] > world->slowest_ms)
            world->slowest_ms = world->now_ms - world->came_ms[i];
    memmove(world->came_ms, world->came_ms + count, world->waiting * sizeof(world->came_ms[0]));
    world->committing = 0;
    world->thinking += count;
    world->messages += count;
    world->syncs++;
    gathering_end_batch(&world->gathering, count, world->waiting, world->now_ms);
}

static void start_sync(struct world *world)
{
    if (world->committing > 0 || world->waiting == 0 ||
        gathering_wait_ms(&world->gathering, world->waiting, world->now_ms) > 0)
        return;
    world->committing = world->waiting;
    world->waiting = 0;
    world->sync_ends_ms = world->now_ms + world->sync_ms;
}

static void run(struct world *world)
{
    world->thinking = world->senders;
    for (world->now_ms = 1000; world->messages < MESSAGES; world->now_ms++) {
        if (world->now_ms % world->period_ms == 0)
            come(world);
        if (world->committing > 0 && world->now_ms >= world->sync_ends_ms)
            end_sync(world);
        start_sync(world);
    }
}

static void test_fifty_senders_share_syncs_however_they_come(void **state)
{
    static const struct {
        unsigned at_a_time, period_ms;
    } patterns[] = { { 1, 1 }, { 1, 2 }, { 2, 1 }, { 2, 2 },  { 2, 4 },  { 3, 1 },  { 3, 3 },
                     { 3, 5 }, { 5, 5 }, { 7, 9 }, { 10, 1 }, { 50, 1 }, { 50, 20 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(patterns); i++)
        for (unsigned sync_ms = 1; sync_ms <= 16; sync_ms *= 2) {
            struct world world = { .senders = 50,
                                   .at_a_time = patterns[i].at_a_time,
                                   .period_ms = patterns[i].period_ms,
                                   .sync_ms = sync_ms };

            run(&world);
            if (world.syncs * 100 > world.messages * 9)
                fail_msg("%u at a time each %u ms, a sync in %u ms: %u syncs for %u messages",
                         world.at_a_time, world.period_ms, sync_ms, world.syncs, world.messages);
        }
}

static void test_nobody_waits_for_long(void **state)
{
    (void)state;
    for (unsigned at_a_time = 1; at_a_time <= 3; at_a_time++)
        for (unsigned period_ms = 1; period_ms <= 30; period_ms++) {
            struct world world = {
                .senders = 50, .at_a_time = at_a_time, .period_ms = period_ms, .sync_ms = 2
            };

            run(&world);
            assert_in_range(world.slowest_ms, 2, 40 + 2 * 2);
        }
}

static void test_a_lone_sender_waits_for_nobody(void **state)
{
    struct world world = { .senders = 1, .at_a_time = 1, .period_ms = 1, .sync_ms = 4 };

    (void)state;
    run(&world);
    assert_in_range(world.slowest_ms, 4, 4 + 5);
    /* Each message costs its sync and the next turn; what is over that is the waiting of all. */
    assert_in_range(world.now_ms - 1000, MESSAGES * 4, MESSAGES * 5 + MESSAGES / 64 * 5 + 100);
}

static void test_who_remains_of_a_crowd_soon_waits_no_more(void **state)
{
    struct world world = { .senders = 50, .at_a_time = 3, .period_ms = 1, .sync_ms = 4 };
    unsigned waited_ms = 0;

    (void)state;
    run(&world);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t wait_ms;

        gathering_add(&world.gathering, 1, world.now_ms);
        wait_ms = gathering_wait_ms(&world.gathering, 1, world.now_ms);
        waited_ms += (unsigned)wait_ms;
        world.now_ms += wait_ms + 4;
        gathering_end_batch(&world.gathering, 1, 0, world.now_ms);
    }
    assert_in_range(waited_ms, 0, 60);
}

static void test_what_was_long_ago_says_nothing(void **state)
{
    struct world world = { .senders = 50, .at_a_time = 50, .period_ms = 1, .sync_ms = 4 };

    (void)state;
    run(&world);
    world.now_ms += 1000;
    gathering_add(&world.gathering, 1, world.now_ms);
    assert_int_equal(gathering_wait_ms(&world.gathering, 1, world.now_ms), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifty_senders_share_syncs_however_they_come),
        cmocka_unit_test(test_nobody_waits_for_long),
        cmocka_unit_test(test_a_lone_sender_waits_for_nobody),
        cmocka_unit_test(test_who_remains_of_a_crowd_soon_waits_no_more),
        cmocka_unit_test(test_what_was_long_ago_says_nothing),
    };

    return cmocka_run_group_tests_name("queue gathering", tests, NULL, NULL);
}
