/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "admin/takeover.h"

#include <limits.h>

#include "common/base/memory.h"

#define NAMES(...)                                                                                 \
    &(struct string_list)                                                                          \
    {                                                                                              \
        (char *[]){ __VA_ARGS__ }, sizeof((char *[]){ __VA_ARGS__ }) / sizeof(char *)              \
    }
#define NAME(text) ((char[]){ text })
#define TABLE(rows)                                                                                \
    {                                                                                              \
        rows, ARRAY_LENGTH(rows)                                                                   \
    }

enum { SV1, SV2, SV3 };

static void accounts_go_to_the_first_sibling_that_serves(void **unused)
{
    struct takeover_backend rows[] = {
        { .name = "sv1",
          .siblings = NAMES(NAME("gone"), NAME("sv2"), NAME("sv3")),
          .weight = 1,
          .accounts = 600 },
        { .name = "sv2", .weight = 1, .accounts = 300 },
        { .name = "sv3", .weight = 2, .accounts = 300 },
    };
    struct takeover_table table = TABLE(rows);
    struct takeover_failure failure = takeover_fail(&table, SV1);

    (void)unused;
    assert_int_equal(failure.to, SV2);
    assert_int_equal(failure.carried, 900);
    assert_int_equal(failure.percent, 300); /* three quarters, and a quarter is its share */
    rows[SV2].is_away = true;
    failure = takeover_fail(&table, SV1);
    assert_int_equal(failure.to, SV3);
    assert_int_equal(failure.percent, 150);
    rows[SV3].is_away = true;
    failure = takeover_fail(&table, SV1);
    assert_int_equal(failure.to, TAKEOVER_NOBODY);
    assert_int_equal(failure.lack, TAKEOVER_AWAY);
    assert_int_equal(failure.accounts, 600);
}

static void a_backend_without_a_known_sibling_has_nobody(void **unused)
{
    struct takeover_backend rows[] = {
        { .name = "sv1", .siblings = NAMES(NAME("sv8"), NAME("sv9")), .weight = 1, .accounts = 1 },
        { .name = "sv2", .weight = 1 },
    };
    struct takeover_table table = TABLE(rows);

    (void)unused;
    assert_int_equal(takeover_fail(&table, SV1).lack, TAKEOVER_UNKNOWN);
    assert_int_equal(takeover_fail(&table, SV2).lack, TAKEOVER_NO_SIBLINGS);
}

static void two_that_have_only_each_other_lose_both_accounts_at_the_second_failure(void **unused)
{
    struct takeover_backend rows[] = {
        { .name = "sv1", .siblings = NAMES(NAME("sv2")), .weight = 1, .accounts = 100 },
        { .name = "sv2", .siblings = NAMES(NAME("sv1")), .weight = 1, .accounts = 50 },
        { .name = "sv3",
          .siblings = NAMES(NAME("sv1"), NAME("sv2")),
          .weight = 1,
          .accounts = 400 },
    };
    struct takeover_table table = TABLE(rows);
    struct takeover_failure first = takeover_fail(&table, SV1);
    struct takeover_failure second = takeover_fail_again(&table, &first);

    (void)unused;
    assert_int_equal(first.to, SV2);
    assert_int_equal(second.failed, SV2);
    assert_int_equal(second.to, TAKEOVER_NOBODY);
    assert_int_equal(second.lack, TAKEOVER_LOOP);
    assert_int_equal(second.accounts, 150);
}

static void of_second_failures_the_one_that_costs_most_is_told(void **unused)
{
    struct takeover_backend rows[] = {
        { .name = "sv1",
          .siblings = NAMES(NAME("sv2"), NAME("sv3")),
          .weight = 1,
          .accounts = 100 },
        { .name = "sv2",
          .siblings = NAMES(NAME("sv3"), NAME("sv1")),
          .weight = 1,
          .accounts = 100 },
        { .name = "sv3",
          .siblings = NAMES(NAME("sv1"), NAME("sv2")),
          .weight = 1,
          .accounts = 100 },
    };
    struct takeover_table table = TABLE(rows);
    struct takeover_failure first = takeover_fail(&table, SV1);
    struct takeover_failure second = takeover_fail_again(&table, &first);

    (void)unused;
    assert_int_equal(first.percent, 200);
    assert_int_equal(second.percent, 300);
    assert_int_equal(second.to == SV2 || second.to == SV3, true);
    rows[SV3].siblings = NAMES(NAME("sv1")); /* which has failed */
    second = takeover_fail_again(&table, &first);
    assert_int_equal(second.failed, SV3);
    assert_int_equal(second.to, TAKEOVER_NOBODY);
    assert_int_equal(second.accounts, 100);
}

static void the_only_backend_has_no_second_failure(void **unused)
{
    struct takeover_backend rows[] = { { .name = "sv1", .weight = 1, .accounts = 100 } };
    struct takeover_table table = TABLE(rows);
    struct takeover_failure first = takeover_fail(&table, SV1);

    (void)unused;
    assert_int_equal(first.to, TAKEOVER_NOBODY);
    assert_int_equal(takeover_fail_again(&table, &first).failed, TAKEOVER_NOBODY);
}

static void a_share_is_by_weight(void **unused)
{
    struct takeover_backend rows[] = {
        { .name = "sv1", .weight = 3, .accounts = 500 },
        { .name = "sv2", .weight = 1, .accounts = 500 },
        { .name = "sv3", .weight = 0 },
    };
    struct takeover_table table = TABLE(rows);

    (void)unused;
    assert_int_equal(takeover_percent(&table, SV1, 500), 67);
    assert_int_equal(takeover_percent(&table, SV2, 500), 200);
    assert_int_equal(takeover_percent(&table, SV3, 0), 0);
    assert_int_equal(takeover_percent(&table, SV3, 1), UINT_MAX);
    rows[SV1].accounts = rows[SV2].accounts = 0;
    assert_int_equal(takeover_percent(&table, SV1, 1), 0);
}

static void first_choices_are_counted(void **unused)
{
    struct takeover_backend rows[] = {
        { .name = "sv1", .siblings = NAMES(NAME("sv2")), .weight = 1 },
        { .name = "sv2", .siblings = NAMES(NAME("sv3")), .weight = 1 },
        { .name = "sv3", .siblings = NAMES(NAME("sv2"), NAME("sv1")), .weight = 1 },
    };
    struct takeover_table table = TABLE(rows);

    (void)unused;
    assert_int_equal(takeover_first_choices(&table, SV2), 2);
    assert_int_equal(takeover_first_choices(&table, SV1), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_go_to_the_first_sibling_that_serves),
        cmocka_unit_test(a_backend_without_a_known_sibling_has_nobody),
        cmocka_unit_test(two_that_have_only_each_other_lose_both_accounts_at_the_second_failure),
        cmocka_unit_test(of_second_failures_the_one_that_costs_most_is_told),
        cmocka_unit_test(the_only_backend_has_no_second_failure),
        cmocka_unit_test(a_share_is_by_weight),
        cmocka_unit_test(first_choices_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
