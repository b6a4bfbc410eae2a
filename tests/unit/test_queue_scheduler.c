/* SPDX-License-Identifier: Apache-2.0 */
/* Where the scheduler sends what is in the queue, when, and how much of it at once. */
#include "tests/unit/queue_scheduler_support.h"

#include "common/base/log.h"
#include "tests/unit/fault.h"

static void test_a_message_goes_to_its_owner_and_out_of_the_queue(void **state)
{
    struct fixture *fixture = *state;

    fixture_send_to(fixture, "a@x");
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(fixture_last_sent(fixture)->backend, "sv1");
    assert_string_equal(fixture_last_sent(fixture)->address, "a@x");
    assert_string_equal(fixture_last_sent(fixture)->recipient, "canonical-a@x");
    assert_int_equal(fixture_messages(fixture), 1);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 ok");
    assert_int_equal(fixture_messages(fixture), 0);
    assert_int_equal(fixture->acknowledged, 1);
    fixture_pass(fixture, 86400000);
    assert_int_equal(fixture->sent_count, 1);
}

static void test_recipients_are_grouped_by_backend(void **state)
{
    struct fixture *fixture = *state;

    fixture_submit(fixture, &(struct fixture_letter){ .reverse_path = "sender@x",
                                                      .recipients = { "a@x", "b@x", "a2@x" } });
    fixture_run(fixture);
    assert_int_equal(fixture->sent_count, 2);
    assert_int_equal(fixture->sent[0].count + fixture->sent[1].count, 3);
    fixture_report(fixture, &fixture->sent[0], QUEUE_DELIVERED, "");
    assert_int_equal(fixture_messages(fixture), 1);
    fixture_report(fixture, &fixture->sent[1], QUEUE_DELIVERED, "");
    assert_int_equal(fixture_messages(fixture), 0);
}

static void test_a_temporary_refusal_is_retried_later_and_later(void **state)
{
    struct fixture *fixture = *state;

    fixture_send_to(fixture, "a@x");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451 busy");
    fixture_pass(fixture, 44000);
    assert_int_equal(fixture->sent_count, 1);
    fixture_pass(fixture, 32000); /* 60 s with a jitter of a quarter */
    assert_int_equal(fixture->sent_count, 2);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451 busy");
    fixture_pass(fixture, 89000);
    assert_int_equal(fixture->sent_count, 2);
    fixture_pass(fixture, 62000);
    assert_int_equal(fixture->sent_count, 3);
}

static void test_mail_for_a_dead_backend_moves_with_its_account(void **state)
{
    struct fixture *fixture = *state;

    fixture->down = "sv1";
    fixture_send_to(fixture, "a@x");
    fixture_pass(fixture, 1000);
    fixture_pass(fixture, 3600000);
    assert_int_equal(fixture->sent_count, 0);
    fixture->entries[0].host = "sv2";
    fixture->revision++;
    fixture_pass(fixture, 1000);
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(fixture_last_sent(fixture)->backend, "sv2");
}

static void test_a_moved_account_is_seen_at_the_attempt_itself(void **state)
{
    struct fixture *fixture = *state;

    fixture_send_to(fixture, "a@x");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_PENDING, "451 not mine");
    fixture->entries[0].host = "sv2"; /* the revision does not say so */
    fixture_pass(fixture, 80000);
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(fixture_last_sent(fixture)->backend, "sv2");
}

static void test_an_unreachable_backend_is_left_alone_and_then_ramped(void **state)
{
    struct fixture *fixture = *state;
    size_t before;

    for (int i = 0; i < 20; i++)
        fixture_send_to(fixture, "a@x");
    before = fixture->sent_count;
    assert_int_equal(before, 4); /* the first ramp */
    for (size_t i = 0; i < before; i++)
        fixture_report(fixture, &fixture->sent[i], QUEUE_UNREACHABLE, "connection refused");
    assert_int_equal(fixture->sent_count, before);
    fixture_pass(fixture, 3000);
    assert_int_equal(fixture->sent_count, before);
    fixture_pass(fixture, 4000);
    assert_int_equal(fixture->sent_count, before + 1); /* one alone tries it */
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_UNREACHABLE, "connection refused");
    fixture_pass(fixture, 7000);
    assert_int_equal(fixture->sent_count, before + 1); /* the second pause is longer */
    fixture->down = "sv1";
    fixture_pass(fixture, 1000);
    fixture->down = NULL;
    fixture_pass(fixture, 200);
    assert_int_equal(fixture->sent_count, before + 2); /* health ends the pause */
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250");
    assert_int_equal(fixture->sent_count, before + 4);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250");
    assert_int_equal(fixture->sent_count, before + 6);
}

static void test_a_slow_backend_leaves_slots_to_others(void **state)
{
    struct fixture *fixture = *state;
    size_t to_sv1 = 0, to_sv2 = 0;

    fixture->slots = 8;
    for (int i = 0; i < 8; i++)
        fixture_send_to(fixture, "a@x");
    for (int i = 0; i < 4; i++) /* the ramp opens */
        fixture_report(fixture, &fixture->sent[i], QUEUE_DELIVERED, "");
    for (int i = 0; i < 20; i++)
        fixture_send_to(fixture, "a@x");
    for (int i = 0; i < 4; i++)
        fixture_send_to(fixture, "b@x");
    for (size_t i = 4; i < fixture->sent_count; i++) {
        to_sv1 += strcmp(fixture->sent[i].backend, "sv1") == 0;
        to_sv2 += strcmp(fixture->sent[i].backend, "sv2") == 0;
    }
    assert_int_equal(to_sv1, 4);
    assert_int_equal(to_sv2, 2);
}

static void test_one_that_returned_gets_no_more_than_it_may_and_others_are_not_held_up(void **state)
{
    struct fixture *fixture = *state;

    fixture->slots = 100;
    fixture->down = "sv1";
    for (int i = 0; i < 50; i++)
        fixture_send_to(fixture, "a@x");
    fixture_pass(fixture, 1000);
    assert_int_equal(fixture->sent_count, 0);
    fixture->down = NULL;
    fixture->returned = "sv1";
    for (size_t second = 1; second <= 5; second++) {
        fixture->admitted = 3;
        fixture_pass(fixture, 1000);
        for (size_t i = 0; i < fixture->sent_count; i++)
            if (fixture->sent[i].is_open)
                fixture_report(fixture, &fixture->sent[i], QUEUE_DELIVERED, "250");
        assert_int_equal(fixture->sent_count, 3 * second);
    }
    fixture_send_to(fixture, "b@x");
    assert_int_equal(fixture->sent_count, 16);
    assert_string_equal(fixture_last_sent(fixture)->backend, "sv2");
    assert_int_equal(fixture_messages(fixture), 36);
}

static void count_in_hand(void *context, const char *name, size_t in_hand, bool is_waiting)
{
    size_t *most = context;

    (void)name, (void)is_waiting;
    *most = in_hand > *most ? in_hand : *most;
}

static void test_a_large_backlog_is_worked_through_in_a_small_window(void **state)
{
    struct fixture *fixture = *state;
    size_t most = 0;

    fixture->down = "sv1";
    for (int i = 0; i < 1000; i++)
        fixture_submit(fixture, &(struct fixture_letter){ .reverse_path = "sender@x",
                                                          .recipients = { "a@x" } });
    fixture_run(fixture);
    scheduler_each(fixture->scheduler, count_in_hand, &most);
    assert_int_equal(most, 0);
    fixture->down = NULL;
    fixture_pass(fixture, 200);
    for (size_t i = 0; i < fixture->sent_count; i++) {
        scheduler_each(fixture->scheduler, count_in_hand, &most);
        fixture_report(fixture, &fixture->sent[i], QUEUE_DELIVERED, "");
    }
    assert_int_equal(fixture->sent_count, 1000);
    assert_int_equal(fixture_messages(fixture), 0);
    assert_true(most > 0 && most <= 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_a_message_goes_to_its_owner_and_out_of_the_queue),
        FIXTURE_TEST(test_recipients_are_grouped_by_backend),
        FIXTURE_TEST(test_a_temporary_refusal_is_retried_later_and_later),
        FIXTURE_TEST(test_mail_for_a_dead_backend_moves_with_its_account),
        FIXTURE_TEST(test_a_moved_account_is_seen_at_the_attempt_itself),
        FIXTURE_TEST(test_an_unreachable_backend_is_left_alone_and_then_ramped),
        FIXTURE_TEST(test_a_slow_backend_leaves_slots_to_others),
        FIXTURE_TEST(test_one_that_returned_gets_no_more_than_it_may_and_others_are_not_held_up),
        FIXTURE_TEST(test_a_large_backlog_is_worked_through_in_a_small_window),
    };

    log_set_level(LOG_LEVEL_ERROR);
    fault_install();
    return cmocka_run_group_tests_name("queue scheduler", tests, NULL, NULL);
}
