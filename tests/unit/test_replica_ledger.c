/* SPDX-License-Identifier: Apache-2.0 */
/* What the replica process remembers of each account, and the peers that it waits for. */
#include "backend/replica/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/replica/peer.h"
#include "backend/replica/teller.h"
#include "tests/unit/folder.h"
#include "tests/unit/unit.h"

static char folder[64];

static struct ledger *open_run(const char *run)
{
    struct ledger *ledger = ledger_open(folder, run, NULL, NULL);

    assert_non_null(ledger);
    return ledger;
}

/* Says that `account` was synchronised with sv2 at `now_ms`. */
static void synchronise(struct ledger *ledger, const char *account, int64_t now_ms)
{
    struct ledger_row row;

    assert_true(ledger_read(ledger, account, &row));
    strcpy(row.peer, "sv2");
    row.clean_ms = now_ms;
    row.dirty_ms = 0;
    row.reason = LEDGER_SWEEP;
    row.due_ms = now_ms + 1000000;
    ledger_write(ledger, &row, now_ms);
}

static bool keep_first(void *context, const struct ledger_row *row)
{
    *(struct ledger_row *)context = *row;
    return false;
}

/* The state and reason of `account`, as "dirty/0". */
static const char *state_of(struct ledger *ledger, const char *account)
{
    static char text[32];
    struct ledger_row row;

    if (!ledger_read(ledger, account, &row))
        return "none";
    snprintf(text, sizeof(text), "%s/%d", ledger_state(&row), (int)row.reason);
    return text;
}

static void test_an_account_is_never_synchronised_then_clean_then_dirty_since_its_first_change(
    void **unused)
{
    struct ledger *ledger = open_run("a");
    struct ledger_row row;

    (void)unused;
    assert_true(ledger_add(ledger, "u1", 1000));
    assert_string_equal(state_of(ledger, "u1"), "never/1");
    synchronise(ledger, "u1", 2000);
    assert_string_equal(state_of(ledger, "u1"), "clean/3");
    ledger_touch(ledger, "u1", 3000, 3500);
    ledger_touch(ledger, "u1", 3400, 3900);
    assert_true(ledger_read(ledger, "u1", &row));
    assert_int_equal(row.dirty_ms, 3000);
    assert_int_equal(row.due_ms, 3500); /* what goes on changing is not put off */
    assert_string_equal(state_of(ledger, "u1"), "dirty/0");
    assert_false(ledger_add(ledger, "u1", 4000));
    assert_string_equal(state_of(ledger, "u1"), "dirty/0");
    ledger_close(ledger, true);
}

static void test_a_change_does_not_hurry_an_account_that_fails(void **unused)
{
    struct ledger *ledger = open_run("a");
    struct ledger_row row;

    (void)unused;
    ledger_touch(ledger, "u1", 1000, 1500);
    assert_true(ledger_read(ledger, "u1", &row));
    row.attempts = 1;
    strcpy(row.why, "because");
    row.due_ms = 900000;
    ledger_write(ledger, &row, 1600);
    ledger_touch(ledger, "u1", 2000, 2500);
    assert_true(ledger_read(ledger, "u1", &row));
    assert_int_equal(row.due_ms, 900000);
    assert_int_equal(row.dirty_ms, 1000);
    assert_string_equal(row.why, "because");
    ledger_hurry(ledger, NULL);
    ledger_each_due(ledger, LEDGER_TOUCHED, 2000, 1, keep_first, &row);
    assert_int_equal(row.due_ms, 0); /* but an order does */
    ledger_close(ledger, true);
}

static void test_an_account_that_left_and_came_back_is_in_doubt(void **unused)
{
    struct ledger *ledger = open_run("a");
    struct ledger_counts counts;

    (void)unused;
    ledger_add(ledger, "u1", 1000);
    synchronise(ledger, "u1", 2000);
    ledger_set_away(ledger, "u1");
    ledger_count(ledger, &counts);
    assert_int_equal(counts.accounts, 0);
    assert_true(ledger_add(ledger, "u1", 3000));
    assert_string_equal(state_of(ledger, "u1"), "unsure/2");
    ledger_remove(ledger, "u1");
    assert_string_equal(state_of(ledger, "u1"), "none");
    ledger_close(ledger, true);
}

static void test_changes_survive_a_process_and_a_daemon_that_died_leaves_all_in_doubt(void **unused)
{
    struct ledger *ledger = open_run("a");

    (void)unused;
    ledger_add(ledger, "u1", 1000);
    ledger_add(ledger, "u2", 1000);
    synchronise(ledger, "u1", 2000);
    ledger_touch(ledger, "u2", 2000, 2500);
    assert_true(ledger_commit(ledger));
    ledger_close(ledger, false);
    ledger = open_run("a"); /* of the same daemon: the workers remember */
    assert_string_equal(state_of(ledger, "u1"), "clean/3");
    assert_string_equal(state_of(ledger, "u2"), "never/0");
    ledger_close(ledger, false);
    ledger = open_run("b");
    assert_string_equal(state_of(ledger, "u1"), "unsure/2");
    synchronise(ledger, "u1", 3000);
    ledger_close(ledger, true);
    ledger = open_run("c");
    assert_string_equal(state_of(ledger, "u1"), "clean/3");
    ledger_close(ledger, true);
}

static void test_a_file_that_makes_no_sense_is_set_aside(void **unused)
{
    char path[128];
    FILE *file;

    (void)unused;
    snprintf(path, sizeof(path), "%s/replica.db", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("no database, but longer than a header of one would be, so that it is looked at", file);
    fclose(file);
    ledger_close(open_run("a"), true);
}

static void test_what_is_left_of_an_order_is_what_was_behind_when_it_came(void **unused)
{
    struct ledger *ledger = open_run("a");
    int64_t untried, failed;

    (void)unused;
    ledger_touch(ledger, "u1", 1000, 1500);
    ledger_touch(ledger, "u2", 1000, 1500);
    ledger_count_left(ledger, NULL, 2000, &untried, &failed);
    assert_int_equal(untried, 2);
    synchronise(ledger, "u1", 2100);
    ledger_touch(ledger, "u1", 2200, 2700);
    ledger_count_left(ledger, NULL, 2000, &untried, &failed);
    assert_int_equal(untried, 1);
    assert_int_equal(failed, 0);
    ledger_close(ledger, true);
}

static void test_what_was_ever_synchronised_is_known_by_its_bucket(void **unused)
{
    struct ledger *ledger = open_run("a");
    json_t *known;

    (void)unused;
    ledger_add(ledger, "u1", 1000);
    synchronise(ledger, "u1", 2000);
    known = ledger_known(ledger, ledger_bucket("u1"), "sv2");
    assert_int_equal(json_array_size(known), 1);
    json_decref(known);
    known = ledger_known(ledger, ledger_bucket("u1"), "sv3");
    assert_int_equal(json_array_size(known), 0);
    json_decref(known);
    ledger_close(ledger, true);
}

static void test_a_key_never_leads_out_of_its_folder(void **unused)
{
    char key[TELLER_KEY_SIZE];

    (void)unused;
    teller_key("sv1.a", "known", 7, key);
    assert_string_equal(key, "shared/sv1.a/known.7");
    teller_key("../x y", "behind", -1, key);
    assert_string_equal(key, "shared/%2E.%2Fx%20y/behind");
}

static void test_a_peer_in_trouble_is_tried_by_one_later_and_later(void **unused)
{
    const struct config config = { .workers = 1 };
    struct list peers;
    struct peer *peer;
    uint64_t wait_ms;

    (void)unused;
    list_init(&peers);
    peer = peer_find(&peers, &config, "sv2");
    assert_true(peer_may_use(peer, 1000, &wait_ms));
    assert_true(peer_may_use(peer, 1000, &wait_ms));
    peer_failed(peer, 1000, "refused");
    peer_failed(peer, 1000, "refused"); /* the other one, begun before: the same trouble */
    assert_false(peer_may_use(peer, 1500, &wait_ms));
    assert_int_equal(wait_ms, 500);
    assert_true(peer_may_use(peer, 2000, &wait_ms));
    assert_false(peer_may_use(peer, 2000, &wait_ms));
    peer_failed(peer, 2100, "refused");
    assert_false(peer_may_use(peer, 4000, &wait_ms));
    assert_true(peer_may_use(peer, 4100, &wait_ms));
    peer_worked(peer);
    assert_true(peer_may_use(peer, 4100, &wait_ms));
    assert_true(peer_find(&peers, &config, "sv2") == peer);
    peer_free_all(&peers);
}

static void test_one_account_that_fails_alone_is_no_trouble_of_its_peer(void **unused)
{
    const struct config config = { .workers = 1 };
    struct list peers;
    struct peer *peer;
    uint64_t wait_ms;

    (void)unused;
    list_init(&peers);
    peer = peer_find(&peers, &config, "sv2");
    for (int i = 0; i < 5; i++)
        peer_doubted(peer, 1000, "a@x", "in use");
    assert_int_equal(peer->failures, 0);
    peer_worked(peer);
    peer_doubted(peer, 1000, "b@x", "in use");
    assert_true(peer_may_use(peer, 1000, &wait_ms));
    peer_doubted(peer, 1000, "a@x", "in use"); /* two, and none has worked between them */
    assert_false(peer_may_use(peer, 1500, &wait_ms));
    assert_true(peer_may_use(peer, 2000, &wait_ms));
    peer_doubted(peer, 2000, "a@x", "in use"); /* it was the one to try it */
    assert_false(peer_may_use(peer, 2500, &wait_ms));
    peer_free_all(&peers);
}

static int make_folder(void **unused)
{
    (void)unused;
    folder_make(folder);
    return 0;
}

static int remove_folder(void **unused)
{
    (void)unused;
    folder_remove(folder);
    return 0;
}

#define LEDGER_TEST(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LEDGER_TEST(
            test_an_account_is_never_synchronised_then_clean_then_dirty_since_its_first_change),
        LEDGER_TEST(test_a_change_does_not_hurry_an_account_that_fails),
        LEDGER_TEST(test_an_account_that_left_and_came_back_is_in_doubt),
        LEDGER_TEST(test_changes_survive_a_process_and_a_daemon_that_died_leaves_all_in_doubt),
        LEDGER_TEST(test_a_file_that_makes_no_sense_is_set_aside),
        LEDGER_TEST(test_what_is_left_of_an_order_is_what_was_behind_when_it_came),
        LEDGER_TEST(test_what_was_ever_synchronised_is_known_by_its_bucket),
        cmocka_unit_test(test_a_key_never_leads_out_of_its_folder),
        cmocka_unit_test(test_a_peer_in_trouble_is_tried_by_one_later_and_later),
        cmocka_unit_test(test_one_account_that_fails_alone_is_no_trouble_of_its_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
