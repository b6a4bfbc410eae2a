/* SPDX-License-Identifier: Apache-2.0 */
/* What the scheduler makes of an attempt's outcome, of one that it never learns, and of age. */
#include "tests/unit/queue_scheduler_support.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/log.h"
#include "frontend/queue/store_private.h"
#include "tests/unit/fault.h"

static size_t count_sent_to(const struct fixture *fixture, const char *address)
{
    size_t count = 0;

    for (size_t i = 0; i < fixture->sent_count; i++)
        count += strcmp(fixture->sent[i].address, address) == 0;
    return count;
}

static const struct fixture_sent *find_sent_to(const struct fixture *fixture, const char *address)
{
    for (size_t i = 0; i < fixture->sent_count; i++)
        if (strcmp(fixture->sent[i].address, address) == 0)
            return &fixture->sent[i];
    fail_msg("nothing was sent to %s", address);
    return NULL;
}

static void test_an_unknown_outcome_waits_ten_minutes_wherever_it_goes(void **state)
{
    struct fixture *fixture = *state;

    fixture_send_to(fixture, "a@x");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_UNKNOWN, "reply lost");
    fixture->entries[0].host = "sv2";
    fixture->revision++;
    fixture_pass(fixture, 1000);
    fixture_pass(fixture, 598000);
    assert_int_equal(fixture->sent_count, 1);
    fixture_pass(fixture, 1100);
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(fixture_last_sent(fixture)->backend, "sv2");
}

static void test_a_worker_that_does_not_come_back_leaves_unknown_outcomes(void **state)
{
    struct fixture *fixture = *state;

    fixture_send_to(fixture, "a@x");
    scheduler_worker_lost(fixture->scheduler, FIXTURE_WORKER);
    fixture_pass(fixture, 100000);
    fixture->busy = 0;
    fixture_pass(fixture, 500000);
    assert_int_equal(fixture->sent_count, 1);
    fixture_pass(fixture, 101000);
    assert_int_equal(fixture->sent_count, 2);
}

static void test_a_worker_that_comes_back_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_sent *sent;

    fixture_send_to(fixture, "a@x");
    sent = fixture_last_sent(fixture);
    scheduler_worker_lost(fixture->scheduler, FIXTURE_WORKER);
    fixture_pass(fixture, 1000);
    scheduler_claim(fixture->scheduler, FIXTURE_WORKER + 1, sent->attempt, sent->rows, sent->count);
    fixture_pass(fixture, 700000);
    assert_int_equal(fixture->sent_count, 1);
    fixture_report(fixture, sent, QUEUE_DELIVERED, "");
    assert_int_equal(fixture_messages(fixture), 0);
}

static void test_after_a_restart_claims_and_late_results_prevent_duplicates(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_sent *first, *second, *third;

    for (int i = 0; i < 3; i++)
        fixture_send_to(fixture, "a@x");
    first = &fixture->sent[0], second = &fixture->sent[1], third = &fixture->sent[2];
    fixture_restart(fixture);
    fixture_pass(fixture, 200);
    assert_int_equal(fixture->sent_count, 3); /* it waits for the workers */
    fixture_report(fixture, first, QUEUE_DELIVERED, "");
    scheduler_claim(fixture->scheduler, FIXTURE_WORKER, second->attempt, second->rows,
                    second->count);
    assert_int_equal(fixture_messages(fixture), 2);
    fixture_pass(fixture, 2000);
    assert_int_equal(fixture->sent_count, 4); /* only the third */
    assert_true(fixture_last_sent(fixture)->rows[0] == third->rows[0]);
    fixture_report(fixture, second, QUEUE_DELIVERED, "");
    fixture_report(fixture, second, QUEUE_DELIVERED, "");
    assert_int_equal(fixture_messages(fixture), 1);
    /* The worker that had it comes late: what is delivered is delivered. */
    third->is_open = false;
    fixture_report(fixture, third, QUEUE_DELIVERED, "");
    assert_int_equal(fixture_messages(fixture), 0);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451");
    assert_int_equal(fixture_messages(fixture), 0);
    assert_int_equal(fixture->acknowledged, 5);
}

static void test_a_late_failure_of_what_is_in_other_hands_is_ignored(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_sent *first;

    fixture_send_to(fixture, "a@x");
    first = fixture_last_sent(fixture);
    fixture_restart(fixture);
    fixture_pass(fixture, 2100);
    assert_int_equal(fixture->sent_count, 2);
    first->is_open = false;
    fixture_report(fixture, first, QUEUE_FAILED, "550 no");
    assert_int_equal(fixture_messages(fixture), 1);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "");
    assert_int_equal(fixture_messages(fixture), 0);
}

static void test_a_permanent_refusal_is_reported_to_the_sender_once(void **state)
{
    struct fixture *fixture = *state;

    fixture_send_to(fixture, "a@x");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_FAILED, "550 5.1.1 no such user");
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(fixture_last_sent(fixture)->backend, "sv3");
    assert_string_equal(fixture_last_sent(fixture)->address, "sender@x");
    assert_string_equal(fixture_last_sent(fixture)->reverse_path, "");
    assert_int_equal(fixture_messages(fixture), 1);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_FAILED, "550 5.1.1 no such user");
    assert_int_equal(fixture_messages(fixture), 0); /* nobody is told that a report failed */
    fixture_pass(fixture, 86400000);
    assert_int_equal(fixture->sent_count, 2);
}

static void test_refusals_known_at_arrival_are_reported_and_the_rest_delivered(void **state)
{
    struct fixture *fixture = *state;

    fixture_submit(fixture, &(struct fixture_letter){ .reverse_path = "sender@x",
                                                      .recipients = { "a@x", "b@x" },
                                                      .fates = { QUEUE_FAILED, QUEUE_PENDING },
                                                      .texts = { "550 5.7.1 no" } });
    fixture_run(fixture);
    assert_int_equal(fixture->sent_count, 2);
    assert_int_equal(fixture_messages(fixture), 2);
    fixture_submit(fixture, &(struct fixture_letter){ .reverse_path = "",
                                                      .recipients = { "a@x" },
                                                      .fates = { QUEUE_FAILED },
                                                      .texts = { "550 no" } });
    fixture_run(fixture);
    assert_int_equal(fixture->stored, 2);
    assert_int_equal(fixture_messages(fixture), 2);
}

static void test_an_unknown_address_fails_only_when_confirmed(void **state)
{
    struct fixture *fixture = *state;

    fixture->entries[0].outcome = ROUTE_UNKNOWN;
    fixture_send_to(fixture, "a@x");
    assert_int_equal(fixture->confirms, 1);
    scheduler_confirmed(fixture->scheduler, fixture->confirm_row, false);
    fixture_run(fixture);
    assert_int_equal(fixture_messages(fixture), 1);
    fixture_pass(fixture, 80000);
    assert_int_equal(fixture->confirms, 2);
    scheduler_confirmed(fixture->scheduler, fixture->confirm_row, true);
    fixture_run(fixture);
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(fixture_last_sent(fixture)->address, "sender@x");
}

static void test_a_report_to_a_foreign_sender_needs_the_relay_host(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_letter letter = { .reverse_path = "who@else",
                                     .recipients = { "a@x" },
                                     .fates = { QUEUE_FAILED },
                                     .texts = { "550 no" } };

    fixture_submit(fixture, &letter);
    fixture_run(fixture);
    assert_int_equal(fixture->sent_count, 0);
    assert_int_equal(store_counts(fixture->store).held, 1);
    fixture->has_relay_host = true;
    fixture_restart(fixture);
    assert_int_equal(store_counts(fixture->store).held, 0);
    fixture_pass(fixture, 2100);
    assert_int_equal(fixture->sent_count, 1); /* by itself, now that there is a way */
    fixture_submit(fixture, &letter);
    fixture_run(fixture);
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(fixture_last_sent(fixture)->backend, "");
    assert_string_equal(fixture_last_sent(fixture)->recipient, "who@else");
}

static void test_expiry_needs_age_and_a_failed_attempt(void **state)
{
    struct fixture *fixture = *state;

    fixture_send_to(fixture, "a@x");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451 busy");
    fixture->now_ms += 500000000;
    fixture_restart(fixture);
    fixture_pass(fixture, 2100);
    assert_int_equal(fixture->sent_count, 2); /* old, but tried again first */
    scheduler_suspend_expiry(fixture->scheduler, true);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451 busy");
    scheduler_suspend_expiry(fixture->scheduler, false);
    fixture_pass(fixture, 200000);
    assert_int_equal(fixture->sent_count, 3);
    assert_string_equal(fixture_last_sent(fixture)->address, "a@x");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451 busy");
    assert_int_equal(fixture->sent_count, 4);
    assert_string_equal(fixture_last_sent(fixture)->address, "sender@x");
}

static void test_mail_for_a_backend_that_stays_down_expires_too(void **state)
{
    struct fixture *fixture = *state;

    fixture->down = "sv1";
    fixture_send_to(fixture, "a@x");
    fixture_pass(fixture, 400000000);
    assert_int_equal(fixture->sent_count, 0);
    fixture_pass(fixture, 40000000);
    assert_int_equal(fixture->sent_count, 1); /* one attempt, so that there is a reason */
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_UNREACHABLE, "connection refused");
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(fixture_last_sent(fixture)->address, "sender@x");
}

/* With mail as old as it must be for its sender to hear that it is late. */
static void start_with_delays(struct fixture *fixture, const char *reverse_path)
{
    struct fixture_letter letter = { .reverse_path = reverse_path, .recipients = { "a@x" } };

    fixture->delay_ms = 14400000;
    fixture_restart(fixture);
    fixture_submit(fixture, &letter);
    fixture_run(fixture);
}

static void test_a_sender_hears_once_that_his_message_is_late(void **state)
{
    struct fixture *fixture = *state;

    start_with_delays(fixture, "sender@x");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451 4.2.0 busy");
    assert_int_equal(fixture->sent_count, 1); /* not at once */
    for (int i = 0; i < 6; i++) {
        fixture_pass(fixture, 6000000);
        for (size_t j = 0; j < fixture->sent_count; j++)
            if (fixture->sent[j].is_open)
                fixture_report(fixture, &fixture->sent[j],
                               strcmp(fixture->sent[j].address, "a@x") == 0 ? QUEUE_PENDING
                                                                            : QUEUE_DELIVERED,
                               "451 4.2.0 busy");
    }
    assert_int_equal(count_sent_to(fixture, "a@x"), 7);
    assert_int_equal(count_sent_to(fixture, "sender@x"), 1);
    assert_string_equal(find_sent_to(fixture, "sender@x")->reverse_path, "");
}

static void test_the_null_sender_hears_of_no_delay(void **state)
{
    struct fixture *fixture = *state;

    start_with_delays(fixture, "");
    for (int i = 0; i < 4; i++) {
        fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451 4.2.0 busy");
        fixture_pass(fixture, 6000000);
    }
    assert_int_equal(fixture_messages(fixture), 1);
}

static void test_a_delay_is_told_for_a_backend_that_is_down_too(void **state)
{
    struct fixture *fixture = *state;

    fixture->down = "sv1";
    start_with_delays(fixture, "sender@x");
    fixture_pass(fixture, 14000000);
    fixture_pass(fixture, 60000);
    assert_int_equal(fixture->sent_count, 0);
    for (int i = 0; i < 12; i++)
        fixture_pass(fixture, 60000);
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(fixture_last_sent(fixture)->address, "sender@x");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 ok");
    for (int i = 0; i < 12; i++)
        fixture_pass(fixture, 60000);
    assert_int_equal(fixture->sent_count, 1);
    assert_int_equal(fixture_messages(fixture), 1);
}

static void test_a_backlog_for_a_backend_that_is_down_expires_after_one_failed_attempt(void **state)
{
    enum { LETTERS = 300 };
    struct fixture *fixture = *state;

    fixture->down = "sv1";
    for (int i = 0; i < LETTERS; i++)
        fixture_submit(fixture,
                       &(struct fixture_letter){ .reverse_path = "", .recipients = { "a@x" } });
    fixture_run(fixture);
    fixture_pass(fixture, 440000000);
    fixture_pass(fixture, 30000);
    fixture_pass(fixture, 30000);
    assert_int_equal(fixture_messages(fixture), LETTERS); /* nothing before an attempt */
    assert_true(fixture->sent_count > 0);
    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    for (size_t i = 0; i < fixture->sent_count; i++)
        if (fixture->sent[i].is_open)
            fixture_report(fixture, &fixture->sent[i], QUEUE_UNREACHABLE, "connection refused");
    fixture_pass(fixture, 30000);
    fixture_pass(fixture, 30000);
    log_set_descriptor(STDERR_FILENO);
    assert_int_equal(fixture_messages(fixture), 0);
}

static void test_a_failure_of_our_own_expires_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->entries[0].outcome = ROUTE_UNAVAILABLE;
    fixture_send_to(fixture, "a@x");
    fixture_pass(fixture, 500000000);
    fixture_pass(fixture, 500000000);
    assert_int_equal(fixture_messages(fixture), 1);
    assert_int_equal(fixture->sent_count, 0);
}

static void test_what_cannot_be_read_is_tried_more_and_more_rarely(void **state)
{
    struct fixture *fixture = *state;
    unsigned in_the_first_second;

    fixture->down = "sv1";
    fixture_send_to(fixture, "a@x");
    fixture_pass(fixture, 1000);
    fixture->down = NULL;
    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    sqlite3_db_release_memory(fixture->store->db);
    fault_set_unreadable(true);
    for (int i = 0; i < 5; i++)
        fixture_pass(fixture, 200);
    in_the_first_second = fault_failed_reads();
    assert_true(in_the_first_second > 0);
    for (int i = 0; i < 100; i++)
        fixture_pass(fixture, 200);
    assert_in_range(fault_failed_reads(), in_the_first_second + 1, 4 * in_the_first_second);
    fault_set_unreadable(false);
    log_set_descriptor(STDERR_FILENO);
    fixture_pass(fixture, 12800);
    assert_int_equal(fixture->sent_count, 1);
}

static void test_a_result_is_written_again_until_it_is_committed(void **state)
{
    struct fixture *fixture = *state;

    fixture_send_to(fixture, "a@x");
    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    fault_arm(1, FAULT_FAIL_FROM);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "");
    fixture_pass(fixture, 200);
    assert_int_equal(fixture->acknowledged, 0);
    fault_disarm();
    log_set_descriptor(STDERR_FILENO);
    fixture_pass(fixture, 400);
    assert_int_equal(fixture->acknowledged, 1);
    assert_int_equal(fixture_messages(fixture), 0);
    assert_int_equal(fixture->sent_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_an_unknown_outcome_waits_ten_minutes_wherever_it_goes),
        FIXTURE_TEST(test_a_worker_that_does_not_come_back_leaves_unknown_outcomes),
        FIXTURE_TEST(test_a_worker_that_comes_back_goes_on),
        FIXTURE_TEST(test_after_a_restart_claims_and_late_results_prevent_duplicates),
        FIXTURE_TEST(test_a_late_failure_of_what_is_in_other_hands_is_ignored),
        FIXTURE_TEST(test_a_permanent_refusal_is_reported_to_the_sender_once),
        FIXTURE_TEST(test_refusals_known_at_arrival_are_reported_and_the_rest_delivered),
        FIXTURE_TEST(test_an_unknown_address_fails_only_when_confirmed),
        FIXTURE_TEST(test_a_report_to_a_foreign_sender_needs_the_relay_host),
        FIXTURE_TEST(test_expiry_needs_age_and_a_failed_attempt),
        FIXTURE_TEST(test_mail_for_a_backend_that_stays_down_expires_too),
        FIXTURE_TEST(test_a_sender_hears_once_that_his_message_is_late),
        FIXTURE_TEST(test_the_null_sender_hears_of_no_delay),
        FIXTURE_TEST(test_a_delay_is_told_for_a_backend_that_is_down_too),
        FIXTURE_TEST(test_a_backlog_for_a_backend_that_is_down_expires_after_one_failed_attempt),
        FIXTURE_TEST(test_a_failure_of_our_own_expires_nothing),
        FIXTURE_TEST(test_what_cannot_be_read_is_tried_more_and_more_rarely),
        FIXTURE_TEST(test_a_result_is_written_again_until_it_is_committed),
    };

    log_set_level(LOG_LEVEL_ERROR);
    fault_install();
    return cmocka_run_group_tests_name("queue outcomes", tests, NULL, NULL);
}
