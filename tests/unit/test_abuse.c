/* SPDX-License-Identifier: Apache-2.0 */
/* Who is blocked by failures and limits, and above all who is not. */
#include "tests/unit/session_support.h"

#define ANNA "anna@example.org"

static struct abuse abuse, other; /* `other` is another worker's */
static struct rig *rig;
static char *trusted[] = { (char[]){ "10.9.0.0/16" } };

static int set_up(void **state)
{
    if (rig_set_up(state) != 0)
        return -1;
    rig = *state;
    rig->config.limits = (struct limits_config){
        .login_failures = 5,
        .login_failures_per_network = 20,
        .login_failure_window_s = 600,
        .login_block_s = 300,
        .network_prefix_ipv4 = 24,
        .network_prefix_ipv6 = 64,
        .trusted_networks = { .items = trusted, .count = 1 },
    };
    abuse_init(&abuse, rig->board, &rig->config.limits);
    abuse_init(&other, rig->board, &rig->config.limits);
    rig->service.abuse = &abuse;
    return 0;
}

static int tear_down(void **state)
{
    int result = rig_tear_down(state);

    abuse_fini(&abuse);
    abuse_fini(&other);
    return result;
}

/* A session that has come from `address`; never started, so that it ends by itself. */
static struct session from(const char *address)
{
    struct session session = { .service = &rig->service };

    snprintf(session.peer_address, sizeof(session.peer_address), "%s", address);
    return session;
}

static bool guess(const char *address, const char *account, const char *password)
{
    struct session session = from(address);

    if (!abuse_login_allowed(&session, account, span_from_string(password)))
        return false;
    abuse_login_failed(&session, account, span_from_string(password));
    return true;
}

static bool log_in(const char *address, const char *account, const char *password)
{
    struct session session = from(address);

    if (!abuse_login_allowed(&session, account, span_from_string(password)))
        return false;
    abuse_login_succeeded(&session, account, span_from_string(password));
    return true;
}

/* Passwords that were never tried before, until one is refused; how many were tried. */
static unsigned guess_until_blocked(const char *address, const char *account)
{
    static unsigned number;
    char password[32];
    unsigned count = 0;

    do
        snprintf(password, sizeof(password), "guess %u", number++);
    while (guess(address, account, password) && ++count < 1000);
    return count;
}

static void who_guesses_is_blocked_and_nobody_else_is(void **state)
{
    (void)state;
    assert_int_equal(guess_until_blocked("192.0.2.7", ANNA), 5);
    assert_false(log_in("192.0.2.7", ANNA, "right"));
    assert_false(log_in("192.0.2.99", ANNA, "right"));             /* the same network */
    assert_true(log_in("198.51.100.1", ANNA, "right"));            /* the victim at home */
    assert_true(log_in("192.0.2.7", "bert@example.org", "right")); /* others at his address */
}

static void an_account_that_does_not_exist_counts_the_same(void **state)
{
    (void)state;
    assert_int_equal(guess_until_blocked("2001:db8::1", "nobody@example.org"), 5);
    assert_false(guess("2001:db8::2", "nobody@example.org", "x"));
    assert_true(guess("2001:db8:0:1::1", "nobody@example.org", "x"));
}

static void guesses_to_several_workers_are_one_count(void **state)
{
    unsigned count = 0;
    char password[16];

    (void)state;
    for (; count < 100; count++) {
        rig->service.abuse = count % 2 ? &abuse : &other;
        snprintf(password, sizeof(password), "%u", count);
        if (!guess("192.0.2.7", ANNA, password))
            break;
    }
    assert_int_equal(count, 5);
}

static void a_thousand_at_once_are_no_more_guesses_than_one_after_the_other(void **state)
{
    unsigned allowed = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct session session = from("192.0.2.7");
        char password[16];

        snprintf(password, sizeof(password), "%d", i);
        allowed += abuse_login_allowed(&session, ANNA, span_from_string(password));
    }
    assert_int_equal(allowed, 5);
}

static void a_login_that_nobody_judged_costs_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct session session = from("192.0.2.7");

        assert_true(abuse_login_allowed(&session, ANNA, SPAN_LITERAL("p")));
        abuse_login_undecided(&session, ANNA);
        abuse_login_undecided(&session, ANNA);
    }
    assert_int_equal(guess_until_blocked("192.0.2.7", ANNA), 5);
}

static void the_password_that_was_good_there_is_never_refused(void **state)
{
    (void)state;
    assert_true(log_in("192.0.2.7", ANNA, "right"));
    assert_int_equal(guess_until_blocked("192.0.2.8", ANNA), 5);
    assert_false(guess("192.0.2.7", ANNA, "wrong"));
    assert_true(log_in("192.0.2.7", ANNA, "right"));
}

static void a_success_forgives_gradually(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_true(guess("192.0.2.7", ANNA, (char[]){ (char)('a' + i), 0 }));
    assert_true(log_in("192.0.2.7", ANNA, "right"));
    assert_int_equal(guess_until_blocked("192.0.2.7", ANNA), 3);
}

static void a_device_with_an_old_password_blocks_its_owner_much_later(void **state)
{
    unsigned count = 0;

    (void)state;
    while (guess("192.0.2.7", ANNA, "the old one") && count < 1000)
        count++;
    assert_in_range(count, 30, 50);
}

static void a_network_that_tries_many_accounts_is_blocked_but_for_those_who_live_there(void **state)
{
    unsigned count = 0;
    char account[64];

    (void)state;
    assert_true(log_in("192.0.2.50", ANNA, "right"));
    for (; count < 1000; count++) {
        snprintf(account, sizeof(account), "user%u@example.org", count);
        if (!guess("192.0.2.7", account, "Spring2026"))
            break;
    }
    assert_int_equal(count, 20);
    assert_false(log_in("192.0.2.50", "new@example.org", "right"));
    assert_true(log_in("192.0.2.50", ANNA, "right"));
    assert_true(guess("192.0.2.50", ANNA, "mistyped")); /* he is known there */
    assert_true(log_in("192.0.3.50", "new@example.org", "right"));
}

/* The table has 65536 rows, and names cost nothing. */
static void who_is_blocked_cannot_make_the_counts_of_others_be_forgotten(void **state)
{
    char account[64];

    (void)state;
    assert_true(guess("192.0.3.50", ANNA, "one"));
    assert_true(guess("192.0.3.50", ANNA, "another"));
    for (unsigned count = 0; count < 400000; count++) {
        snprintf(account, sizeof(account), "user%u@example.org", count);
        assert_true(guess("192.0.2.7", account, "Spring2026") == (count < 20));
    }
    assert_int_equal(guess_until_blocked("192.0.3.50", ANNA), 5 - 2);
}

static void a_thousand_subscribers_behind_one_address_can_mistype(void **state)
{
    char account[64];

    (void)state;
    rig->config.limits.login_failures_per_network = 200;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(account, sizeof(account), "user%u@example.org", i);
        if (i % 10 == 0)
            assert_true(guess("192.0.2.7", account, "mistyped"));
        assert_true(log_in("192.0.2.7", account, "right"));
    }
}

static void a_trusted_network_is_never_blocked(void **state)
{
    (void)state;
    assert_int_equal(guess_until_blocked("10.9.1.1", ANNA), 1000);
    assert_true(log_in("10.9.1.1", ANNA, "right"));
    assert_int_equal(guess_until_blocked("10.8.1.1", ANNA), 5);
}

static void a_block_ends_with_its_time(void **state)
{
    struct block block;

    (void)state;
    rig->config.limits.login_block_s = 1;
    assert_int_equal(guess_until_blocked("192.0.2.7", ANNA), 5);
    assert_true(block_list_get(&rig->board->blocks, 0, io_loop_now_ms(&rig->loop), &block));
    assert_string_equal(block.account, ANNA);
    assert_string_equal(block.network, "192.0.2.0/24");
    assert_int_equal(block.failures, 5);
    rig_wait(rig, 1001);
    assert_true(guess("192.0.2.7", ANNA, "another"));
    assert_false(block_list_get(&rig->board->blocks, 0, io_loop_now_ms(&rig->loop), &block));
}

static void refusals_come_later_with_each_failure(void **state)
{
    struct session session = from("192.0.2.7"), elsewhere = from("192.0.3.7");

    (void)state;
    rig->config.limits.login_failures = 50;
    rig->config.limits.login_failures_per_network = 0;
    assert_int_equal(abuse_delay_ms(&session, ANNA), 0);
    for (int i = 0; i < 5; i++)
        assert_true(guess("192.0.2.7", ANNA, (char[]){ (char)('a' + i), 0 }));
    assert_int_equal(abuse_delay_ms(&session, ANNA), 2000);
    for (int i = 0; i < 20; i++)
        assert_true(guess("192.0.2.7", ANNA, (char[]){ (char)('A' + i), 0 }));
    assert_int_equal(abuse_delay_ms(&session, ANNA), 10000);
    assert_int_equal(abuse_delay_ms(&elsewhere, ANNA), 0);
}

/* --- sessions ----------------------------------------------------------------------------- */

static void sessions_are_limited_by_address_network_and_account(void **state)
{
    struct session sessions[4] = { from("192.0.2.7"), from("192.0.2.7"), from("192.0.2.8"),
                                   from("10.9.0.1") };
    struct session another = from("192.0.2.7");

    (void)state;
    rig->config.limits.sessions_per_address = 2;
    rig->config.limits.sessions_per_network = 3;
    rig->config.limits.sessions_per_account = 4;
    for (int i = 0; i < 4; i++) {
        assert_null(abuse_session_admit(&sessions[i]));
        assert_null(abuse_account_admit(&sessions[i], ANNA));
    }
    assert_non_null(abuse_session_admit(&another));
    another = from("192.0.2.9");
    assert_non_null(abuse_session_admit(&another));
    another = from("198.51.100.1");
    assert_null(abuse_session_admit(&another));
    assert_non_null(abuse_account_admit(&another, ANNA));
    abuse_session_release(&sessions[0]);
    abuse_session_release(&sessions[0]);
    assert_null(abuse_account_admit(&another, ANNA));
    another = from("192.0.2.7");
    assert_null(abuse_session_admit(&another));
    for (int i = 0; i < 4; i++)
        abuse_session_release(&sessions[i]);
    abuse_session_release(&another);
}

static void sessions_are_counted_again_after_a_worker_was_killed(void **state)
{
    struct peer *clients[3];

    (void)state;
    rig->config.limits.sessions_per_address = 2;
    clients[0] = rig_connect(rig, &rig->imap);
    rig_expect(clients[0], "* OK");
    tally_begin_epoch(&rig->board->tally);
    clients[1] = rig_connect(rig, &rig->imap);
    rig_expect(clients[1], "* OK");
    clients[2] = rig_connect(rig, &rig->imap);
    rig_expect(clients[2], "* BYE");
    rig_expect_end(clients[2]);
    clients[2] = rig_connect(rig, &rig->pop3);
    rig_expect(clients[2], "-ERR [SYS/TEMP]");
    rig_say(clients[0], "1 LOGOUT\r\n");
    rig_expect_end(clients[0]);
    rig_expect_end(clients[2]);
    clients[2] = rig_connect(rig, &rig->pop3);
    rig_expect(clients[2], "+OK");
}

static void so_many_logins_wait_for_one_backend(void **state)
{
    struct session sessions[3] = { from("192.0.2.7"), from("10.9.0.1"), from("192.0.2.8") };

    (void)state;
    rig->config.limits.held_logins_per_backend = 2;
    assert_true(abuse_hold_admit(&sessions[0], ANNA, "sv1"));
    assert_true(abuse_hold_admit(&sessions[1], ANNA, "sv1"));
    assert_true(abuse_hold_admit(&sessions[1], ANNA, "sv1")); /* still one */
    rig->service.abuse = &other;
    assert_false(abuse_hold_admit(&sessions[2], ANNA, "sv1"));
    assert_true(abuse_hold_admit(&sessions[2], ANNA, "sv2"));
    assert_true(abuse_hold_admit(&sessions[0], ANNA, "sv2")); /* its account has moved */
    assert_false(abuse_hold_admit(&sessions[1], ANNA, "sv2"));
    assert_true(abuse_hold_admit(&sessions[1], ANNA, "sv1"));
    abuse_hold_release(&sessions[0]);
    abuse_hold_release(&sessions[0]);
    assert_true(abuse_hold_admit(&sessions[0], ANNA, "sv2"));
    tally_begin_epoch(&rig->board->tally); /* of these three no worker knows any more */
    for (int i = 0; i < 2; i++) {
        sessions[i] = from("192.0.2.7");
        assert_true(abuse_hold_admit(&sessions[i], ANNA, "sv2"));
    }
    sessions[2] = from("192.0.2.7");
    assert_false(abuse_hold_admit(&sessions[2], ANNA, "sv2"));
}

static struct peer *log_in_at(const struct listener_config *listener, const char *credentials)
{
    struct peer *client = rig_connect(rig, listener);

    rig_say(client, credentials);
    return client;
}

static void a_login_above_the_cap_is_refused_at_once_and_others_wait(void **state)
{
    struct peer *waiting, *above;

    (void)state;
    rig->config.limits.held_logins_per_backend = 1;
    rig->config.timeout.login_hold_s = 60;
    rig_kill_backend(rig, 0);
    waiting = log_in_at(&rig->imap, "1 LOGIN anna secret\r\n");
    rig_expect(waiting, "* OK");
    for (int i = 0; i < 2; i++) {
        rig_wait(rig, 20);
        above = log_in_at(&rig->imap, "1 LOGIN anna secret\r\n");
        rig_expect(above, "1 NO [UNAVAILABLE] ");
        rig_close(above);
        above = log_in_at(&rig->pop3, "USER anna\r\nPASS secret\r\n");
        rig_expect(above, "-ERR [SYS/TEMP] ");
        rig_close(above);
        tally_begin_epoch(&rig->board->tally); /* a worker died: ours is counted again */
    }
    assert_int_equal(rig_count(rig, BOARD_LOGINS_TEMPORARY), 4);
    rig_close(waiting);
    rig_expect_no_session(rig);
    waiting = log_in_at(&rig->imap, "1 LOGIN anna secret\r\n");
    rig_wait(rig, 20);
    assert_int_equal(rig_count(rig, BOARD_LOGINS_TEMPORARY), 4);
    rig_close(waiting);
    rig_expect_no_session(rig);
}

static void a_submission_s_login_waits_under_the_same_cap(void **state)
{
    static const char auth[] = "EHLO x\r\nAUTH PLAIN AGFubmEAc2VjcmV0\r\n"; /* anna, secret */
    struct listener_config submission = rig->smtp;
    struct peer *waiting, *above;

    (void)state;
    submission.protocol = PROTOCOL_SUBMISSION;
    submission.mechanisms = SASL_BIT(SASL_PLAIN);
    submission.plaintext_allowed = true;
    rig->config.limits.held_logins_per_backend = 1;
    rig->config.timeout.login_hold_s = 60;
    rig_kill_backend(rig, 0);
    waiting = log_in_at(&submission, auth);
    rig_expect(waiting, "AUTH PLAIN");
    rig_wait(rig, 20);
    for (int i = 0; i < 2; i++) { /* one that is refused holds no place */
        above = log_in_at(&submission, auth);
        rig_expect(above, "454 4.7.0 ");
        rig_close(above);
    }
    above = log_in_at(&rig->imap, "1 LOGIN anna secret\r\n");
    rig_expect(above, "1 NO [UNAVAILABLE] ");
    rig->config.timeout.login_hold_s = 0; /* its wait is over, and its place free */
    rig_expect(waiting, "454 4.7.0 ");
    rig->config.timeout.login_hold_s = 60;
    rig_say(above, "2 LOGIN anna secret\r\n");
    rig_wait(rig, 20);
    rig_say(waiting, "AUTH PLAIN AGFubmEAc2VjcmV0\r\n");
    rig_expect(waiting, "454 4.7.0 ");
    assert_int_equal(rig_count(rig, BOARD_LOGINS_TEMPORARY), 5);
    rig_close(above);
    rig_close(waiting);
    rig_expect_no_session(rig);
}

/* Their worker may die while they wait. */
static void logins_that_wait_are_no_failures_yet(void **state)
{
    struct peer *waiting[4], *above;

    (void)state;
    rig->config.limits.held_logins_per_backend = ARRAY_LENGTH(waiting);
    rig->config.timeout.login_hold_s = 60;
    rig_kill_backend(rig, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(waiting); i++)
        waiting[i] = log_in_at(&rig->imap, "1 LOGIN anna secret\r\n");
    above = log_in_at(&rig->imap, "1 LOGIN anna secret\r\n");
    rig_expect(above, "1 NO [UNAVAILABLE] "); /* so the others wait */
    assert_int_equal(guess_until_blocked("127.0.0.9", ANNA), 5);
    rig_close(above);
    for (size_t i = 0; i < ARRAY_LENGTH(waiting); i++)
        rig_close(waiting[i]);
    rig_expect_no_session(rig);
}

/* What the client of a blocked login hears is what one hears whose backend is down, no more. */
static void a_blocked_login_is_refused_temporarily_and_reaches_no_backend(void **state)
{
    struct peer *client = rig_connect(rig, &rig->imap);

    (void)state;
    assert_int_equal(guess_until_blocked("127.0.0.9", ANNA), 5);
    rig_say(client, "1 LOGIN anna secret\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE] ");
    assert_null(rig->accepted[0]);
    assert_int_equal(rig_count(rig, BOARD_LOGINS_TEMPORARY), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(who_guesses_is_blocked_and_nobody_else_is),
        TEST(an_account_that_does_not_exist_counts_the_same),
        TEST(guesses_to_several_workers_are_one_count),
        TEST(a_thousand_at_once_are_no_more_guesses_than_one_after_the_other),
        TEST(a_login_that_nobody_judged_costs_nothing),
        TEST(the_password_that_was_good_there_is_never_refused),
        TEST(a_success_forgives_gradually),
        TEST(a_device_with_an_old_password_blocks_its_owner_much_later),
        TEST(a_network_that_tries_many_accounts_is_blocked_but_for_those_who_live_there),
        TEST(who_is_blocked_cannot_make_the_counts_of_others_be_forgotten),
        TEST(a_thousand_subscribers_behind_one_address_can_mistype),
        TEST(a_trusted_network_is_never_blocked),
        TEST(a_block_ends_with_its_time),
        TEST(refusals_come_later_with_each_failure),
        TEST(so_many_logins_wait_for_one_backend),
        TEST(a_login_above_the_cap_is_refused_at_once_and_others_wait),
        TEST(a_submission_s_login_waits_under_the_same_cap),
        TEST(logins_that_wait_are_no_failures_yet),
        TEST(sessions_are_limited_by_address_network_and_account),
        TEST(sessions_are_counted_again_after_a_worker_was_killed),
        TEST(a_blocked_login_is_refused_temporarily_and_reaches_no_backend),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
