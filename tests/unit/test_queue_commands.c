/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/queue_process_support.h"

#include <jansson.h>

#include "common/base/log.h"
#include "common/service/child.h"
#include "tests/unit/control_support.h"

static void collect(json_t *object, void *context)
{
    json_array_append(context, object);
}

/* The lines of the answer to a command, or NULL; the first questions find nobody there yet. */
static json_t *ask(struct queue_rig *rig, json_t *request)
{
    char path[128], error[CONFIG_ERROR_SIZE] = "";
    json_t *lines = json_array();
    bool is_answered;

    child_run_path(&rig->config, "control.sock", path, sizeof(path));
    is_answered = control_ask(path, request, 10000, collect, lines, error, sizeof(error));
    json_decref(request);
    if (is_answered)
        return lines;
    json_decref(lines);
    return NULL;
}

static json_t *ask_until_answered(struct queue_rig *rig, const char *command)
{
    json_t *lines = NULL;

    WAIT_FOR(rig, lines || (lines = ask(rig, json_pack("{s:s}", "command", command))) != NULL);
    return lines;
}

static json_int_t number_in(const json_t *lines, size_t line, const char *key)
{
    return json_integer_value(json_object_get(json_array_get(lines, line), key));
}

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static void test_commands_list_show_flush_and_count(void **state)
{
    struct queue_rig *rig = *state;
    json_t *lines, *line, *recipient;
    char id[QUEUE_ID_SIZE];

    queue_rig_start_control(rig);
    rig->holds_deliveries = true;
    for (unsigned i = 1; i <= 3; i++)
        queue_rig_store(rig, i, i == 2 ? "b@x" : "a@x", 2, SPAN_LITERAL("body"));
    WAIT_FOR(rig, rig->held == 3);

    lines = ask_until_answered(rig, "queue-stat");
    assert_int_equal(number_in(lines, 0, "messages"), 3);
    assert_int_equal(number_in(lines, 0, "recipients"), 6);
    json_decref(lines);

    lines = ask(rig, json_pack("{s:s,s:s}", "command", "queue-list", "backend", "sv2"));
    assert_int_equal(json_array_size(lines), 1);
    line = json_array_get(lines, 0);
    assert_string_equal(text_in(line, "session_id"), "2");
    assert_string_equal(text_in(line, "reverse_path"), "sender@x");
    assert_int_equal(json_array_size(json_object_get(line, "recipients")), 2);
    recipient = json_array_get(json_object_get(line, "recipients"), 1);
    assert_string_equal(text_in(recipient, "address"), "b@x");
    assert_string_equal(text_in(recipient, "backend"), "sv2");
    assert_string_equal(text_in(recipient, "state"), "pending");
    snprintf(id, sizeof(id), "%s", text_in(line, "id"));
    json_decref(lines);

    lines = ask(rig, json_pack("{s:s,s:i}", "command", "queue-list", "limit", 2));
    assert_int_equal(json_array_size(lines), 2);
    json_decref(lines);
    lines = ask(rig, json_pack("{s:s,s:s}", "command", "queue-show", "id", id));
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);
    assert_null(ask(rig, json_pack("{s:s,s:s}", "command", "queue-show", "id", "17")));
    assert_null(ask(rig, json_pack("{s:s,s:s}", "command", "queue-show", "id", "x")));
    assert_null(ask(rig, json_pack("{s:s,s:s}", "command", "queue-list", "state", "x")));
    assert_null(ask(rig, json_pack("{s:s,s:[s]}", "command", "queue-delete", "ids", "-1")));

    /* What waits after a refusal is due at once. */
    for (size_t i = 0; i < 3; i++) {
        queue_delivery_set_all(rig->deliveries[i], QUEUE_UNKNOWN, 0, SPAN_LITERAL("lost"));
        queue_delivery_finish(rig->deliveries[i]);
    }
    rig->held = 0;
    WAIT_FOR(rig, queue_client_unfinished(rig->client) == 0);
    lines = ask(rig, json_pack("{s:s}", "command", "queue-flush"));
    assert_int_equal(number_in(lines, 0, "flushed"), 0);
    assert_int_equal(number_in(lines, 0, "unknown"), 6);
    json_decref(lines);
    lines =
        ask(rig, json_pack("{s:s,s:[s],s:b}", "command", "queue-flush", "ids", id, "unknown", 1));
    assert_int_equal(number_in(lines, 0, "flushed"), 2);
    json_decref(lines);
    WAIT_FOR(rig, rig->delivered == 4);
    lines = ask(rig, json_pack("{s:s,s:b}", "command", "queue-flush", "unknown", 1));
    assert_int_equal(number_in(lines, 0, "flushed"), 4);
    assert_int_equal(number_in(lines, 0, "in_delivery"), 2);
    json_decref(lines);
    WAIT_FOR(rig, rig->delivered == 6);
    queue_rig_finish_held(rig);
    WAIT_FOR(rig, queue_rig_messages(rig) == 0);
}

/* What an order with these members of the request did. */
static void order(struct queue_rig *rig, const char *command, const char *key, const char *value,
                  json_int_t changed, json_int_t in_delivery)
{
    json_t *lines = ask(rig, json_pack("{s:s,s:s}", "command", command, key, value));

    assert_non_null(lines);
    assert_int_equal(number_in(lines, 0, "changed"), changed);
    assert_int_equal(number_in(lines, 0, "in_delivery"), in_delivery);
    json_decref(lines);
}

static void test_what_is_held_is_not_delivered_until_it_is_released(void **state)
{
    struct queue_rig *rig = *state;

    queue_rig_start_control(rig);
    json_decref(ask_until_answered(rig, "queue-stat"));
    rig->holds_deliveries = true;
    queue_rig_store(rig, 1, "a@x", 1, SPAN_LITERAL("body"));
    queue_rig_store(rig, 2, "b@x", 2, SPAN_LITERAL("body"));
    WAIT_FOR(rig, rig->held == 2);
    order(rig, "queue-hold", "recipient", "B@X", 0, 2); /* not what is being delivered */
    for (size_t i = 0; i < 2; i++) {
        queue_delivery_set_all(rig->deliveries[i], QUEUE_PENDING, 0, SPAN_LITERAL("451 x"));
        queue_delivery_finish(rig->deliveries[i]);
    }
    rig->held = 0;
    WAIT_FOR(rig, queue_client_unfinished(rig->client) == 0);
    order(rig, "queue-hold", "backend", "sv2", 2, 0);
    order(rig, "queue-hold", "backend", "sv2", 0, 0);
    order(rig, "queue-flush", "domain", "x", 1, 0);
    WAIT_FOR(rig, rig->held == 1);
    assert_string_equal(rig->last_recipient, "a@x@sv1");
    queue_rig_finish_held(rig);
    WAIT_FOR(rig, queue_rig_messages(rig) == 1);
    order(rig, "queue-release", "state", "held", 2, 0);
    WAIT_FOR(rig, rig->held == 1 && rig->delivered == 4);
    queue_rig_finish_held(rig);
    WAIT_FOR(rig, queue_rig_messages(rig) == 0);
}

static void test_what_is_deleted_is_gone_and_what_is_bounced_is_reported(void **state)
{
    struct queue_rig *rig = *state;
    json_t *lines;

    queue_rig_start_control(rig);
    json_decref(ask_until_answered(rig, "queue-stat"));
    rig->holds_deliveries = true;
    queue_rig_store(rig, 1, "a@x", 3, SPAN_LITERAL("Subject: one\r\n\r\nbody\r\n"));
    queue_rig_store(rig, 2, "b@x", 1, SPAN_LITERAL("Subject: two\r\n\r\nbody\r\n"));
    WAIT_FOR(rig, rig->held == 2);
    order(rig, "queue-delete", "sender", "sender@x", 0, 4);
    for (size_t i = 0; i < 2; i++) {
        queue_delivery_set_all(rig->deliveries[i], QUEUE_UNKNOWN, 60, SPAN_LITERAL("lost"));
        queue_delivery_finish(rig->deliveries[i]);
    }
    rig->held = 0;
    WAIT_FOR(rig, queue_client_unfinished(rig->client) == 0);
    lines = ask(
        rig, json_pack("{s:s,s:s,s:b}", "command", "queue-delete", "backend", "sv1", "dry_run", 1));
    assert_int_equal(number_in(lines, 0, "changed"), 3);
    json_decref(lines);
    assert_int_equal(queue_rig_messages(rig), 2);
    order(rig, "queue-delete", "backend", "sv1", 3, 0);
    assert_int_equal(queue_rig_messages(rig), 1);
    order(rig, "queue-bounce", "recipient", "b@x", 1, 0);
    WAIT_FOR(rig, rig->held == 1);
    assert_string_equal(rig->last_recipient, "sender@x@sv3");
    assert_int_equal(rig->deliveries[0]->reverse_path.length, 0);
    queue_rig_finish_held(rig);
    WAIT_FOR(rig, queue_rig_messages(rig) == 0);
    assert_int_equal(rig->delivered, 3);
}

static void test_a_list_goes_on_after_the_message_that_was_last(void **state)
{
    struct queue_rig *rig = *state;
    char last[QUEUE_ID_SIZE] = "";
    json_int_t seen = 0;
    json_t *lines;

    queue_rig_start_control(rig);
    json_decref(ask_until_answered(rig, "queue-stat"));
    rig->holds_deliveries = true;
    for (unsigned i = 1; i <= 25; i++)
        queue_rig_store(rig, i, i % 2 ? "a@x" : "b@x", 1, SPAN_LITERAL("body"));
    WAIT_FOR(rig, rig->stored == 25);
    do {
        size_t count;

        lines = ask(rig, json_pack("{s:s,s:i,s:s,s:s}", "command", "queue-list", "limit", 4,
                                   "after", last, "recipient", "a@x"));
        count = json_array_size(lines);
        assert_true(count <= 4);
        for (size_t i = 0; i < count; i++) {
            const char *id = text_in(json_array_get(lines, i), "id");

            assert_true(strtoull(id, NULL, 10) > strtoull(last, NULL, 10));
            snprintf(last, sizeof(last), "%s", id);
            seen++;
        }
        json_decref(lines);
        if (count < 4)
            break;
    } while (true);
    assert_int_equal(seen, 13);
    WAIT_FOR(rig, rig->held > 0);
    rig->holds_deliveries = false;
    queue_rig_finish_held(rig);
    WAIT_FOR(rig, queue_rig_messages(rig) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_RIG_TEST(test_commands_list_show_flush_and_count),
        QUEUE_RIG_TEST(test_what_is_held_is_not_delivered_until_it_is_released),
        QUEUE_RIG_TEST(test_what_is_deleted_is_gone_and_what_is_bounced_is_reported),
        QUEUE_RIG_TEST(test_a_list_goes_on_after_the_message_that_was_last),
    };

    log_set_level(LOG_LEVEL_WARNING);
    return cmocka_run_group_tests_name("queue commands", tests, NULL, NULL);
}
