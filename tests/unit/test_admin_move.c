/* SPDX-License-Identifier: Apache-2.0 */
/* `mailstead reassign` and `restore`: the questions before a run, its exit statuses, and what is
 * shown of it. */
#include "tests/unit/unit.h"

#include <jansson.h>
#include <signal.h>
#include <unistd.h>

#include "admin/command.h"
#include "admin/move.h"
#include "tests/unit/admin_support.h"
#include "tests/unit/listening.h"

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))
#define assert_lacks(text, part) assert_null(strstr((text), (part)))

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

static struct backend backend_at(const char *name, const char *host, uint16_t port)
{
    struct backend backend = {
        .address_count = 1, .lmtp_port = port, .imap_port = port, .pop3_port = port
    };

    snprintf(backend.name, sizeof(backend.name), "%s", name);
    snprintf(backend.addresses[0], sizeof(backend.addresses[0]), "%s", host);
    return backend;
}

static void whether_a_backend_is_off_must_be_known(void **state)
{
    uint16_t port;
    int fd = listen_somewhere(&port);
    struct backend to = backend_at("sv2", "127.0.0.1", port);
    struct backend silent = backend_at("sv1", "127.0.0.1", 1);
    struct backend unknown = backend_at("sv1", "no-host.invalid", port);

    (void)state;
    assert_true(move_is_safe(&silent, &to));
    assert_true(move_is_safe(NULL, &to));
    assert_false(move_is_safe(&unknown, &to));
    close(fd);
}

static void a_backend_that_is_to_be_down_or_leaving_gets_no_accounts(void **state)
{
    uint16_t port;
    int fd = listen_somewhere(&port);
    struct backend to = backend_at("sv2", "127.0.0.1", port);

    (void)state;
    to.state = BACKEND_LEAVING;
    assert_false(move_is_safe(NULL, &to));
    to.state = BACKEND_DOWN;
    assert_false(move_is_safe(NULL, &to));
    close(fd);
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

static void an_interrupt_ends_the_wait_for_frontends(void **state)
{
    struct sigaction action;

    (void)state;
    (void)admin_run("reassign --from sv1 --to sv2 --yes");
    assert_int_equal(sigaction(SIGINT, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, SIG_DFL);
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

static void complain_in_latin_1(const struct reassign_plan *plan)
{
    plan->complain(plan->context, "uid=M\xfcller,dc=example", "z\xc3\xbcgig, no: \xff");
}

static void what_a_server_says_is_json_whatever_it_is(void **state)
{
    json_t *line;

    (void)state;
    admin_reassign_during = complain_in_latin_1;
    admin_reassign_result = (struct reassign_result){ .end = REASSIGN_FAILED, .error = "cut \xc3" };
    line = json_loads(admin_run("reassign --from sv1 --to sv2 --yes --json").out,
                      JSON_DISABLE_EOF_CHECK, NULL);
    assert_string_equal(json_string_value(json_object_get(line, "dn")), "uid=M\\FCller,dc=example");
    assert_string_equal(json_string_value(json_object_get(line, "why")), "z\\C3\\BCgig, no: \\FF");
    json_decref(line);
    assert_contains(admin_run("reassign --from sv1 --to sv2 --yes --json").out,
                    "\"error\":\"cut \\\\C3\"");
}

static void a_dry_run_that_finds_nothing_says_so(void **state)
{
    (void)state;
    admin_reassign_result = (struct reassign_result){ .end = REASSIGN_DONE };
    assert_string_equal(admin_run("reassign --from sv1 --to sv2 --yes --dry-run").out,
                        "nothing to do: no account is on sv1\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, admin_setup, admin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reassign_needs_known_and_different_backends),
        TEST(reassign_without_a_server_to_write_to_is_refused),
        TEST(reassign_is_refused_while_the_old_backend_answers),
        TEST(reassign_is_refused_when_the_new_backend_does_not_answer),
        TEST(whether_a_backend_is_off_must_be_known),
        TEST(a_backend_that_is_to_be_down_or_leaving_gets_no_accounts),
        TEST(a_dry_run_is_told_of_the_danger_and_counts),
        TEST(restore_needs_the_backend_to_answer),
        TEST(nothing_to_do_is_a_success),
        TEST(a_run_is_narrowed_and_slowed_by_options),
        TEST(a_selection_that_makes_no_sense_is_refused_before_anything),
        TEST(a_limited_run_says_how_many_are_left),
        TEST(what_was_changed_before_a_refusal_counts),
        TEST(each_end_of_a_run_has_its_exit_status),
        TEST(an_interrupted_run_says_what_is_done_and_left),
        TEST(an_interrupt_asks_the_run_to_stop),
        TEST(an_interrupt_ends_the_wait_for_frontends),
        TEST(progress_and_complaints_are_lines),
        TEST(what_a_server_says_is_json_whatever_it_is),
        TEST(a_dry_run_that_finds_nothing_says_so),
    };

    return cmocka_run_group_tests_name("admin_move", tests, NULL, NULL);
}
