/* SPDX-License-Identifier: Apache-2.0 */
/* What the queue reports when senders say what they want to hear of (RFC 3461). */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "tests/unit/fault.h"
#include "tests/unit/queue_scheduler_support.h"
#include "tests/unit/unit.h"

/* The body of the message of the newest attempt, as a string; the caller frees it. */
static char *last_body(struct fixture *fixture)
{
    const struct fixture_sent *sent = fixture_last_sent(fixture);
    struct store_job *job;
    char *text;

    assert_true(store_begin(fixture->store));
    assert_true(
        store_read_message(fixture->store, STORE_ROW_MESSAGE(sent->rows[0]), SIZE_MAX, &job));
    assert_non_null(job);
    text = memory_new(job->content.body.length + 1);
    memcpy(text, job->content.body.data, job->content.body.length);
    store_job_free(job);
    assert_true(store_commit(fixture->store));
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void submit_to_a(struct fixture *fixture, unsigned notify)
{
    fixture_submit(fixture, &(struct fixture_letter){ .reverse_path = "sender@x",
                                                      .recipients = { "a@x" },
                                                      .notify = { notify },
                                                      .orcpts = { "rfc822;old+2Ba@y" },
                                                      .envid = "QQ+20314" });
    fixture_run(fixture);
}

static void test_a_failure_is_not_told_to_who_does_not_want_it(void **state)
{
    static const unsigned unwanted[] = { MAIL_NOTIFY_NEVER, MAIL_NOTIFY_SUCCESS,
                                         MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_DELAY };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(unwanted); i++) {
        submit_to_a(fixture, unwanted[i]);
        assert_int_equal(fixture->sent_count, i + 1);
        fixture_report(fixture, fixture_last_sent(fixture), QUEUE_FAILED, "550 5.1.1 no");
        assert_int_equal(fixture_messages(fixture), 0);
        assert_int_equal(fixture->sent_count, i + 1);
    }
}

static void test_a_failure_has_what_the_sender_gave(void **state)
{
    struct fixture *fixture = *state;
    char *text;

    submit_to_a(fixture, MAIL_NOTIFY_FAILURE);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_FAILED, "550 5.1.1 no");
    assert_string_equal(fixture_last_sent(fixture)->address, "sender@x");
    text = last_body(fixture);
    assert_has(text, "\r\nOriginal-Envelope-Id: QQ 314\r\n");
    assert_has(text, "\r\nOriginal-Recipient: rfc822; old+a@y\r\nFinal-Recipient: rfc822; a@x\r\n");
    assert_has(text, "\r\nAction: failed\r\nStatus: 5.1.1\r\n");
    free(text);
}

static void test_a_success_is_told_to_who_asked_for_it(void **state)
{
    struct fixture *fixture = *state;
    char *text;

    submit_to_a(fixture, MAIL_NOTIFY_SUCCESS);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 2.0.0 Saved");
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(fixture_last_sent(fixture)->address, "sender@x");
    text = last_body(fixture);
    assert_has(text, "\r\nAction: delivered\r\nStatus: 2.0.0\r\nRemote-MTA: dns; sv1\r\n"
                     "Diagnostic-Code: smtp; 250 2.0.0 Saved\r\n");
    free(text);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 2.0.0 Saved");
    assert_int_equal(fixture_messages(fixture), 0);
}

static void test_a_success_is_not_told_twice_nor_unasked(void **state)
{
    struct fixture *fixture = *state;

    submit_to_a(fixture, MAIL_NOTIFY_SUCCESS); /* the peer tells it */
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_GONE, "250 2.0.0 Saved");
    submit_to_a(fixture, 0);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 2.0.0 Saved");
    submit_to_a(fixture, MAIL_NOTIFY_FAILURE | MAIL_NOTIFY_DELAY);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 2.0.0 Saved");
    assert_int_equal(fixture->sent_count, 3);
    assert_int_equal(fixture_messages(fixture), 0);
}

static void test_what_goes_to_a_relay_host_without_dsn_is_relayed(void **state)
{
    struct fixture *fixture = *state;
    char *text;

    fixture->has_relay_host = true;
    fixture_restart(fixture);
    fixture_submit(fixture, &(struct fixture_letter){ .reverse_path = "sender@x",
                                                      .may_relay = true,
                                                      .recipients = { "who@else" },
                                                      .notify = { MAIL_NOTIFY_SUCCESS } });
    fixture_run(fixture);
    assert_string_equal(fixture_last_sent(fixture)->backend, "");
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 2.0.0 Queued");
    text = last_body(fixture);
    assert_has(text, "\r\nFinal-Recipient: rfc822; who@else\r\nAction: relayed\r\n");
    free(text);
}

static void test_a_success_known_at_arrival_is_only_reported(void **state)
{
    struct fixture *fixture = *state;
    char *text;

    fixture_submit(
        fixture, &(struct fixture_letter){ .reverse_path = "sender@x",
                                           .recipients = { "a@x", "b@x" },
                                           .fates = { QUEUE_DELIVERED, QUEUE_FAILED },
                                           .texts = { "250 2.0.0 Saved", "550 5.7.1 no" },
                                           .notify = { MAIL_NOTIFY_SUCCESS, MAIL_NOTIFY_NEVER } });
    fixture_run(fixture);
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(fixture_last_sent(fixture)->address, "sender@x");
    text = last_body(fixture);
    assert_has(text, "\r\nFinal-Recipient: rfc822; a@x\r\nAction: delivered\r\n");
    assert_null(strstr(text, "b@x"));
    free(text);
}

static void test_the_null_sender_hears_of_no_success(void **state)
{
    struct fixture *fixture = *state;

    fixture_submit(fixture, &(struct fixture_letter){ .reverse_path = "",
                                                      .recipients = { "a@x" },
                                                      .notify = { MAIL_NOTIFY_SUCCESS } });
    fixture_run(fixture);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 2.0.0 Saved");
    assert_int_equal(fixture_messages(fixture), 0);
    assert_int_equal(fixture->sent_count, 1);
}

static void test_only_a_failure_returns_the_message_in_full(void **state)
{
    struct fixture *fixture = *state;
    struct fixture_letter letter = { .reverse_path = "sender@x",
                                     .recipients = { "a@x" },
                                     .notify = { MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_FAILURE },
                                     .ret = MAIL_RETURN_FULL };
    char *text;

    fixture_submit(fixture, &letter);
    fixture_run(fixture);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_FAILED, "550 no");
    text = last_body(fixture);
    assert_has(text, "\r\nContent-Type: message/rfc822\r\n\r\nbody\r\n--");
    free(text);
    fixture_submit(fixture, &letter);
    fixture_run(fixture);
    fixture_report(fixture, fixture_last_sent(fixture), QUEUE_DELIVERED, "250 ok");
    text = last_body(fixture);
    assert_has(text, "\r\nContent-Type: text/rfc822-headers\r\n");
    assert_null(strstr(text, "message/rfc822"));
    free(text);
}

static void test_a_delay_is_told_to_who_wants_it(void **state)
{
    static const unsigned unwanted[] = { MAIL_NOTIFY_NEVER, MAIL_NOTIFY_FAILURE };
    struct fixture *fixture = *state;

    fixture->delay_ms = 14400000;
    fixture_restart(fixture);
    for (size_t i = 0; i < ARRAY_LENGTH(unwanted); i++)
        submit_to_a(fixture, unwanted[i]);
    submit_to_a(fixture, MAIL_NOTIFY_DELAY);
    assert_int_equal(fixture->sent_count, 3);
    fixture->now_ms += 14400001;
    for (size_t i = 0; i < 3; i++)
        fixture_report(fixture, &fixture->sent[i], QUEUE_PENDING, "451 later");
    assert_int_equal(fixture_messages(fixture), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_a_failure_is_not_told_to_who_does_not_want_it),
        FIXTURE_TEST(test_a_failure_has_what_the_sender_gave),
        FIXTURE_TEST(test_a_success_is_told_to_who_asked_for_it),
        FIXTURE_TEST(test_a_success_is_not_told_twice_nor_unasked),
        FIXTURE_TEST(test_what_goes_to_a_relay_host_without_dsn_is_relayed),
        FIXTURE_TEST(test_a_success_known_at_arrival_is_only_reported),
        FIXTURE_TEST(test_the_null_sender_hears_of_no_success),
        FIXTURE_TEST(test_only_a_failure_returns_the_message_in_full),
        FIXTURE_TEST(test_a_delay_is_told_to_who_wants_it),
    };

    log_set_level(LOG_LEVEL_ERROR);
    fault_install();
    return cmocka_run_group_tests_name("queue notify", tests, NULL, NULL);
}
