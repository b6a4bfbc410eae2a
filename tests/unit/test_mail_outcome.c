/* SPDX-License-Identifier: Apache-2.0 */
/* Each row of the table at the end of DATA. */
#include "tests/unit/unit.h"

#include "common/session/mail_outcome.h"

enum { RECIPIENTS_MAX = 4 };

struct outcome {
    enum mail_fate fates[RECIPIENTS_MAX];
    struct mail_reply reply;
    bool must_store;
};

/* The outcome for results given as letters: N A T P U (not sent, accepted, temporary ...). */
static struct outcome outcome_of(const char *letters)
{
    static const char names[] = "NUATP"; /* in the order of enum mail_result */
    enum mail_result results[RECIPIENTS_MAX];
    struct mail_reply replies[RECIPIENTS_MAX] = { { .code = 0 } };
    struct outcome outcome;
    unsigned count = (unsigned)strlen(letters);

    for (unsigned i = 0; i < count; i++) {
        results[i] = (enum mail_result)(strchr(names, letters[i]) - names);
        if (letters[i] == 'A')
            replies[i] = mail_reply_of(250, "2.0.0", "saved");
        if (letters[i] == 'T')
            replies[i] = mail_reply_of(452, "4.2.2", "quota");
        if (letters[i] == 'P')
            replies[i] = mail_reply_of(550, "5.1.1", "gone");
    }
    outcome.must_store = mail_outcome(results, replies, count, outcome.fates, &outcome.reply);
    return outcome;
}

static void assert_outcome(const char *letters, int code, bool must_store,
                           const enum mail_fate *fates)
{
    struct outcome outcome = outcome_of(letters);

    assert_int_equal(outcome.reply.code, code);
    assert_int_equal(outcome.must_store, must_store);
    for (unsigned i = 0; letters[i]; i++)
        assert_int_equal(outcome.fates[i], fates[i]);
}

#define FATES(...)                                                                                 \
    (const enum mail_fate[])                                                                       \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define NONE MAIL_FATE_NONE
#define PENDING MAIL_FATE_PENDING
#define FAILED MAIL_FATE_FAILED
#define UNKNOWN MAIL_FATE_UNKNOWN

static void test_all_permanent_refusals_are_passed_on(void **unused)
{
    (void)unused;
    assert_outcome("P", 550, false, FATES(NONE));
    assert_outcome("PP", 550, false, FATES(NONE, NONE));
    assert_string_equal(outcome_of("PP").reply.text, "gone");
}

static void test_none_accepted_and_some_temporary_is_451(void **unused)
{
    (void)unused;
    assert_outcome("T", 451, false, FATES(NONE));
    assert_outcome("PT", 451, false, FATES(NONE, NONE));
    assert_string_equal(outcome_of("PT").reply.text, "quota");
}

static void test_a_backend_that_was_not_reached_queues_all(void **unused)
{
    (void)unused;
    assert_outcome("NN", 250, true, FATES(PENDING, PENDING));
}

static void test_all_accepted_stores_nothing(void **unused)
{
    (void)unused;
    assert_outcome("AA", 250, false, FATES(NONE, NONE));
    assert_string_equal(outcome_of("AA").reply.text, "saved");
}

static void test_any_accepted_queues_the_temporary_and_reports_the_permanent(void **unused)
{
    (void)unused;
    assert_outcome("ATP", 250, true, FATES(NONE, PENDING, FAILED));
    assert_outcome("PA", 250, true, FATES(FAILED, NONE));
}

static void test_a_lost_reply_queues_only_the_unanswered(void **unused)
{
    (void)unused;
    assert_outcome("U", 250, true, FATES(UNKNOWN));
    assert_outcome("AU", 250, true, FATES(NONE, UNKNOWN));
    assert_outcome("UTP", 250, true, FATES(UNKNOWN, PENDING, FAILED));
}

static void test_what_could_not_be_stored_stays_the_senders(void **unused)
{
    (void)unused;
    assert_int_equal(mail_outcome_not_stored().code, 451);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_permanent_refusals_are_passed_on),
        cmocka_unit_test(test_none_accepted_and_some_temporary_is_451),
        cmocka_unit_test(test_a_backend_that_was_not_reached_queues_all),
        cmocka_unit_test(test_all_accepted_stores_nothing),
        cmocka_unit_test(test_any_accepted_queues_the_temporary_and_reports_the_permanent),
        cmocka_unit_test(test_a_lost_reply_queues_only_the_unanswered),
        cmocka_unit_test(test_what_could_not_be_stored_stays_the_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
