/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead who, kick, drain, block: what it asks the daemon, and what it makes of the answer. */
#include "tests/unit/unit.h"

#include <jansson.h>

#include "admin/command.h"
#include "tests/unit/admin_support.h"

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))

static const char somebody[] =
    "{\"id\":\"abc\",\"protocol\":\"imap\",\"account\":\"a@example.org\",\"address\":\"192.0.2.7\","
    "\"backend\":\"sv1\",\"age_ms\":61000,\"tls\":\"TLSv1.3\",\"worker\":1,\"pid\":7,"
    "\"is_leaving\":false}\n"
    "{\"id\":\"abd\",\"protocol\":\"smtp\",\"address\":\"192.0.2.8\",\"age_ms\":1,\"tls\":\"no\","
    "\"worker\":0,\"pid\":6,\"is_leaving\":true}";

static void who_shows_a_line_for_each_session(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("who", somebody, NULL);
    result = admin_run("who --backend sv1 --address 192.0.2.0/24");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "abc      a@example.org  192.0.2.7  sv1");
    assert_contains(result.out, "TLSv1.3");
    assert_contains(result.out, "leaving");
    assert_string_equal(admin_daemon_was_asked("who"),
                        "{\"address\":\"192.0.2.0/24\",\"backend\":\"sv1\",\"command\":\"who\"}");
    assert_contains(admin_run("who --json").out, "\"id\":\"abd\"");
}

static void kick_adds_up_what_the_workers_say(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("kick", "{\"kicked\":2}\n{\"kicked\":3}", NULL);
    assert_int_equal(admin_run("kick").status, COMMAND_USAGE);
    assert_null(admin_daemon_was_asked("kick"));
    result = admin_run("kick --account a@example.org");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out, "5 sessions told to go\n");
    assert_string_equal(admin_run("kick --session abc --json").out, "{\"kicked\":5}\n");
    assert_contains(admin_daemon_was_asked("kick"), "\"session\":\"abc\"");
}

static void drain_passes_its_deadline_on(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("drain", "{\"is_drained\":true,\"left_ms\":300000,\"sessions\":2}", NULL);
    assert_int_equal(admin_run("drain --undo --deadline 5m").status, COMMAND_USAGE);
    result = admin_run("drain --deadline 5m");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out,
                        "no more connections are taken; 2 sessions are asked to go, and "
                        "closed in 5 min\n");
    assert_string_equal(admin_daemon_was_asked("drain"),
                        "{\"command\":\"drain\",\"deadline_s\":300}");
    admin_run("drain --undo");
    assert_string_equal(admin_daemon_was_asked("drain"), "{\"command\":\"drain\",\"undo\":true}");
}

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
        TEST(who_shows_a_line_for_each_session),
        TEST(kick_adds_up_what_the_workers_say),
        TEST(drain_passes_its_deadline_on),
        TEST(block_list_shows_who_is_refused_and_for_how_long),
        TEST(block_list_says_when_nobody_is_blocked),
        TEST(block_clear_wants_a_choice_or_all),
    };

    return cmocka_run_group_tests_name("admin sessions", tests, NULL, NULL);
}
