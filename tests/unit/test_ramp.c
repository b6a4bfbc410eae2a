/* SPDX-License-Identifier: Apache-2.0 */
/* Paces and ramps, with a clock that the test plays. */
#include "tests/unit/unit.h"

#include "common/base/memory.h"
#include "common/base/ramp.h"

enum { SECOND_US = 1000000, START_US = 5 * SECOND_US };

static const struct ramp_rules rules = { .first_per_s = 20, .length_us = 10 * SECOND_US };

/* Asks every millisecond from `from_us` on, for `length_us`, and counts what may begin. */
static unsigned take_for(struct ramp *ramp, uint64_t from_us, uint64_t length_us)
{
    unsigned taken = 0;

    for (uint64_t now_us = from_us; now_us < from_us + length_us; now_us += 1000)
        while (taken < 1000000 && ramp_is_steep(ramp, &rules, now_us) &&
               ramp_take(ramp, &rules, now_us))
            taken++;
    return taken;
}

static void turns_let_one_through_each_interval(void **state)
{
    struct turns turns = { 0 };

    (void)state;
    assert_true(turns_take(&turns, 100, 0, START_US));
    assert_false(turns_take(&turns, 100, 0, START_US));
    assert_false(turns_take(&turns, 100, 0, START_US + 99));
    assert_true(turns_take(&turns, 100, 0, START_US + 100));
    assert_false(turns_take(&turns, 100, 0, START_US + 199));
}

static void who_comes_late_loses_nothing_and_saves_nothing_up(void **state)
{
    struct turns turns = { 0 };
    unsigned taken = 0;

    (void)state;
    assert_true(turns_take(&turns, 100, 300, START_US));
    while (turns_take(&turns, 100, 300, START_US + 10000))
        taken++;
    assert_int_equal(taken, 4); /* the lag's worth, and the one that is due */
}

static void a_zeroed_ramp_holds_nothing_back(void **state)
{
    struct ramp ramp = { 0 };

    (void)state;
    assert_false(ramp_is_steep(&ramp, &rules, START_US));
    for (int i = 0; i < 1000; i++)
        assert_true(ramp_take(&ramp, &rules, START_US));
}

static void it_begins_with_whoever_asks_and_not_when_it_is_armed(void **state)
{
    struct ramp ramp = { 0 };
    uint64_t late_us = START_US + 100 * rules.length_us;

    (void)state;
    ramp_arm(&ramp);
    assert_true(ramp_is_steep(&ramp, &rules, late_us));
    assert_true(ramp_take(&ramp, &rules, late_us));
    assert_true(ramp_is_steep(&ramp, &rules, late_us + rules.length_us - 1));
    assert_false(ramp_is_steep(&ramp, &rules, late_us + rules.length_us));
}

static void it_begins_slowly_and_doubles_with_each_tenth(void **state)
{
    struct ramp ramp = { 0 };
    unsigned taken, before;

    (void)state;
    ramp_arm(&ramp);
    taken = take_for(&ramp, START_US, SECOND_US);
    assert_in_range(taken, 20, 20 * 2 + 6); /* and the lag's worth */
    for (int second = 1; second < 9; second++) {
        before = taken;
        taken = take_for(&ramp, START_US + second * SECOND_US, SECOND_US);
        assert_in_range(taken, before * 3 / 2, before * 5 / 2);
    }
    assert_true(taken > 20 * 256);
}

static void the_interval_never_grows_with_age(void **state)
{
    const struct ramp_rules all[] = {
        { 1, 1 }, { 1, SECOND_US }, { 20, 7777777 }, { 10000, 600 * SECOND_US }
    };
    uint64_t last_us;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
        last_us = 1000000 / all[i].first_per_s;
        assert_int_equal(ramp_interval_us(&all[i], 0), last_us);
        for (uint64_t age = 0; age < all[i].length_us; age += all[i].length_us / 1000 + 1) {
            uint64_t interval_us = ramp_interval_us(&all[i], age);

            assert_in_range(interval_us, 1, last_us);
            last_us = interval_us;
        }
        /* At the end a thousand times as much, about, and never all at once before. */
        assert_true(all[i].length_us < 1000 || last_us <= 1000000 / all[i].first_per_s / 900 + 1);
    }
}

static void two_processes_keep_one_ramp_together(void **state)
{
    struct ramp ramp = { 0 };
    unsigned taken[2] = { 0, 0 };

    (void)state;
    ramp_arm(&ramp);
    for (uint64_t now_us = START_US; now_us < START_US + SECOND_US; now_us += 1000)
        for (int i = 0; i < 2; i++)
            taken[i] += ramp_take(&ramp, &rules, now_us + (uint64_t)i);
    assert_in_range(taken[0] + taken[1], 20, 46);
}

static void without_a_length_there_is_none(void **state)
{
    const struct ramp_rules none = { 1, 0 };
    struct ramp ramp = { 0 };

    (void)state;
    ramp_arm(&ramp);
    for (int i = 0; i < 100; i++)
        assert_true(ramp_take(&ramp, &none, START_US) &&
                    ramp_take_of_crowd(&ramp, &none, START_US));
}

static void a_crowd_is_let_through_at_a_pace_and_one_alone_at_once(void **state)
{
    struct ramp ramp = { 0 };
    uint64_t now_us = START_US + 60 * (uint64_t)SECOND_US;
    unsigned taken = 0;

    (void)state;
    assert_true(ramp_take_of_crowd(&ramp, &rules, now_us));
    now_us += RAMP_CROWD_LEFT_US + 2 * RAMP_LAG_US; /* the next crowd is a new one */
    for (int i = 0; i < 1000; i++)
        taken += ramp_take_of_crowd(&ramp, &rules, now_us);
    assert_in_range(taken, 1, 7);
    /* While it goes on it does not begin anew: in the end all pass. */
    for (; now_us < START_US + 80 * (uint64_t)SECOND_US; now_us += 100000)
        taken += ramp_take_of_crowd(&ramp, &rules, now_us);
    for (int i = 0; i < 1000; i++)
        assert_true(ramp_take_of_crowd(&ramp, &rules, now_us));
}

/* Asks every 100 ms until `taken` of a crowd were let through; the time is then `*now_us`. */
static void let_through(struct ramp *ramp, unsigned taken, uint64_t *now_us)
{
    while (taken > 0) {
        *now_us += 100000;
        while (taken > 0 && ramp_take_of_crowd(ramp, &rules, *now_us))
            taken--;
    }
}

/* What one crowd has earned, the next has not: be it in the last's ramp, or after its end. */
static void each_crowd_gets_a_ramp_of_its_own_however_soon_it_comes(void **state)
{
    const uint64_t afters_us[] = { 2 * SECOND_US, 6 * SECOND_US, 9 * SECOND_US, 60 * SECOND_US };
    const unsigned befores[] = { 1, 100, 10000, 1000000 };
    unsigned taken;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(afters_us) * ARRAY_LENGTH(befores); i++) {
        struct ramp ramp = { 0 };
        uint64_t now_us = START_US;

        let_through(&ramp, befores[i % ARRAY_LENGTH(befores)], &now_us);
        now_us += afters_us[i / ARRAY_LENGTH(befores)];
        taken = 0;
        while (taken < 1000 && ramp_take_of_crowd(&ramp, &rules, now_us))
            taken++;
        assert_in_range(taken, 1, 7);
    }
}

/* One in a second, and those who wait ask late: it is still the same crowd. */
static void a_slow_ramp_does_not_begin_anew_while_its_crowd_is_there(void **state)
{
    const struct ramp_rules slow = { .first_per_s = 1, .length_us = 600 * (uint64_t)SECOND_US };
    struct ramp ramp = { 0 };
    uint64_t now_us = START_US, began_us;

    (void)state;
    assert_true(ramp_take_of_crowd(&ramp, &slow, now_us));
    began_us = atomic_load(&ramp.began_us);
    for (int i = 0; i < 100; i++) {
        now_us = atomic_load(&ramp.turns.next_us) + 2 * RAMP_LAG_US;
        assert_true(ramp_take_of_crowd(&ramp, &slow, now_us));
    }
    assert_int_equal(atomic_load(&ramp.began_us), began_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_let_one_through_each_interval),
        cmocka_unit_test(who_comes_late_loses_nothing_and_saves_nothing_up),
        cmocka_unit_test(a_zeroed_ramp_holds_nothing_back),
        cmocka_unit_test(it_begins_with_whoever_asks_and_not_when_it_is_armed),
        cmocka_unit_test(it_begins_slowly_and_doubles_with_each_tenth),
        cmocka_unit_test(the_interval_never_grows_with_age),
        cmocka_unit_test(two_processes_keep_one_ramp_together),
        cmocka_unit_test(without_a_length_there_is_none),
        cmocka_unit_test(a_crowd_is_let_through_at_a_pace_and_one_alone_at_once),
        cmocka_unit_test(each_crowd_gets_a_ramp_of_its_own_however_soon_it_comes),
        cmocka_unit_test(a_slow_ramp_does_not_begin_anew_while_its_crowd_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
