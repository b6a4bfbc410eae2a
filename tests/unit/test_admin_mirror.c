/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead mirror, and which frontends have followed a rewrite. */
#include "tests/unit/unit.h"

#include "admin/command.h"
#include "tests/unit/admin_support.h"

#define OLD "20260101000000.000000Z#000000#000#000000"
#define GOAL "20260101000003.000000Z#000000#000#000000"
#define STATUS(csn) "{\"state\":\"following\",\"connected\":true,\"csn\":[\"" csn "\"],\"held\":0}"

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* --- following ------------------------------------------------------------------------- */

static struct admin_result move_one(void)
{
    admin_reassign_result.progress =
        (struct reassign_progress){ .found = 1, .moved = 1, .elapsed_ms = 400, .is_listed = true };
    return admin_run("reassign --from sv1 --to sv2 --yes");
}

static void each_frontend_is_shown_when_it_routes_by_the_new_values(void **state)
{
    struct admin_result result;

    (void)state;
    admin_provider_csn = GOAL;
    admin_add_frontend("fe1", true);
    admin_add_frontend("fe2", true);
    admin_daemon_answers("directory-status@fe1", STATUS(GOAL), NULL);
    admin_daemon_answers("directory-status@fe2", STATUS(GOAL), NULL);
    result = move_one();
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "fe1 routes by the new values after 0.0");
    assert_contains(result.out, "fe2 routes by the new values after 0.0");
    assert_null(strstr(result.out, "this machine's daemon"));
}

static void a_frontend_that_lags_is_waited_for_no_longer_than_the_limit_and_named(void **state)
{
    struct admin_result result;

    (void)state;
    admin_provider_csn = GOAL;
    admin_add_frontend("fe1", true);
    admin_add_frontend("fe2", true);
    admin_add_frontend("fe3", false);
    admin_daemon_answers("directory-status@fe1", STATUS(OLD), NULL);
    result = move_one();
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out,
                    "fe1 does not route by the new values yet: it is 3 s behind the directory");
    assert_contains(result.out, "fe2 cannot be asked: the daemon at");
    assert_contains(result.out, "fe3 cannot be asked: it has neither admin_port nor control_socket");
}

static void programs_read_a_line_for_each_frontend(void **state)
{
    struct admin_result result;

    (void)state;
    admin_provider_csn = GOAL;
    admin_add_frontend("fe1", true);
    admin_daemon_answers("directory-status@fe1", STATUS(GOAL), NULL);
    admin_reassign_result.progress = (struct reassign_progress){ .found = 1, .moved = 1 };
    result = admin_run("reassign --from sv1 --to sv2 --yes --json");
    assert_contains(result.out, "{\"event\":\"node\",\"name\":\"fe1\",\"followed\":true,"
                                "\"reached\":true,\"connected\":true,\"ms\":");
}

static void the_daemon_of_this_machine_is_asked_too(void **state)
{
    (void)state;
    admin_provider_csn = GOAL;
    admin_daemon_answers("directory-status", STATUS(GOAL), NULL);
    assert_contains(move_one().out, "this machine's daemon routes by the new values after 0.0");
}

/* --- mirror ---------------------------------------------------------------------------- */

static void status_shows_what_is_held_domain_by_domain(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers(
        "directory-status",
        "{\"state\":\"following\",\"uri\":\"ldap://a\",\"synchronised\":true,"
        "\"revision\":7,\"accounts\":1000,\"trouble\":\"\",\"csn\":[],\"held\":120,"
        "\"held_since_s\":1700000000,\"held_kept\":false}",
        NULL);
    admin_daemon_answers("mirror-held",
                         "{\"domain\":\"example.org\",\"held\":100,\"accounts\":400}\n"
                         "{\"domain\":\"\",\"held\":20,\"accounts\":30}\n",
                         NULL);
    result = admin_run("mirror status");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "1000 accounts, revision 7\nfollowing, ldap://a, synchronised\n");
    assert_contains(result.out, ": 120 accounts that the directory did not show");
    assert_contains(result.out, "  example.org   100  400\n");
    assert_contains(result.out, "  (none)         20   30\n");
    result = admin_run("mirror status --json");
    assert_contains(result.out, "\"held_domains\"");
}

static void accept_says_how_many_went(void **state)
{
    struct admin_result result;

    (void)state;
    result = admin_run("mirror accept");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "does the daemon run?");
    admin_daemon_answers("mirror-accept", "{\"removed\":120}\n", NULL);
    assert_string_equal(admin_run("mirror accept").out, "removed 120 accounts from the mirror\n");
}

static void discard_says_when_there_is_nothing_to(void **state)
{
    (void)state;
    admin_daemon_answers("mirror-discard", "{\"kept\":0}", NULL);
    assert_string_equal(admin_run("mirror discard").out, "nothing is held\n");
}

static void discard_says_what_stays_and_what_the_directory_shows(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("mirror-discard",
                         "{\"kept\":120}\n{\"event\":\"result\",\"entries\":980,\"accounts\":1000,"
                         "\"differing\":0,\"missing\":0,\"corrected\":0,\"removed\":0,"
                         "\"unsettled\":0,\"held\":20,\"elapsed_ms\":400}\n",
                         NULL);
    result = admin_run("mirror discard");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "kept 120 accounts");
    assert_contains(result.out, "held: 20; see mailstead mirror status\n");
}

static void verify_tells_what_differed(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("mirror-verify",
                         "{\"event\":\"progress\",\"entries\":500,\"accounts\":1000}\n"
                         "{\"event\":\"result\",\"entries\":1000,\"accounts\":1000,\"differing\":3,"
                         "\"missing\":1,\"corrected\":2,\"removed\":1,\"unsettled\":0,\"held\":0,"
                         "\"elapsed_ms\":2000}\n",
                         NULL);
    result = admin_run("mirror verify");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.err, "500 of about 1000 compared");
    assert_string_equal(result.out,
                        "compared 1000 directory accounts in 2 s\n"
                        "differing: 3, in the mirror only: 1; corrected: 2, removed: 1; the others "
                        "had come right meanwhile\n");
}

static void verify_without_a_directory_fails_and_says_so(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("mirror-verify", "", "the directory is not connected");
    result = admin_run("mirror verify");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "the directory is not connected");
}

#define admin_test(name) cmocka_unit_test_setup_teardown(name, admin_setup, admin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        admin_test(each_frontend_is_shown_when_it_routes_by_the_new_values),
        admin_test(a_frontend_that_lags_is_waited_for_no_longer_than_the_limit_and_named),
        admin_test(programs_read_a_line_for_each_frontend),
        admin_test(the_daemon_of_this_machine_is_asked_too),
        admin_test(status_shows_what_is_held_domain_by_domain),
        admin_test(accept_says_how_many_went),
        admin_test(discard_says_when_there_is_nothing_to),
        admin_test(discard_says_what_stays_and_what_the_directory_shows),
        admin_test(verify_tells_what_differed),
        admin_test(verify_without_a_directory_fails_and_says_so),
    };

    return cmocka_run_group_tests_name("mailstead mirror", tests, NULL, NULL);
}
