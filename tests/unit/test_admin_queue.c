/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead queue: what it asks the daemon, and what it makes of the answer. */
#include "tests/unit/unit.h"

#include <jansson.h>

#include "admin/command.h"
#include "tests/unit/admin_support.h"

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))
#define assert_lacks(text, part) assert_null(strstr((text), (part)))

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);

    assert_non_null(value);
    return value;
}

static const char queued[] =
    "{\"id\":\"17\",\"arrival_ms\":1000,\"size\":2048,\"reverse_path\":\"s@example.com\","
    "\"session_id\":\"abc\",\"recipients\":[{\"address\":\"a@example.org\",\"backend\":\"sv3\","
    "\"state\":\"pending\",\"attempts\":2,\"next_attempt_ms\":0,\"reply\":\"451 later\"},"
    "{\"address\":\"b@example.org\",\"backend\":\"\",\"state\":\"held\"}]}\n"
    "{\"id\":\"18\",\"arrival_ms\":1000,\"size\":10,\"reverse_path\":\"\",\"recipients\":["
    "{\"address\":\"c@example.org\",\"state\":\"set-aside\"}]}";

static void queue_list_shows_a_line_for_each_recipient(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("queue-list", queued, NULL);
    result = admin_run("queue list --backend sv3 --limit 2");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "s@example.com");
    assert_contains(result.out, "a@example.org");
    assert_contains(result.out, "relay host");
    assert_contains(result.out, "set aside");
    assert_contains(result.out, "<>");
    assert_contains(result.out, "(the first 2; --limit shows more)");
    assert_string_equal(admin_daemon_was_asked("queue-list"),
                        "{\"backend\":\"sv3\",\"command\":\"queue-list\",\"limit\":2}");
}

static void queue_list_as_json_is_a_line_for_each_message(void **state)
{
    const char *out;
    json_t *message;

    (void)state;
    admin_daemon_answers("queue-list", queued, NULL);
    out = admin_run("queue list --json").out;
    message = json_loads(out, JSON_DISABLE_EOF_CHECK, NULL);
    assert_string_equal(json_string_value(json_object_get(message, "id")), "17");
    json_decref(message);
    message = parse(strchr(out, '\n') + 1);
    assert_string_equal(json_string_value(json_object_get(message, "id")), "18");
    json_decref(message);
}

static void an_empty_queue_is_said_to_be_empty(void **state)
{
    (void)state;
    admin_daemon_answers("queue-list", "", NULL);
    assert_string_equal(admin_run("queue list").out, "nothing of that kind waits\n");
    assert_string_equal(admin_run("queue list --json").out, "");
}

static void queue_show_tells_all_recipients_and_fails_for_an_unknown_message(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("queue-show", queued, NULL);
    result = admin_run("queue show 17");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "s@example.com");
    assert_contains(result.out, "451 later");
    assert_contains(result.out, "sv3");
    assert_contains(admin_daemon_was_asked("queue-show"), "\"id\":\"17\"");
}

static void queue_show_of_nothing_fails(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("queue-show", "", "there is no message 99");
    result = admin_run("queue show 99");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "no message 99");
}

static void queue_flush_says_how_many_are_due(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("queue-flush",
                         "{\"changed\":3,\"messages\":1,\"unknown\":2,\"matched\":5}", NULL);
    result = admin_run("queue flush --backend sv1");
    assert_contains(result.out, "3 recipients of 1 message made due\n");
    assert_contains(result.out, "2 recipients left alone: the last reply was lost");
    assert_string_equal(admin_daemon_was_asked("queue-flush"),
                        "{\"backend\":\"sv1\",\"command\":\"queue-flush\"}");
    admin_run("queue flush 17 18 --unknown");
    assert_string_equal(admin_daemon_was_asked("queue-flush"),
                        "{\"command\":\"queue-flush\",\"ids\":[\"17\",\"18\"],\"unknown\":true}");
}

static void queue_delete_passes_the_choice_on_and_says_what_it_left_alone(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("queue-delete",
                         "{\"changed\":0,\"is_partial\":true}\n"
                         "{\"changed\":2,\"messages\":2,\"in_delivery\":1,\"matched\":3,"
                         "\"is_dry_run\":true}",
                         NULL);
    result = admin_run("queue delete --sender <> --domain example.org --older-than 2h --state held"
                       " --recipient a@example.org --dry-run");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "2 recipients of 2 messages would be deleted\n");
    assert_contains(result.out, "1 recipient left alone: being delivered at this moment");
    assert_string_equal(admin_daemon_was_asked("queue-delete"),
                        "{\"command\":\"queue-delete\",\"domain\":\"example.org\",\"dry_run\":true,"
                        "\"older_than_s\":7200,\"recipient\":\"a@example.org\",\"sender\":\"<>\","
                        "\"state\":\"held\"}");
    assert_contains(admin_run("queue delete 7 --json").out, "\"in_delivery\":1");
}

static void an_order_to_messages_that_are_not_there_fails(void **state)
{
    (void)state;
    admin_daemon_answers("queue-hold", "{\"changed\":0,\"messages\":0,\"matched\":0}", NULL);
    assert_int_equal(admin_run("queue hold 99").status, COMMAND_FAILED);
    assert_int_equal(admin_run("queue hold --backend sv1").status, COMMAND_OK);
}

static void queue_adopt_tells_what_came_and_what_stayed(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("queue-adopt",
                         "{\"messages\":1,\"is_partial\":true}\n"
                         "{\"messages\":2,\"recipients\":3,\"unreadable\":1}",
                         NULL);
    result = admin_run("queue adopt /tmp");
    assert_int_equal(result.status, COMMAND_PARTLY);
    assert_contains(result.out, "2 messages for 3 recipients adopted\n");
    assert_contains(result.out, "1 message could not be read");
    assert_string_equal(admin_daemon_was_asked("queue-adopt"),
                        "{\"command\":\"queue-adopt\",\"directory\":\"/tmp\"}");
}

static void queue_stat_shows_what_waits_for_whom(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("queue-stat",
                         "{\"messages\":3,\"recipients\":5,\"held\":1,\"set_aside\":0,"
                         "\"destinations\":[{\"backend\":null,\"in_hand\":0,\"is_waiting\":false,"
                         "\"recipients\":0},{\"backend\":\"sv1\",\"in_hand\":2,\"is_waiting\":true,"
                         "\"recipients\":4}]}",
                         NULL);
    result = admin_run("queue stat");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "3 messages, 5 recipients, 1 held, 0 set aside\n");
    assert_contains(result.out, "when it is up");
    assert_contains(admin_run("queue stat --json").out, "\"held\": 1");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, admin_setup, admin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(queue_list_shows_a_line_for_each_recipient),
        TEST(queue_list_as_json_is_a_line_for_each_message),
        TEST(an_empty_queue_is_said_to_be_empty),
        TEST(queue_show_tells_all_recipients_and_fails_for_an_unknown_message),
        TEST(queue_show_of_nothing_fails),
        TEST(queue_flush_says_how_many_are_due),
        TEST(queue_delete_passes_the_choice_on_and_says_what_it_left_alone),
        TEST(an_order_to_messages_that_are_not_there_fails),
        TEST(queue_adopt_tells_what_came_and_what_stayed),
        TEST(queue_stat_shows_what_waits_for_whom),
    };

    return cmocka_run_group_tests_name("admin queue", tests, NULL, NULL);
}
