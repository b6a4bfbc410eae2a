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

/* --- many nodes ------------------------------------------------------------------------------ */

/* Two frontends with control sockets, beside a daemon that is none of them and does not run. */
static void add_frontends(void)
{
    admin_add_frontend("fe1", true);
    admin_add_frontend("fe2", true);
}

static void who_and_kick_are_for_all_frontends(void **state)
{
    struct admin_result result;

    (void)state;
    add_frontends();
    admin_daemon_answers("who@fe1", somebody, NULL);
    admin_daemon_answers("who@fe2", "", NULL);
    admin_daemon_answers("kick@fe1", "{\"kicked\":2}\n{\"kicked\":3}", NULL);
    admin_daemon_answers("kick@fe2", "{\"kicked\":1}", NULL);
    result = admin_run("who");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "speaks  node\n");
    assert_contains(result.out, "  fe1\n");
    assert_string_equal(result.err, "");
    assert_contains(admin_run("who --json").out, "\"node\":\"fe1\"");
    assert_string_equal(admin_run("kick --backend sv1").out, "6 sessions told to go\n");
    assert_string_equal(admin_run("kick --backend sv1 --json").out,
                        "{\"kicked\":5,\"node\":\"fe1\"}\n{\"kicked\":1,\"node\":\"fe2\"}\n");
    assert_string_equal(admin_run("kick --backend sv1 --node fe2").out, "1 session told to go\n");
}

static void who_does_not_answer_is_named_and_the_rest_is_shown(void **state)
{
    struct admin_result result;

    (void)state;
    add_frontends();
    admin_add_frontend("fe3", false);
    admin_daemon_answers("who@fe1", somebody, NULL);
    result = admin_run("who");
    assert_int_equal(result.status, COMMAND_PARTLY);
    assert_contains(result.out, "a@example.org");
    assert_contains(result.err, "mailstead: fe2: the daemon at ");
    assert_contains(result.err, "mailstead: fe3: not asked: it has neither admin_port");
    assert_null(strstr(result.err, "this machine"));
    result = admin_run("who --node fe2");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_string_equal(result.out, "");
    result = admin_run("who --local"); /* which does not run */
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "does the daemon run?");
    assert_contains(admin_run("who --node fe9").err, "no frontend or backend fe9");
    assert_int_equal(admin_run("who --node fe1 --local").status, COMMAND_USAGE);
}

static void frontends_that_nobody_can_ask_leave_the_command_as_it_is(void **state)
{
    struct admin_result result;

    (void)state;
    admin_add_frontend("fe3", false);
    admin_daemon_answers("who", somebody, NULL);
    result = admin_run("who");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "speaks  worker\n");
    assert_string_equal(result.err, "");
}

static void drain_is_for_this_machine_unless_it_is_said(void **state)
{
    static const char drained[] = "{\"is_drained\":true,\"left_ms\":1000,\"sessions\":1}";

    (void)state;
    add_frontends();
    admin_daemon_answers("drain", drained, NULL);
    admin_daemon_answers("drain@fe1", drained, NULL);
    admin_daemon_answers("drain@fe2", drained, NULL);
    assert_int_equal(admin_run("drain").status, COMMAND_OK);
    assert_null(admin_daemon_was_asked("drain@fe1"));
    assert_contains(admin_run("drain --node fe2").out, "fe2: no more connections are taken");
    assert_null(admin_daemon_was_asked("drain@fe1"));
    admin_run("drain --all");
    assert_non_null(admin_daemon_was_asked("drain@fe1"));
}

static void blocks_of_all_frontends_are_shown_and_lifted(void **state)
{
    (void)state;
    add_frontends();
    admin_daemon_answers("block-list@fe1",
                         "{\"network\":\"192.0.2.0/24\",\"failures\":9,\"left_ms\":1000}", NULL);
    admin_daemon_answers("block-list@fe2",
                         "{\"network\":\"192.0.2.0/24\",\"failures\":8,\"left_ms\":1000}", NULL);
    admin_daemon_answers("block-clear@fe1", "{\"lifted\":1}", NULL);
    admin_daemon_answers("block-clear@fe2", "{\"lifted\":2}", NULL);
    assert_contains(admin_run("block list").out, "9  1 s      fe1\n");
    assert_contains(admin_run("block list").out, "8  1 s      fe2\n");
    assert_string_equal(admin_run("block clear --all").out, "3 blocks lifted\n");
    assert_string_equal(admin_run("block clear --all --json").out,
                        "{\"lifted\":1,\"node\":\"fe1\"}\n{\"lifted\":2,\"node\":\"fe2\"}\n");
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
        TEST(who_and_kick_are_for_all_frontends),
        TEST(who_does_not_answer_is_named_and_the_rest_is_shown),
        TEST(frontends_that_nobody_can_ask_leave_the_command_as_it_is),
        TEST(drain_is_for_this_machine_unless_it_is_said),
        TEST(blocks_of_all_frontends_are_shown_and_lifted),
    };

    return cmocka_run_group_tests_name("admin sessions", tests, NULL, NULL);
}
