/* SPDX-License-Identifier: Apache-2.0 */
/* How far a follower has come, in OpenLDAP's change sequence numbers. */
#include "tests/unit/unit.h"

#include "directory/csn.h"

#define FIRST_AT_1 "20260101000000.000000Z#000000#001#000000"
#define SECOND_AT_1 "20260101000001.500000Z#000000#001#000000"
#define FIRST_AT_2 "20260101000000.250000Z#000000#002#000000"

static struct csn_set cookie(const char *text)
{
    return csn_set_from_cookie(span_from_string(text));
}

static void a_cookie_shows_its_servers_newest_changes(void **state)
{
    struct csn_set set = cookie("rid=001,sid=003,csn=" FIRST_AT_1 ";" FIRST_AT_2);

    (void)state;
    assert_int_equal(set.count, 2);
    assert_string_equal(csn_set_find(&set, SECOND_AT_1), FIRST_AT_1);
    assert_string_equal(csn_set_find(&set, FIRST_AT_2), FIRST_AT_2);
    assert_true(csn_set_add(&set, span_from_string(SECOND_AT_1)));
    assert_true(csn_set_add(&set, span_from_string(FIRST_AT_1)));
    assert_int_equal(set.count, 2);
    assert_string_equal(csn_set_find(&set, FIRST_AT_1), SECOND_AT_1);
}

static void what_is_no_cookie_of_openldap_has_no_changes(void **state)
{
    static const char *const cookies[] = {
        "",
        "csn",
        "csn=",
        "rid=000",
        "rid=000,csn=;;,csn=,",
        "server:389#cn=manager#123",
        "csn=20260101000000.000000Z#000000#001#00000",
        "csn=20260101000000.000000Z#000000#001#0000000",
        "csn=2026010100000x.000000Z#000000#001#000000",
        "csn=20260101000000.000000Z#000000#0G1#000000",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++)
        assert_int_equal(cookie(cookies[i]).count, 0);
}

static void a_follower_has_reached_a_goal_when_no_server_is_ahead(void **state)
{
    struct csn_set goal = cookie("csn=" SECOND_AT_1 ";" FIRST_AT_2), set = { .count = 0 };

    (void)state;
    assert_true(csn_set_has_reached(&goal, &set));
    assert_true(csn_set_has_reached(&goal, &goal));
    assert_false(csn_set_has_reached(&set, &goal));
    assert_int_equal(csn_set_lag_ms(&set, &goal), -1);
    set = cookie("csn=" SECOND_AT_1);
    assert_false(csn_set_has_reached(&set, &goal));
    set = cookie("csn=" FIRST_AT_1 ";" FIRST_AT_2);
    assert_false(csn_set_has_reached(&set, &goal));
    assert_int_equal(csn_set_lag_ms(&set, &goal), 1500);
    assert_true(csn_set_has_reached(&goal, &set));
    assert_int_equal(csn_set_lag_ms(&goal, &set), 0);
}

static void more_servers_than_there_is_room_for_are_refused(void **state)
{
    struct csn_set set = { .count = 0 };
    char csn[CSN_SIZE];

    (void)state;
    for (unsigned i = 0; i <= CSN_SERVERS_MAX; i++) {
        snprintf(csn, sizeof(csn), "20260101000000.000000Z#000000#%03x#000000", i);
        assert_int_equal(csn_set_add(&set, span_from_string(csn)), i < CSN_SERVERS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_shows_its_servers_newest_changes),
        cmocka_unit_test(what_is_no_cookie_of_openldap_has_no_changes),
        cmocka_unit_test(a_follower_has_reached_a_goal_when_no_server_is_ahead),
        cmocka_unit_test(more_servers_than_there_is_room_for_are_refused),
    };

    return cmocka_run_group_tests_name("csn", tests, NULL, NULL);
}
