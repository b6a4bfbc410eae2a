/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "tests/unit/unit.h"

enum { START_S = 1000 };

static uint64_t at_s(uint64_t seconds)
{
    return (START_S + seconds) * 1000000;
}

static unsigned charge_all(struct meter *meter, const char *name, unsigned per_hour,
                           uint64_t now_us)
{
    unsigned charged = 0;

    while (charged < 2 * per_hour && meter_charge(meter, span_from_string(name), per_hour, now_us))
        charged++;
    return charged;
}

static void test_an_allowance_is_used_up_and_comes_back_evenly(void **unused)
{
    struct meter *meter = memory_new(sizeof(*meter));

    (void)unused;
    assert_int_equal(charge_all(meter, "a", 7, at_s(0)), 7);
    assert_int_equal(charge_all(meter, "b", 7, at_s(0)), 7);
    assert_int_equal(charge_all(meter, "a", 7, at_s(0)), 0);
    assert_int_equal(charge_all(meter, "a", 7, at_s(METER_HOUR_S / 7 + 1)), 1);
    assert_int_equal(charge_all(meter, "a", 7, at_s(2 * METER_HOUR_S)), 7);
    free(meter);
}

static void test_a_refund_gives_one_back_and_never_more_than_was_charged(void **unused)
{
    struct meter *meter = memory_new(sizeof(*meter));

    (void)unused;
    meter_refund(meter, SPAN_LITERAL("a"), 5); /* of whom nothing is known */
    assert_int_equal(charge_all(meter, "a", 5, at_s(0)), 5);
    meter_refund(meter, SPAN_LITERAL("a"), 5);
    assert_int_equal(charge_all(meter, "a", 5, at_s(0)), 1);
    free(meter);
}

static void test_more_names_than_rows_forgive_and_never_refuse_a_new_one(void **unused)
{
    struct meter *meter = memory_new(sizeof(*meter));

    (void)unused;
    for (unsigned i = 0; i < 2 * METER_ROWS; i++) {
        char name[32];

        snprintf(name, sizeof(name), "user%u@example.org", i);
        assert_true(meter_charge(meter, span_from_string(name), 1, at_s(0)));
    }
    free(meter);
}

static void test_processes_share_one_allowance(void **unused)
{
    enum { PROCESSES = 4, PER_HOUR = 1000 };
    struct meter *meter =
        mmap(NULL, sizeof(*meter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned charged = 0;
    int ends[2];

    (void)unused;
    assert_ptr_not_equal(meter, MAP_FAILED);
    assert_true(meter_charge(meter, SPAN_LITERAL("a"), PER_HOUR, at_s(0)));
    assert_int_equal(pipe(ends), 0);
    for (unsigned i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            unsigned mine = charge_all(meter, "a", PER_HOUR, at_s(0));

            _exit(write(ends[1], &mine, sizeof(mine)) == sizeof(mine) ? 0 : 1);
        }
    for (unsigned i = 0; i < PROCESSES; i++) {
        unsigned mine;
        int status;

        assert_int_equal(read(ends[0], &mine, sizeof(mine)), sizeof(mine));
        charged += mine;
        wait(&status);
        assert_int_equal(status, 0);
    }
    assert_int_equal(charged, PER_HOUR - 1);
    close(ends[0]);
    close(ends[1]);
    munmap(meter, sizeof(*meter));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_allowance_is_used_up_and_comes_back_evenly),
        cmocka_unit_test(test_a_refund_gives_one_back_and_never_more_than_was_charged),
        cmocka_unit_test(test_more_names_than_rows_forgive_and_never_refuse_a_new_one),
        cmocka_unit_test(test_processes_share_one_allowance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
