/* SPDX-License-Identifier: Apache-2.0 */
/* Whole command lines of `mailstead`: options, words, exit statuses, output for people and
 * programs. */
#include "tests/unit/unit.h"

#include "tests/unit/listening.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "admin/command.h"
#include "admin/move.h"
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

static void what_is_no_command_is_a_usage_error_with_the_list_of_commands(void **state)
{
    static const char *const lines[] = { "nonsense", "queue nonsense", "queue", "" };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct admin_result result = admin_run(lines[i]);

        assert_int_equal(result.status, COMMAND_USAGE);
        assert_contains(result.err, "usage: mailstead");
        assert_contains(result.err, "queue flush");
        assert_string_equal(result.out, "");
    }
    assert_contains(admin_run("queue nonsense").err, "unknown command \"queue nonsense\"");
    assert_lacks(admin_run("queue").err, "reassign");
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
    "\"lmtp\":{\"state\":\"down\",\"since_s\":5},"
    "\"imap\":{\"state\":\"up\",\"since_s\":60},\"pop3\":{\"state\":\"unknown\",\"since_s\":0}}";

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

/* --- reassign and restore ----------------------------------------------------------- */

static void reassign_needs_known_and_different_backends(void **state)
{
    static const char *const lines[] = { "reassign --from sv1 --to sv9 --yes",
                                         "reassign --from sv9 --to sv1 --yes",
                                         "reassign --from sv1 --to sv1 --yes",
                                         "restore sv9 --yes" };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct admin_result result = admin_run(lines[i]);

        assert_int_equal(result.status, COMMAND_FAILED);
        assert_string_not_equal(result.err, "");
    }
    assert_contains(admin_run(lines[0]).err, "there are: sv1 sv2");
    assert_int_equal(admin_reassign_runs, 0);
}

static void reassign_without_a_server_to_write_to_is_refused(void **state)
{
    (void)state;
    admin_write_config("");
    assert_contains(admin_run("reassign --from sv1 --to sv2 --yes").err, "admin.write_uri");
    assert_int_equal(admin_reassign_runs, 0);
}

static void reassign_is_refused_while_the_old_backend_answers(void **state)
{
    uint16_t port;
    int fd = listen_somewhere(&port);
    struct admin_result result;

    (void)state;
    admin_set_ports(1, port, 1);
    result = admin_run("reassign --from sv1 --to sv2");
    assert_int_equal(result.status, COMMAND_REFUSED);
    assert_contains(result.err, "sv1 still answers: imap at 127.0.0.1:");
    assert_contains(result.err, "--yes");
    assert_int_equal(admin_reassign_runs, 0);
    assert_int_equal(admin_run("reassign --from sv1 --to sv2 --yes").status, COMMAND_OK);
    assert_int_equal(admin_reassign_runs, 1);
    close(fd);
}

static void reassign_is_refused_when_the_new_backend_does_not_answer(void **state)
{
    struct admin_result result = admin_run("reassign --from sv1 --to sv2");

    (void)state;
    assert_int_equal(result.status, COMMAND_REFUSED);
    assert_contains(result.err, "sv2 does not answer here");
    assert_lacks(result.err, "still answers");
    assert_int_equal(admin_reassign_runs, 0);
}

static void a_dry_run_is_told_of_the_danger_and_counts(void **state)
{
    struct admin_result result;

    (void)state;
    admin_reassign_result.progress.found = 334;
    result = admin_run("reassign --from sv1 --to sv2 --dry-run");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out, "would change 334 accounts from sv1 to sv2\n");
    assert_contains(result.err, "without --dry-run this would be refused");
    assert_true(admin_reassign_plan.is_dry_run);
}

static void restore_needs_the_backend_to_answer(void **state)
{
    uint16_t port;
    int fd = listen_somewhere(&port);

    (void)state;
    assert_int_equal(admin_run("restore sv1").status, COMMAND_REFUSED);
    admin_set_ports(1, 1, port);
    admin_reassign_result.progress =
        (struct reassign_progress){ .found = 1, .moved = 1, .elapsed_ms = 400, .is_listed = true };
    assert_string_equal(admin_run("restore sv1").out,
                        "changed 1 account back to sv1 in 0.4 s\n"
                        "whether the frontends have followed cannot be known from here: "
                        "the server shows no contextCSN\n");
    assert_int_equal(admin_reassign_plan.kind, REASSIGN_RESTORE);
    close(fd);
}

static void nothing_to_do_is_a_success(void **state)
{
    struct admin_result result = admin_run("reassign --from sv1 --to sv2 --yes");

    (void)state;
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out, "nothing to do: no account is on sv1\n");
}

static char selection[128], journal_directory[128];

/* The plan's texts live as long as the run. */
static void keep_selection(const struct reassign_plan *plan)
{
    assert_int_equal(plan->domain_count, 1);
    snprintf(selection, sizeof(selection), "%s %s", plan->domains[0], plan->filter);
    snprintf(journal_directory, sizeof(journal_directory), "%s", plan->journal_directory);
}

static void a_run_is_narrowed_and_slowed_by_options(void **state)
{
    const struct reassign_plan *plan = &admin_reassign_plan;
    char directory[128];

    (void)state;
    admin_run("reassign --from sv1 --to sv2 --yes --domain Example.ORG --domain example.net "
              "--filter uid=a* --limit 7 --rate 3 --permanent");
    assert_int_equal(admin_reassign_runs, 0); /* example.net is no domain of ours */
    admin_reassign_during = keep_selection;
    admin_run("reassign --from sv1 --to sv2 --yes --domain Example.ORG --filter uid=a* --limit 7 "
              "--rate 3 --permanent");
    assert_int_equal(admin_reassign_runs, 1);
    assert_string_equal(selection, "example.org (uid=a*)");
    assert_true(plan->is_permanent);
    assert_int_equal(plan->limit, 7);
    assert_int_equal(plan->rate, 3);
    snprintf(directory, sizeof(directory), "%.*s/journal",
             (int)(strrchr(admin_config_file(), '/') - admin_config_file()), admin_config_file());
    assert_string_equal(journal_directory, directory);
    admin_run("restore sv1 --yes --domain example.org --filter (uid=b) --journal /somewhere");
    assert_string_equal(selection, "example.org (uid=b)");
    assert_string_equal(journal_directory, "/somewhere");
    assert_false(plan->is_permanent);
    assert_int_equal(plan->limit, 0);
}

static void a_selection_that_makes_no_sense_is_refused_before_anything(void **state)
{
    static const struct {
        const char *line, *part;
    } cases[] = {
        { "reassign --from sv1 --to sv2 --yes --domain example.con",
          "\"example.con\" is no domain of" },
        { "reassign --from sv1 --to sv2 --yes --domain *)(uid=*", "there are: example.org" },
        { "restore sv1 --yes --filter (uid=a", "is no search filter: a ) is missing" },
        { "restore sv1 --yes --filter uid=a)(b=c", "is no search filter" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct admin_result result = admin_run(cases[i].line);

        assert_int_equal(result.status, COMMAND_FAILED);
        assert_contains(result.err, cases[i].part);
        assert_string_equal(result.out, "");
    }
    assert_int_equal(admin_reassign_runs, 0);
}

static void a_limited_run_says_how_many_are_left(void **state)
{
    struct admin_result result;

    (void)state;
    admin_reassign_result =
        (struct reassign_result){ .progress = { .found = 100, .moved = 10, .is_listed = true },
                                  .journal = "/j/x.jsonl" };
    result = admin_run("reassign --from sv1 --to sv2 --yes --limit 10");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "not done yet: 90, as --limit asks\n");
    assert_contains(result.out, "journal: /j/x.jsonl\n");
    assert_string_equal(result.err, "");
    result = admin_run("reassign --from sv1 --to sv2 --limit 10 --rate 2 --dry-run");
    assert_contains(result.out, "would change 10 accounts from sv1 to sv2 in 5 s or more\n"
                                "would be left: 90, as --limit asks\n");
}

static void what_was_changed_before_a_refusal_counts(void **state)
{
    (void)state;
    admin_reassign_result = (struct reassign_result){ .end = REASSIGN_REFUSED,
                                                      .progress = { .found = 2, .moved = 1 },
                                                      .error = "read-only" };
    assert_int_equal(admin_run("reassign --from sv1 --to sv2 --yes").status, COMMAND_PARTLY);
}

static void each_end_of_a_run_has_its_exit_status(void **state)
{
    static const struct {
        enum reassign_end end;
        int status;
    } ends[] = { { REASSIGN_DONE, COMMAND_OK },
                 { REASSIGN_FAILED, COMMAND_FAILED },
                 { REASSIGN_REFUSED, COMMAND_REFUSED },
                 { REASSIGN_INCOMPLETE, COMMAND_PARTLY },
                 { REASSIGN_INTERRUPTED, COMMAND_PARTLY },
                 { REASSIGN_CONTENDED, COMMAND_CONTENDED } };

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        admin_reassign_result.end = ends[i].end;
        assert_int_equal(admin_run("reassign --from sv1 --to sv2 --yes").status, ends[i].status);
    }
}

static void an_interrupted_run_says_what_is_done_and_left(void **state)
{
    struct admin_result result;

    (void)state;
    admin_reassign_result = (struct reassign_result){
        .end = REASSIGN_INTERRUPTED,
        .progress = { .found = 100, .moved = 60, .skipped = 1, .failed = 2, .is_listed = true },
        .error = "stopped",
    };
    result = admin_run("reassign --from sv1 --to sv2 --yes");
    assert_contains(result.out, "changed 60 accounts from sv1 to sv2");
    assert_contains(result.out, "failed: 2");
    assert_contains(result.out, "not done yet: 37");
    assert_contains(result.err, "stopped");
    assert_contains(result.err, "run the same command again");
}

static void interrupt(const struct reassign_plan *plan)
{
    assert_false(plan->should_stop(plan->context));
    raise(SIGINT);
    assert_true(plan->should_stop(plan->context));
}

static void an_interrupt_asks_the_run_to_stop(void **state)
{
    (void)state;
    admin_reassign_during = interrupt;
    admin_run("reassign --from sv1 --to sv2 --yes");
    assert_int_equal(admin_reassign_runs, 1);
}

static void report(const struct reassign_plan *plan)
{
    const struct reassign_progress progress = {
        .found = 9, .moved = 3, .elapsed_ms = 3000, .is_connected = true, .is_listed = true
    };
    const struct reassign_progress listing = { .found = 5,
                                               .elapsed_ms = 2000,
                                               .is_connected = true };
    const struct reassign_progress connecting = { .elapsed_ms = 1000 };

    plan->progress(plan->context, &connecting);

    plan->progress(plan->context, &listing);
    plan->progress(plan->context, &progress);
    plan->complain(plan->context, "uid=a,dc=example", "it has two hosts");
}

static void progress_and_complaints_are_lines(void **state)
{
    const char *rest;
    json_t *line;
    struct admin_result result;

    (void)state;
    admin_reassign_during = report;
    result = admin_run("reassign --from sv1 --to sv2 --yes");
    assert_contains(result.err,
                    "connecting\nlisting: 5 found\nchanging: 3 of 9 done, 3 a second, 2 s left\n");
    assert_contains(result.err, "uid=a,dc=example: it has two hosts\n");
    rest = admin_run("reassign --from sv1 --to sv2 --yes --json").out;
    for (int i = 0; i < 5; i++) {
        static const char *const events[] = { "progress", "progress", "progress", "complaint",
                                              "result" };

        line = json_loads(rest, JSON_DISABLE_EOF_CHECK, NULL);
        assert_string_equal(json_string_value(json_object_get(line, "event")), events[i]);
        json_decref(line);
        rest = strchr(rest, '\n') + 1;
    }
    assert_string_equal(rest, "");
}

/* --- check -------------------------------------------------------------------------- */

static void a_good_configuration_is_ok_with_a_summary(void **state)
{
    struct admin_result result = admin_run("check");

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
        TEST(what_is_no_command_is_a_usage_error_with_the_list_of_commands),
        TEST(help_without_a_command_lists_them_on_standard_output),
        TEST(the_version_is_printed),
        TEST(wrong_options_are_named),
        TEST(too_few_and_too_many_words_are_usage_errors),
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
        TEST(reassign_needs_known_and_different_backends),
        TEST(reassign_without_a_server_to_write_to_is_refused),
        TEST(reassign_is_refused_while_the_old_backend_answers),
        TEST(reassign_is_refused_when_the_new_backend_does_not_answer),
        TEST(a_dry_run_is_told_of_the_danger_and_counts),
        TEST(restore_needs_the_backend_to_answer),
        TEST(nothing_to_do_is_a_success),
        TEST(each_end_of_a_run_has_its_exit_status),
        TEST(a_run_is_narrowed_and_slowed_by_options),
        TEST(a_selection_that_makes_no_sense_is_refused_before_anything),
        TEST(a_limited_run_says_how_many_are_left),
        TEST(what_was_changed_before_a_refusal_counts),
        TEST(an_interrupted_run_says_what_is_done_and_left),
        TEST(an_interrupt_asks_the_run_to_stop),
        TEST(progress_and_complaints_are_lines),
        TEST(a_good_configuration_is_ok_with_a_summary),
        TEST(errors_are_told_with_file_and_line),
        TEST(a_file_with_a_node_is_a_backends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
