/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead plan: whole command lines against scripted daemons. */
#include "tests/unit/unit.h"

#include "admin/command.h"
#include "tests/unit/admin_support.h"

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))

static const char sv1_has_sv2[] = "siblings = { \"sv2\" }";

static const char health[] =
    "{\"backend\":\"sv1\",\"lmtp\":{\"state\":\"up\"},\"imap\":{\"state\":\"up\"}}\n"
    "{\"backend\":\"sv2\",\"lmtp\":{\"state\":\"up\"},\"imap\":{\"state\":\"up\"}}";
static const char sv2_is_down[] =
    "{\"backend\":\"sv1\",\"lmtp\":{\"state\":\"up\"},\"imap\":{\"state\":\"up\"}}\n"
    "{\"backend\":\"sv2\",\"lmtp\":{\"state\":\"up\"},\"imap\":{\"state\":\"down\"}}";
static const char at_home[] = "{\"host\":\"sv1\",\"old_host\":\"\",\"accounts\":300}\n"
                              "{\"host\":\"sv2\",\"old_host\":\"\",\"accounts\":100}";
static const char moved[] = "{\"host\":\"sv2\",\"old_host\":\"sv1\",\"accounts\":300}\n"
                            "{\"host\":\"sv2\",\"old_host\":\"\",\"accounts\":100}\n"
                            "{\"host\":\"sv9\",\"old_host\":\"\",\"accounts\":2}\n"
                            "{\"host\":\"\",\"old_host\":\"\",\"accounts\":1}";

/* Two backends; sv1 has sv2 as its sibling. */
static void set_up(const char *sv2, const char *seen, const char *counts)
{
    admin_set_backends(sv1_has_sv2, sv2);
    admin_daemon_answers("backends", seen, NULL);
    admin_daemon_answers("mirror-hosts", counts, NULL);
}

static void the_plan_says_who_would_carry_what(void **state)
{
    struct admin_result result;

    (void)state;
    set_up("siblings = { \"sv1\" }", health, at_home);
    result = admin_run("plan");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(
        result.out,
        "backend  state  accounts  weight  of its share  siblings\n"
        "sv1      up          300       1         150 %  sv2\n"
        "sv2      up          100       1          50 %  sv1\n"
        "\n"
        "if it fails  goes to  which has  of its share  and the worst second failure\n"
        "sv1          sv2            400         200 %  sv2: nobody for 400: its siblings have "
        "failed before\n"
        "sv2          sv1            400         200 %  sv1: nobody for 400: its siblings have "
        "failed before\n"
        "\n"
        "The accounts are as the mirror of this machine's daemon has them.\n");
    result = admin_run("plan --check");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out, "ok\n");
}

static void what_is_away_from_home_needs_attention(void **state)
{
    struct admin_result result;

    (void)state;
    set_up("siblings = { \"sv1\" }", health, moved);
    result = admin_run("plan --check");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_string_equal(result.out,
                        "300 accounts of sv1 on sv2, away from home (mailstead failback sv1)\n"
                        "2 accounts on sv9, which is no backend: refused temporarily\n"
                        "1 account without one usable hostServer: refused temporarily\n");
}

static void a_sibling_that_is_down_takes_nothing_over(void **state)
{
    struct admin_result result;

    (void)state;
    set_up("", sv2_is_down, at_home);
    result = admin_run("plan --check");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_string_equal(result.out, "sv1 has the sibling sv2, which is down\n"
                                    "nobody takes sv1 over: none of its siblings serves\n"
                                    "sv2 is down, with 100 accounts\n"
                                    "nobody takes sv2 over: it has no siblings\n");
    result = admin_run("plan --json");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "\"why\": \"none of its siblings serves\"");
    assert_contains(result.out, "\"seen_down\": 1");
}

static void without_a_daemon_or_directory_there_still_is_the_table(void **state)
{
    struct admin_result result;

    (void)state;
    admin_set_backends(sv1_has_sv2, "");
    result = admin_run("plan");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "sv1      not known         ?       1             -  sv2\n");
    assert_contains(result.out, "the accounts could not be counted: no daemon counts them");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_plan_says_who_would_carry_what, admin_setup,
                                        admin_teardown),
        cmocka_unit_test_setup_teardown(what_is_away_from_home_needs_attention, admin_setup,
                                        admin_teardown),
        cmocka_unit_test_setup_teardown(a_sibling_that_is_down_takes_nothing_over, admin_setup,
                                        admin_teardown),
        cmocka_unit_test_setup_teardown(without_a_daemon_or_directory_there_still_is_the_table,
                                        admin_setup, admin_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
