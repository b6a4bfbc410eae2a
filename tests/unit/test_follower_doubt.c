/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the follower may be told wrongly, against a real slapd: changes that were undone, a server
 * that forgot, accounts that are gone only seemingly.
 */
#include "tests/unit/follower_support.h"

#include <signal.h>
#include <unistd.h>

/* LDIF that moves accounts `first` to `last` to `host`. */
static size_t write_moves(char *ldif, size_t size, unsigned first, unsigned last, const char *host)
{
    size_t length = 0;

    for (unsigned i = first; i <= last; i++)
        length += (size_t)snprintf(ldif + length, size - length,
                                   "dn: uid=user%u," SLAPD_PEOPLE "\nchangetype: modify\n"
                                   "replace: hostServer\nhostServer: %s\n\n",
                                   i, host);
    return length;
}

static bool has_heard_of_sv9(struct rig *rig)
{
    return strstr(rig->told, "=sv9") != NULL;
}

static unsigned deaths_before; /* of the server, when the last transaction began */

static bool has_heard_of_sv9_or_died(struct rig *rig)
{
    return has_heard_of_sv9(rig) || rig->slapd.deaths > deaths_before;
}

/* Hears of a transaction that is not committed.  The server may die of it before it has told:
 * then it is tried again. */
static void hear_of_sv9(struct rig *rig, const char *ldif)
{
    rig->told[0] = '\0';
    do {
        assert_true(rig_run_until(rig, rig_is_following));
        deaths_before = rig->slapd.deaths;
        assert_int_not_equal(pclose(slapd_begin_transaction(&rig->slapd, ldif)), 0);
        assert_true(rig_run_until(rig, has_heard_of_sv9_or_died));
    } while (!has_heard_of_sv9(rig));
}

static bool is_everything_on_sv1(struct rig *rig)
{
    struct route_entry entry;
    char address[64];

    for (unsigned i = 1; i <= 20; i++) {
        snprintf(address, sizeof(address), "user%u@example.org", i);
        if (rig_find(rig, ROUTE_KEY_ADDRESS, address, &entry) != ROUTE_FIND_ONE ||
            strcmp(entry.host, "sv1") != 0)
            return false;
    }
    return true;
}

static void assert_mirror_is_right(struct rig *rig)
{
    struct compare_report report = rig_compare(rig);

    assert_int_equal(report.tally.corrected, 0);
    assert_int_equal(report.tally.removed, 0);
    assert_int_equal(report.held, 0);
    assert_int_equal(report.entries, mirror_writer_entries(rig->writer));
}

static void the_phantoms_of_an_aborted_transaction_go_at_once(void **state)
{
    static char ldif[16384];
    struct rig *rig = *state;
    size_t length = write_moves(ldif, sizeof(ldif), 1, 20, "sv9");
    uint64_t heard_ms, corrected_ms;

    snprintf(ldif + length, sizeof(ldif) - length,
             "dn: uid=user21," SLAPD_PEOPLE "\nchangetype: modify\ndelete: description\n");
    rig_follow(rig, 30);
    do {
        hear_of_sv9(rig, ldif);
        heard_ms = uv_now(&rig->loop.uv);
        assert_true(rig_run_until(rig, is_everything_on_sv1));
        corrected_ms = uv_now(&rig->loop.uv);
        slapd_revive(&rig->slapd);
    } while (rig->slapd.deaths > deaths_before); /* who starts again has not read it again */
    assert_true(corrected_ms - heard_ms < 5000); /* a comparison comes after hours */
    assert_int_equal(slapd_count(&rig->slapd, "(hostServer=sv9)"), 0);
    assert_mirror_is_right(rig);
}

static bool is_user1_gone_or_late(struct rig *rig)
{
    static unsigned turns;
    struct route_entry entry;

    if (rig_find(rig, ROUTE_KEY_ADDRESS, "user1@example.org", &entry) == ROUTE_FIND_NONE)
        return true;
    return ++turns % 20 == 0;
}

/* The server does not always tell a deletion that it undoes: it is asked for until it does. */
static void a_deletion_that_was_undone_is_undone_here_too(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    rig_follow(rig, 5);
    for (unsigned round = 0; round < 20; round++) {
        assert_int_not_equal(
            pclose(slapd_begin_transaction(&rig->slapd,
                                           "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: delete\n\n"
                                           "dn: uid=user2," SLAPD_PEOPLE "\nchangetype: modify\n"
                                           "delete: description\n")),
            0);
        assert_true(rig_run_until(rig, is_user1_gone_or_late));
        if (rig_find(rig, ROUTE_KEY_ADDRESS, "user1@example.org", &entry) == ROUTE_FIND_NONE)
            break;
    }
    rig_await_host(rig, "user1@example.org", "sv1");
    assert_mirror_is_right(rig);
}

static void a_server_that_dies_in_transactions_leaves_no_phantom(void **state)
{
    static char ldif[262144];
    struct rig *rig = *state;

    rig_follow(rig, 1000);
    for (unsigned round = 0; round < 3; round++) {
        size_t length = write_moves(ldif, sizeof(ldif), 1, 1000, "sv9");

        snprintf(ldif + length, sizeof(ldif) - length,
                 "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: modify\ndelete: description\n");
        hear_of_sv9(rig, ldif);
        slapd_stop(&rig->slapd, SIGKILL);
        assert_true(rig_run_until(rig, rig_is_waiting));
        slapd_start(&rig->slapd);
        assert_true(rig_run_until(rig, rig_is_following));
        assert_true(rig_run_until(rig, is_everything_on_sv1));
        assert_int_equal(slapd_count(&rig->slapd, "(hostServer=sv9)"), 0);
    }
    assert_mirror_is_right(rig);
}

/* --- holding ------------------------------------------------------------------------- */

static bool is_holding(struct rig *rig)
{
    return rig_is_following(rig) && mirror_writer_held(rig->writer) > 0;
}

static bool is_holding_nothing(struct rig *rig)
{
    return mirror_writer_held(rig->writer) == 0;
}

/* Follows 300 accounts, of which 200 are gone at the next refresh. */
static void lose_most(struct rig *rig)
{
    rig_follow(rig, 300);
    rig_stop(rig);
    rig_erase(rig, 1, 200);
    rig_start(rig);
    assert_true(rig_run_until(rig, is_holding));
    assert_int_equal(mirror_writer_held(rig->writer), 200);
    rig_await_host(rig, "user1@example.org", "sv1");
}

static void while_accounts_are_held_changes_are_followed(void **state)
{
    struct rig *rig = *state;

    lose_most(rig);
    assert_false(follower_status(rig->follower).is_synchronised);
    rig_move(rig, 300, "sv2");
    rig_await_host(rig, "user300@example.org", "sv2");
    slapd_add_accounts(&rig->slapd, 301, 301, "sv3");
    rig_await_host(rig, "user301@example.org", "sv3");
    rig_erase(rig, 299, 299);
    rig_await_host(rig, "user299@example.org", NULL);
    rig_await_host(rig, "user200@example.org", "sv1");
}

static void what_is_held_survives_a_restart(void **state)
{
    struct rig *rig = *state;

    lose_most(rig);
    rig_stop(rig);
    rig_start(rig);
    assert_int_equal(mirror_writer_held(rig->writer), 200);
    assert_true(mirror_writer_held_since_s(rig->writer) > 0);
    assert_true(rig_run_until(rig, rig_is_following));
    rig_await_host(rig, "user1@example.org", "sv1");
    assert_int_equal(mirror_writer_held(rig->writer), 200);
}

static void what_is_accepted_goes(void **state)
{
    struct rig *rig = *state;

    lose_most(rig);
    assert_int_equal(follower_accept_held(rig->follower), 200);
    rig_await_host(rig, "user1@example.org", NULL);
    assert_int_equal(mirror_writer_held(rig->writer), 0);
    assert_int_equal(mirror_writer_entries(rig->writer), 100);
    assert_true(follower_status(rig->follower).is_synchronised);
    assert_int_equal(follower_accept_held(rig->follower), 0);
    assert_mirror_is_right(rig);
}

static void what_is_kept_stays_without_an_alarm(void **state)
{
    struct rig *rig = *state;

    lose_most(rig);
    assert_int_equal(follower_keep_held(rig->follower), 200);
    assert_true(mirror_writer_is_held_kept(rig->writer));
    rig_stop(rig);
    rig_start(rig);
    assert_true(rig_run_until(rig, rig_is_following));
    assert_true(mirror_writer_is_held_kept(rig->writer));
    assert_int_equal(mirror_writer_held(rig->writer), 200);
    rig_await_host(rig, "user1@example.org", "sv1");
}

/* Their entries are others now, with other UUIDs; what was held of them is found to be gone. */
static void accounts_that_are_made_again_are_routed_by_what_they_are_now(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    lose_most(rig);
    slapd_add_accounts(&rig->slapd, 1, 1, "sv7");
    while (rig_find(rig, ROUTE_KEY_ADDRESS, "user1@example.org", &entry) != ROUTE_FIND_SEVERAL)
        io_loop_turn(&rig->loop, true);
    follower_accept_held(rig->follower);
    rig_await_host(rig, "user1@example.org", "sv7");
}

static void restart_hiding(struct rig *rig, const char *filter)
{
    slapd_stop(&rig->slapd, SIGTERM);
    slapd_hide(&rig->slapd, filter);
    slapd_start(&rig->slapd);
}

/* Access rules that hide most accounts, and then show them again. */
static void accounts_that_are_shown_again_are_held_no_longer(void **state)
{
    struct rig *rig = *state;

    rig->config.bind_dn = NULL; /* the administrator would see everything */
    rig_follow(rig, 300);
    rig_stop(rig);
    restart_hiding(rig, "(hostServer=sv1)");
    slapd_add_accounts(&rig->slapd, 301, 310, "sv2");
    rig_start(rig);
    assert_true(rig_run_until(rig, is_holding));
    assert_int_equal(mirror_writer_held(rig->writer), 300);
    rig_await_host(rig, "user301@example.org", "sv2");
    restart_hiding(rig, NULL);
    assert_true(rig_run_until(rig, rig_is_waiting));
    assert_true(rig_run_until(rig, rig_is_following));
    assert_int_equal(rig_compare(rig).entries, 310);
    assert_true(rig_run_until(rig, is_holding_nothing));
    rig_await_host(rig, "user1@example.org", "sv1");
}

/* --- comparing ----------------------------------------------------------------------- */

static void falsify_row(void *context, const struct mirror_row *row)
{
    struct rig *rig = context;
    struct mirror_key key = { row->account, MIRROR_KIND_ADDRESS };
    struct mirror_account account = {
        .uuid = row->uuid, .keys = &key, .key_count = 1, .host = span_from_string("sv8")
    };

    mirror_writer_put(rig->writer, &account);
}

/* What no change of the directory tells: two rows of the mirror are made wrong. */
static void falsify(struct rig *rig)
{
    (void)mirror_writer_walk(rig->writer, 3, 2, falsify_row, rig);
    assert_true(mirror_writer_commit(rig->writer, NULL));
}

static void a_comparison_corrects_what_differs(void **state)
{
    struct rig *rig = *state;
    struct compare_report report;

    rig_follow(rig, 600);
    falsify(rig);
    report = rig_compare(rig);
    assert_int_equal(report.entries, 600);
    assert_int_equal(report.differing, 2);
    assert_int_equal(report.missing, 0);
    assert_int_equal(report.tally.corrected, 2);
    assert_mirror_is_right(rig);
}

/* Rows that are made while the directory is being read are no rows that it did not show. */
static void what_a_comparison_adds_is_not_held(void **state)
{
    struct rig *rig = *state;
    struct compare_report report;
    int64_t after = 0;

    rig->config.compare_rate = 10; /* so that the second page comes after the first corrections */
    rig_follow(rig, 300);
    mirror_writer_begin_refresh(rig->writer);
    after =
        mirror_writer_sweep(rig->writer, after, 100, mirror_writer_seen(rig->writer), NULL, NULL);
    assert_int_equal(after, 100);
    assert_true(mirror_writer_commit(rig->writer, NULL));
    assert_int_equal(mirror_writer_entries(rig->writer), 200);
    report = rig_compare(rig);
    assert_int_equal(report.differing, 100);
    assert_int_equal(report.tally.corrected, 100);
    assert_int_equal(report.missing, 0);
    assert_int_equal(report.held, 0);
    assert_mirror_is_right(rig);
}

/* A mirror of one account more or less than the directory has. */
static void a_comparison_adds_and_removes_single_accounts(void **state)
{
    struct rig *rig = *state;
    struct compare_report report;
    struct mirror_key key = { span_from_string("ghost@example.org"), MIRROR_KIND_ADDRESS };
    struct mirror_account ghost = { .uuid = (const unsigned char *)"0123456789abcdef",
                                    .keys = &key,
                                    .key_count = 1,
                                    .host = span_from_string("sv1") };

    rig_follow(rig, 40);
    mirror_writer_put(rig->writer, &ghost);
    assert_true(mirror_writer_commit(rig->writer, NULL));
    rig_await_host(rig, "ghost@example.org", "sv1");
    report = rig_compare(rig);
    assert_int_equal(report.missing, 1);
    assert_int_equal(report.tally.removed, 1);
    rig_await_host(rig, "ghost@example.org", NULL);
    assert_mirror_is_right(rig);
}

static void a_comparison_that_would_remove_most_accounts_holds_them(void **state)
{
    struct rig *rig = *state;
    struct compare_report report;
    unsigned char uuid[MIRROR_UUID_SIZE] = "ghost";
    char name[64];

    rig_follow(rig, 40);
    for (unsigned i = 0; i < 30; i++) {
        struct mirror_key key = { .kinds = MIRROR_KIND_ADDRESS };
        struct mirror_account ghost = { .uuid = uuid, .keys = &key, .key_count = 1 };

        uuid[15] = (unsigned char)i;
        snprintf(name, sizeof(name), "ghost%u@example.net", i);
        key.value = span_from_string(name);
        mirror_writer_put(rig->writer, &ghost);
    }
    assert_true(mirror_writer_commit(rig->writer, NULL));
    report = rig_compare(rig);
    assert_int_equal(report.missing, 30);
    assert_int_equal(report.held, 30);
    assert_int_equal(report.tally.removed, 0);
    assert_int_equal(mirror_writer_held(rig->writer), 30);
}

#define rig_test(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
#define rig_test_without_log(name)                                                                 \
    cmocka_unit_test_setup_teardown(name, rig_set_up_without_session_log, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(the_phantoms_of_an_aborted_transaction_go_at_once),
        rig_test(a_deletion_that_was_undone_is_undone_here_too),
        rig_test(a_server_that_dies_in_transactions_leaves_no_phantom),
        rig_test_without_log(while_accounts_are_held_changes_are_followed),
        rig_test_without_log(what_is_held_survives_a_restart),
        rig_test_without_log(what_is_accepted_goes),
        rig_test_without_log(what_is_kept_stays_without_an_alarm),
        rig_test_without_log(accounts_that_are_made_again_are_routed_by_what_they_are_now),
        rig_test_without_log(accounts_that_are_shown_again_are_held_no_longer),
        rig_test(a_comparison_corrects_what_differs),
        rig_test(what_a_comparison_adds_is_not_held),
        rig_test(a_comparison_adds_and_removes_single_accounts),
        rig_test(a_comparison_that_would_remove_most_accounts_holds_them),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests_name("follower in doubt", tests, NULL, NULL);
}
