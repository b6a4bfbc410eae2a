/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead block: what it asks the daemon, and what it makes of the answer. */
#include "tests/unit/unit.h"

#include <jansson.h>

#include "admin/command.h"
#include "tests/unit/admin_support.h"

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))

static void block_list_shows_who_is_refused_and_for_how_long(void **state)
{
    const char *out;

    (void)state;
    admin_daemon_answers("block-list",
                         "{\"account\":\"a@example.org\",\"network\":\"192.0.2.0/24\","
                         "\"failures\":10,\"left_ms\":60000}\n"
                         "{\"network\":\"2001:db8::/64\",\"failures\":200,\"left_ms\":1000}",
                         NULL);
    out = admin_run("block list").out;
    assert_contains(out, "192.0.2.0/24   a@example.org");
    assert_contains(out, "(those not known there)");
    assert_contains(out, "60 s");
    assert_contains(admin_run("block list --json").out, "\"failures\":200");
}

static void block_list_says_when_nobody_is_blocked(void **state)
{
    (void)state;
    admin_daemon_answers("block-list", "", NULL);
    assert_string_equal(admin_run("block list").out, "nobody is blocked\n");
    assert_string_equal(admin_run("block list --json").out, "");
}

static void block_clear_wants_a_choice_or_all(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("block-clear", "{\"lifted\":1}", NULL);
    assert_int_equal(admin_run("block clear").status, COMMAND_USAGE);
    assert_int_equal(admin_run("block clear --all --account a").status, COMMAND_USAGE);
    assert_null(admin_daemon_was_asked("block-clear"));
    result = admin_run("block clear --account a@example.org --address 192.0.2.1");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out, "1 block lifted\n");
    assert_string_equal(admin_daemon_was_asked("block-clear"),
                        "{\"account\":\"a@example.org\",\"address\":\"192.0.2.1\","
                        "\"command\":\"block-clear\"}");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, admin_setup, admin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(block_list_shows_who_is_refused_and_for_how_long),
        TEST(block_list_says_when_nobody_is_blocked),
        TEST(block_clear_wants_a_choice_or_all),
    };

    return cmocka_run_group_tests_name("admin sessions", tests, NULL, NULL);
}
