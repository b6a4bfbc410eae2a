/* SPDX-License-Identifier: Apache-2.0 */
/* Whole command lines of `mailstead`: options, words, exit statuses, output for people and
 * programs. */
#include "tests/unit/unit.h"

#include <jansson.h>

#include "admin/command.h"
#include "tests/unit/admin_support.h"

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))
#define assert_lacks(text, part) assert_null(strstr((text), (part)))

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);

    assert_non_null(value);
    return value;
}

/* --- the command line --------------------------------------------------------------- */

static void every_row_of_the_table_is_found_by_its_name_and_has_help(void **state)
{
    (void)state;
    for (size_t i = 0; i < command_count; i++) {
        char line[64];
        struct admin_result result;

        snprintf(line, sizeof(line), "%s --help", commands[i].name);
        result = admin_run(line);
        assert_int_equal(result.status, COMMAND_OK);
        assert_contains(result.out, commands[i].summary);
        assert_contains(result.out, "--json");
        assert_string_equal(result.err, "");
    }
}

static void what_is_no_command_is_a_usage_error_that_says_what_there_is(void **state)
{
    static const char *const lines[] = { "queue nonsense", "queue", "" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct admin_result result = admin_run(lines[i]);

        assert_int_equal(result.status, COMMAND_USAGE);
        assert_contains(result.err, "usage: mailstead");
        assert_contains(result.err, "queue flush");
        assert_string_equal(result.out, "");
    }
    assert_contains(admin_run("queue nonsense").err, "unknown command \"queue nonsense\"");
    assert_lacks(admin_run("queue").err, "reassign");
    assert_int_equal(admin_run("nonsense").status, COMMAND_USAGE);
    assert_string_equal(
        admin_run("nonsense").err,
        "mailstead: unknown command \"nonsense\"; mailstead --help shows what there is\n");
}

static void help_without_a_command_lists_them_on_standard_output(void **state)
{
    struct admin_result result = admin_run("--help");

    (void)state;
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "reassign");
    result = admin_run("queue --help");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "queue flush");
}

static void the_version_is_printed(void **state)
{
    (void)state;
    assert_string_equal(admin_run("--version").out, "mailstead " PACKAGE_VERSION "\n");
}

static void wrong_options_are_named(void **state)
{
    static const struct {
        const char *line, *part;
    } cases[] = {
        { "reassign --nonsense", "unknown option --nonsense" },
        { "reassign -z", "unknown option -z" },
        { "reassign --from", "--from wants a value: BACKEND" },
        { "status --why", "unknown option --why" },
        { "status --json=x", "--json" },
        { "queue list --limit many", "--limit wants a number" },
        { "queue list --limit 0", "--limit wants a number" },
        { "queue list --limit -5", "--limit wants a number" },
        { "queue list --older-than d", "--older-than wants a time" },
        { "queue list --older-than 0h", "--older-than wants a time" },
        { "queue list --older-than 99999999d", "--older-than wants a time" },
        { "queue delete", "--all is every one" },
        { "kick", "say whose: --account" },
        { "kick --address 192.0.2.999", "--address wants an address, or a network" },
        { "who --address 192.0.2.0/33", "--address wants an address, or a network" },
        { "block clear --address", "--address wants a value: ADDRESS" },
        { "block clear --address mx1", "--address wants an address, or a network" },
        { "drain --all --node fe1", "--all is every frontend" },
        { "drain --all --local", "--all is every frontend" },
        { "--nonsense status", "unknown option --nonsense" },
        { "check --program cyrus", "--program is frontend or backend" },
        { "reassign --from sv1", "--to is missing: the backend that they go to" },
        { "reassign --to sv1", "--from is missing" },
        { "restore", "mailstead restore: BACKEND is missing" },
        { "restore sv1 sv2", "what is \"sv2\" for?  It takes BACKEND" },
        { "reassign sv1 sv2", "what is \"sv1\" for?  It takes no words" },
        { "reassign --limit 0", "--limit wants a number" },
        { "restore sv1 --rate fast", "--rate wants a number" },
        { "restore sv1 --permanent", "unknown option --permanent" },
        { "queue list --node fe1 --node fe2", "--node can be given once here" },
        { "lookup a@b --node fe1 --node fe2", "--node can be given once here" },
        { "status --node fe1 --local", "--node or --local, not both" },
        { "restore sv1 --filter=", "--filter wants FILTER, not an empty text" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct admin_result result = admin_run(cases[i].line);

        assert_int_equal(result.status, COMMAND_USAGE);
        assert_contains(result.err, cases[i].part);
        assert_string_equal(result.out, "");
    }
}

static void a_usage_line_is_no_wider_than_a_terminal(void **state)
{
    const char *line = admin_run("reassign --help").out;

    (void)state;
    assert_contains(line, "usage: mailstead reassign --from BACKEND --to BACKEND [--permanent]");
    line = strstr(line, "usage: ");
    for (; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "      --", 8) == 0)
            break; /* the options, each with its help */
        assert_in_range(strcspn(line, "\n"), 0, 80);
    }
}

static void too_few_and_too_many_words_are_usage_errors(void **state)
{
    static const char *const lines[] = {
        "lookup",
        "lookup a b",
        "status all",
        "queue show",
        "queue show 1 2",
        "restore",
        "restore sv1 sv2",
        "reassign sv1",
        "queue flush 1 --all",
        "queue delete",
        "queue bounce",
        "queue hold",
        "queue delete --all --backend sv1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        assert_int_equal(admin_run(lines[i]).status, COMMAND_USAGE);
}

static void options_may_stand_before_and_after_words(void **state)
{
    (void)state;
    admin_daemon_answers("lookup", "{\"outcome\":\"unknown\"}", NULL);
    assert_string_equal(admin_run("lookup x@example.org --json").out,
                        "{\"outcome\":\"unknown\",\"steps\":[]}\n");
    assert_string_equal(admin_run("lookup --json x@example.org").out,
                        "{\"outcome\":\"unknown\",\"steps\":[]}\n");
    assert_string_equal(admin_run("--json lookup x@example.org").out,
                        "{\"outcome\":\"unknown\",\"steps\":[]}\n");
}

static void an_empty_word_makes_no_sense(void **state)
{
    char name[] = "mailstead", command[] = "lookup", word[] = "";
    char *argv[] = { name, command, word, NULL };

    (void)state;
    assert_int_equal(command_main(3, argv), COMMAND_USAGE);
}

static void words_that_no_json_could_hold_make_no_sense(void **state)
{
    static const char *const words[] = { "lookup \xff@example.org", "queue delete \xff",
                                         "queue list --sender \xff", "restore sv1 --journal \xff" };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct admin_result result = admin_run(words[i]);

        assert_int_equal(result.status, COMMAND_USAGE);
        assert_contains(result.err, "of the command line is no UTF-8");
    }
    assert_null(admin_daemon_was_asked("queue-delete"));
}

/* --- status ------------------------------------------------------------------------- */

static const char good_status[] =
    "{\"program\":\"mailstead-frontend\",\"version\":\"0.1.0\",\"pid\":12,\"uptime_s\":90,"
    "\"generation\":1,\"processes\":["
    "{\"role\":\"control\",\"number\":0,\"pid\":13,\"generation\":1,\"is_ready\":true,"
    "\"is_draining\":false,\"heartbeat_age_ms\":100},"
    "{\"role\":\"worker\",\"number\":0,\"pid\":14,\"generation\":1,\"is_ready\":true,"
    "\"is_draining\":false,\"heartbeat_age_ms\":100}],"
    "\"counters\":{\"sessions\":3,\"queue_messages\":1,\"queue_recipients\":2},"
    "\"mirror\":{\"revision\":7,\"entries\":1000,\"is_synchronised\":true,\"is_connected\":true}}";
static const char good_health[] =
    "{\"backend\":\"sv1\",\"source\":\"configuration\",\"state\":\"up\",\"weight\":1,"
    "\"lmtp\":{\"state\":\"up\",\"since_s\":60},"
    "\"imap\":{\"state\":\"up\",\"since_s\":60},\"pop3\":{\"state\":\"unknown\",\"since_s\":0}}";
static const char bad_health[] =
    "{\"backend\":\"sv1\",\"source\":\"directory\",\"state\":\"leaving\",\"weight\":7,"
    "\"lmtp\":{\"state\":\"down\",\"since_s\":5,\"is_ramped\":false},"
    "\"imap\":{\"state\":\"up\",\"since_s\":60,\"is_ramped\":true},\"pop3\":{\"state\":\"unknown\","
    "\"since_s\":0}}";

static void status_says_what_the_daemon_does(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("status", good_status, NULL);
    admin_daemon_answers("backends", good_health, NULL);
    result = admin_run("status");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "mailstead-frontend 0.1.0 runs for 90 s");
    assert_contains(result.out, "control, 1 worker");
    assert_contains(result.out, "3 open now");
    assert_contains(result.out, "1000 accounts, revision 7, synchronised");
    assert_contains(result.out, "1 message, 2 recipients");
    assert_contains(result.out, "up 60 s");
    assert_lacks(result.out, "down");
    assert_lacks(result.out, "attention");
}

static void status_check_is_ok_and_silent_when_all_is_well(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("status", good_status, NULL);
    admin_daemon_answers("backends", good_health, NULL);
    result = admin_run("status --check");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out, "ok\n");
}

static void status_tells_what_is_wrong_and_check_fails_then(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("status",
                         "{\"program\":\"mailstead-frontend\",\"version\":\"1\",\"pid\":12,"
                         "\"uptime_s\":9,\"generation\":1,\"processes\":[{\"role\":\"queue\","
                         "\"number\":0,\"pid\":44,\"is_ready\":true,\"heartbeat_age_ms\":7000}],"
                         "\"counters\":{},\"mirror\":{\"revision\":0,\"entries\":0,"
                         "\"is_synchronised\":false,\"is_connected\":false}}",
                         NULL);
    admin_daemon_answers("backends", bad_health, NULL);
    admin_daemon_answers("directory-status", "{\"uri\":\"ldap://h\",\"trouble\":\"no route\"}",
                         NULL);
    result = admin_run("status --check");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.out, "queue 0 (process 44) hangs");
    assert_contains(result.out, "no worker runs");
    assert_contains(result.out, "directory is not connected");
    assert_contains(result.out, "not been synchronised");
    assert_contains(result.out, "backend sv1: lmtp is down for 5 s");
    assert_contains(result.out, "backend sv1 is leaving");
    result = admin_run("status");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "Needs attention:");
    assert_contains(result.out, "not connected: no route");
    assert_contains(result.out, "up 60 s, let in slowly");
    assert_lacks(result.out, "down 5 s, let in slowly");
}

static void status_as_json_is_one_document_with_health_and_problems(void **state)
{
    json_t *status;

    (void)state;
    admin_daemon_answers("status", good_status, NULL);
    admin_daemon_answers("backends", bad_health, NULL);
    status = parse(admin_run("status --json").out);
    assert_string_equal(json_string_value(json_object_get(status, "program")),
                        "mailstead-frontend");
    assert_int_equal(json_array_size(json_object_get(status, "backends")), 1);
    assert_int_equal(json_array_size(json_object_get(status, "problems")), 2);
    json_decref(status);
}

static void a_daemon_that_does_not_answer_is_named_with_its_socket(void **state)
{
    struct admin_result result = admin_run("status");

    (void)state;
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_string_equal(result.out, "");
    assert_contains(result.err, "control.sock");
    assert_contains(result.err, "Connection refused");
}

static void a_wrong_configuration_is_told_with_its_line(void **state)
{
    struct admin_result result;

    (void)state;
    admin_write_config("wrokers = 2\n");
    result = admin_run("status");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "mailstead.conf:17");
    assert_contains(result.err, "wrokers");
}

/* --- lookup ------------------------------------------------------------------------- */

static void lookup_names_account_and_backend(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("lookup",
                         "{\"step\":\"a+x@example.org\",\"rule\":\"exact\",\"found\":\"none\"}\n"
                         "{\"step\":\"a@example.org\",\"rule\":\"detail\",\"found\":\"one\"}\n"
                         "{\"outcome\":\"found\",\"rule\":\"detail\",\"key\":\"a@example.org\","
                         "\"account\":\"a@example.org\",\"recipient\":\"a+x@example.org\","
                         "\"host\":\"sv2\",\"old_host\":\"sv1\"}",
                         NULL);
    result = admin_run("lookup a+x@example.org");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out,
                        "a+x@example.org: account a@example.org on backend sv2, moved from sv1\n");
    result = admin_run("lookup a+x@example.org --why");
    assert_contains(result.out, "a+x@example.org (as it is): no account");
    assert_contains(result.out, "a@example.org (without its detail): one account");
    assert_contains(result.out, "delivered to        a+x@example.org");
    assert_string_equal(admin_daemon_was_asked("lookup"),
                        "{\"address\":\"a+x@example.org\",\"command\":\"lookup\",\"login\":false}");
}

static void lookup_tells_what_is_not_there(void **state)
{
    (void)state;
    admin_daemon_answers("lookup", "{\"outcome\":\"misconfigured\",\"reason\":\"no host\"}", NULL);
    assert_string_equal(admin_run("lookup a@example.org --login").out,
                        "a@example.org: its entry in the directory is wrong: no host\n");
    assert_contains(admin_daemon_was_asked("lookup"), "\"login\":true");
}

static void an_unknown_address_is_temporary_until_the_directory_agrees(void **state)
{
    (void)state;
    admin_daemon_answers("lookup", "{\"outcome\":\"unknown\",\"confirmed\":\"unsure\"}", NULL);
    assert_contains(admin_run("lookup a@example.org --why").out, "451: try again later");
    assert_lacks(admin_run("lookup a@example.org --why").out, "550");
    assert_contains(admin_run("lookup a@example.org").out, "unknown to the mirror");
}

static void control_characters_of_an_answer_never_reach_the_terminal(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("lookup", "{\"outcome\":\"found\",\"account\":\"a\\u001b[2Jb\\nc\"}",
                         NULL);
    result = admin_run("lookup x");
    assert_contains(result.out, "a?[2Jb?c");
    assert_lacks(result.out, "\033");
}

/* --- check -------------------------------------------------------------------------- */

static void a_good_configuration_is_ok_with_a_summary(void **state)
{
    struct admin_result result = admin_run("check --offline");

    (void)state;
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, ": ok for mailstead-frontend");
    assert_contains(result.out, "example.org");
    assert_contains(result.out, "sv1, sv2");
    assert_contains(result.out, "127.0.0.1:25");
    assert_string_equal(result.err, "");
}

static void errors_are_told_with_file_and_line(void **state)
{
    struct admin_result result;
    json_t *document, *error;

    (void)state;
    admin_write_config("workers = 1000\n");
    result = admin_run("check");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "mailstead.conf:17: workers");
    result = admin_run("check --json");
    assert_int_equal(result.status, COMMAND_FAILED);
    document = parse(result.out);
    assert_true(json_is_false(json_object_get(document, "ok")));
    error = json_array_get(json_object_get(document, "errors"), 0);
    assert_int_equal(json_integer_value(json_object_get(error, "line")), 17);
    assert_contains(json_string_value(json_object_get(error, "text")), "workers");
    json_decref(document);
}

static void a_file_with_a_node_is_a_backends(void **state)
{
    struct admin_result result;

    (void)state;
    admin_write_config("node { name = \"sv1\" }\n");
    result = admin_run("check");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "smtp is for frontends");
    assert_int_equal(admin_run("check --program frontend").status, COMMAND_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, admin_setup, admin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_row_of_the_table_is_found_by_its_name_and_has_help),
        TEST(what_is_no_command_is_a_usage_error_that_says_what_there_is),
        TEST(help_without_a_command_lists_them_on_standard_output),
        TEST(the_version_is_printed),
        TEST(wrong_options_are_named),
        TEST(too_few_and_too_many_words_are_usage_errors),
        TEST(an_empty_word_makes_no_sense),
        TEST(words_that_no_json_could_hold_make_no_sense),
        TEST(a_usage_line_is_no_wider_than_a_terminal),
        TEST(options_may_stand_before_and_after_words),
        TEST(status_says_what_the_daemon_does),
        TEST(status_check_is_ok_and_silent_when_all_is_well),
        TEST(status_tells_what_is_wrong_and_check_fails_then),
        TEST(status_as_json_is_one_document_with_health_and_problems),
        TEST(a_daemon_that_does_not_answer_is_named_with_its_socket),
        TEST(a_wrong_configuration_is_told_with_its_line),
        TEST(lookup_names_account_and_backend),
        TEST(lookup_tells_what_is_not_there),
        TEST(an_unknown_address_is_temporary_until_the_directory_agrees),
        TEST(control_characters_of_an_answer_never_reach_the_terminal),
        TEST(a_good_configuration_is_ok_with_a_summary),
        TEST(errors_are_told_with_file_and_line),
        TEST(a_file_with_a_node_is_a_backends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
