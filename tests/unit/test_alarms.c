/* SPDX-License-Identifier: Apache-2.0 */
/* A bad entry is told, and does not flood the log. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/session/alarms.h"

static int log_fds[2];

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(pipe2(log_fds, O_CLOEXEC | O_NONBLOCK), 0);
    log_set_descriptor(log_fds[1]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_set_descriptor(STDERR_FILENO);
    close(log_fds[0]);
    close(log_fds[1]);
    return 0;
}

/* What was logged since the last call. */
static const char *logged(void)
{
    static char text[16384];
    ssize_t length = read(log_fds[0], text, sizeof(text) - 1);

    text[length > 0 ? length : 0] = '\0';
    return text;
}

static bool raise(struct alarms *alarms, uint64_t now_ms, const char *key)
{
    return alarms_raise(alarms, now_ms, "session", key, "sv9", "names no known backend");
}

static void an_alarm_names_the_entry_and_the_trouble(void **state)
{
    struct alarms alarms = { 0 };
    const char *text;

    (void)state;
    assert_true(raise(&alarms, 5, "ann@example.org"));
    text = logged();
    assert_non_null(strstr(text, " error id=session event=account_misconfigured "));
    assert_non_null(strstr(text, " name=ann@example.org host=sv9 why=\"names no known backend\""));
}

static void an_entry_is_told_again_only_after_a_while(void **state)
{
    struct alarms alarms = { 0 };

    (void)state;
    assert_true(raise(&alarms, 1000, "ann@example.org"));
    for (uint64_t ms = 1000; ms < 1000 + ALARM_AGAIN_MS; ms += 1000)
        assert_false(raise(&alarms, ms, "ann@example.org"));
    assert_true(raise(&alarms, 1000, "bob@example.org"));
    (void)logged();
    assert_true(raise(&alarms, 1000 + ALARM_AGAIN_MS, "ann@example.org"));
    assert_non_null(strstr(logged(), "unsaid=0"));
}

static void many_bad_entries_share_one_pace(void **state)
{
    struct alarms alarms = { 0 };
    const char *text;
    unsigned told = 0;
    char key[32];

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "user%u@example.org", i);
        told += raise(&alarms, 1000000 + i, key);
    }
    assert_in_range(told, ALARMS_BURST, ALARMS_BURST + 10000 / ALARM_EACH_MS + 1);
    (void)logged();
    assert_true(raise(&alarms, 1010000 + ALARM_EACH_MS, "last@example.org"));
    text = logged();
    assert_non_null(strstr(text, "unsaid="));
    assert_null(strstr(text, "unsaid=0"));
}

static void the_first_alarms_are_told_however_young_the_clock_is(void **state)
{
    struct alarms alarms = { 0 };

    (void)state;
    assert_true(raise(&alarms, 0, "ann@example.org"));
    assert_true(raise(&alarms, 1, "bob@example.org"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_alarm_names_the_entry_and_the_trouble, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_entry_is_told_again_only_after_a_while, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(many_bad_entries_share_one_pace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_alarms_are_told_however_young_the_clock_is,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests_name("alarms", tests, NULL, NULL);
}
