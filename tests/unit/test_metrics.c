/* SPDX-License-Identifier: Apache-2.0 */
/* The text of /metrics, what it is made of, and who may do what at the admin port. */
#include "tests/unit/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/service/admin_health.h"
#include "common/service/admin_roles.h"
#include "common/service/metrics.h"
#include "common/service/supervisor.h"

enum { TEXT_LIMIT = 262144 };

/* Takes over `samples`; the text, valid until the next call. */
static const char *text_of(json_t *samples)
{
    static char text[TEXT_LIMIT + 1];
    struct bytes bytes = bytes_empty(TEXT_LIMIT);

    assert_true(metrics_write(samples, &bytes));
    memcpy(text, bytes.data, bytes.length);
    text[bytes.length] = '\0';
    bytes_release(&bytes);
    json_decref(samples);
    return text;
}

static void test_a_counter_a_gauge_with_a_unit_and_an_info_are_written_as_the_standard_wants(
    void **unused)
{
    json_t *samples = json_array();

    (void)unused;
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_mirror_age_seconds", 1.5, NULL));
    json_array_append_new(samples,
                          METRICS_SAMPLE("mailstead_logins", 16777217, "result", "accepted", NULL));
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_build", 1, "version", "0.1", NULL));
    assert_string_equal(
        text_of(samples),
        "# TYPE mailstead_build info\n"
        "# HELP mailstead_build The program and its version.\n"
        "mailstead_build_info{version=\"0.1\"} 1\n"
        "# TYPE mailstead_logins counter\n"
        "# HELP mailstead_logins Logins, by what became of them.\n"
        "mailstead_logins_total{result=\"accepted\"} 16777217\n"
        "# TYPE mailstead_mirror_age_seconds gauge\n"
        "# UNIT mailstead_mirror_age_seconds seconds\n"
        "# HELP mailstead_mirror_age_seconds The time since the mirror was last known to be up to "
        "date.\n"
        "mailstead_mirror_age_seconds 1.5\n"
        "# EOF\n");
}

static void test_label_values_are_escaped_and_what_is_no_utf8_is_shown_as_such(void **unused)
{
    json_t *samples = json_array();

    (void)unused;
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_backend_up", 0, "backend",
                                                  "a\"b\\c\nd\xff", "protocol", "\xc3\xa4", NULL));
    assert_non_null(
        strstr(text_of(samples), "{backend=\"a\\\"b\\\\c\\nd?\",protocol=\"\xc3\xa4\"} 0\n"));
}

static void test_what_is_no_sample_is_left_out_and_of_two_alike_the_second(void **unused)
{
    json_t *samples = json_array();

    (void)unused;
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_sessions", 7, NULL));
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_sessions", 8, NULL));
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_nonsense", 1, NULL));
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_logins", -1, NULL));
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_drained", 1, "Bad-Label", "x", NULL));
    json_array_append_new(samples, json_string("mailstead_drained"));
    json_array_append_new(samples,
                          json_pack("{s:s, s:s}", "metric", "mailstead_drained", "value", "1"));
    json_array_append_new(samples, json_pack("{s:i}", "metric", 1));
    assert_string_equal(text_of(samples), "# TYPE mailstead_sessions gauge\n"
                                          "# HELP mailstead_sessions Sessions that are open.\n"
                                          "mailstead_sessions 7\n"
                                          "# EOF\n");
}

static void test_a_page_that_is_full_says_so(void **unused)
{
    struct bytes bytes = bytes_empty(40);
    json_t *samples = json_array();

    (void)unused;
    json_array_append_new(samples, METRICS_SAMPLE("mailstead_sessions", 7, NULL));
    assert_false(metrics_write(samples, &bytes));
    bytes_release(&bytes);
    json_decref(samples);
}

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length > tail && strcmp(text + length - tail, end) == 0;
}

static void test_each_family_is_named_as_the_standard_wants_and_only_once(void **unused)
{
    (void)unused;
    for (const struct metric_family *family = metric_families; family->name; family++) {
        assert_true(strncmp(family->name, "mailstead_", 10) == 0);
        assert_false(ends_in(family->name, "_total") || ends_in(family->name, "_info"));
        if (family->unit)
            assert_true(ends_in(family->name, family->unit));
        assert_true(ends_in(family->help, "."));
        for (const struct metric_family *other = metric_families; other != family; other++)
            assert_string_not_equal(other->name, family->name);
    }
}

/* --- the board ------------------------------------------------------------------------------- */

static const struct supervisor_role roles[] = { { .name = "control" },
                                                { .name = "queue" },
                                                { .name = "worker", .is_per_core = true } };
static const struct supervisor_program frontend = {
    .name = "toy", .program = CONFIG_FRONTEND, .roles = roles, .role_count = ARRAY_LENGTH(roles)
};
static const struct supervisor_program backend = {
    .name = "toy", .program = CONFIG_BACKEND, .roles = roles, .role_count = ARRAY_LENGTH(roles)
};
static struct config config = { .workers = 2, .node = { .name = (char[]){ "sv1" } } };
static struct child child;

static int make_board(void **unused)
{
    struct board_slot *slot;

    (void)unused;
    child = (struct child){ .program = &frontend, .config = &config, .board = board_new() };
    atomic_store(&child.board->generation, 1);
    slot = board_take_slot(child.board);
    atomic_store(&slot->pid, 1);
    atomic_store(&slot->role, 2);
    atomic_store(&slot->generation, 1);
    atomic_store(&slot->is_ready, 1);
    board_count(slot, BOARD_LOGINS, 5);
    return 0;
}

static int free_board(void **unused)
{
    (void)unused;
    event_counts_follow_log(NULL);
    board_free(child.board);
    return 0;
}

static const char *page(void)
{
    json_t *samples = json_array();

    metrics_add_board(samples, &child);
    return text_of(samples);
}

static void test_the_board_shows_all_counters_and_the_processes_that_are_missing(void **unused)
{
    const char *text = page();

    (void)unused;
    assert_non_null(strstr(text, "\nmailstead_logins_total{result=\"accepted\"} 5\n"));
    assert_non_null(strstr(text, "\nmailstead_recipients_total{result=\"limited\"} 0\n"));
    assert_non_null(
        strstr(text, "mailstead_process_up{role=\"worker\",number=\"0\",generation=\"1\"} 1\n"));
    assert_non_null(
        strstr(text, "mailstead_process_up{role=\"worker\",number=\"1\",generation=\"1\"} 0\n"));
    assert_non_null(
        strstr(text, "mailstead_process_up{role=\"queue\",number=\"0\",generation=\"1\"} 0\n"));
    assert_null(strstr(text, "mailstead_node_state"));
}

static void test_no_counter_of_the_board_is_left_out(void **unused)
{
    (void)unused;
    for (int i = 0; i < BOARD_COUNTERS; i++) {
        char number[32];

        board_count(&child.board->retired, i, 1000003 + i * 1009);
        snprintf(number, sizeof(number), " %d\n", 1000003 + i * 1009 + (i == BOARD_LOGINS ? 5 : 0));
        if (!strstr(page(), number))
            fail_msg("%s has no metric", board_counter_names[i]);
    }
}

static void test_a_node_shows_its_state_and_its_storages(void **unused)
{
    const char *text;

    (void)unused;
    child.program = &backend;
    atomic_store(&child.board->node.order, NODE_ORDER_LEAVE);
    atomic_store(&node_board_storage(child.board, "sv1")->state, STORAGE_FAILED);
    text = page();
    assert_non_null(strstr(text, "mailstead_node_state{state=\"leaving\"} 1\n"));
    assert_non_null(strstr(text, "mailstead_node_state{state=\"serving\"} 0\n"));
    assert_non_null(strstr(text, "mailstead_storage_state{state=\"failed\",server=\"sv1\"} 1\n"));
}

static void test_warnings_of_all_processes_are_counted_by_name_and_the_rest_is_not(void **unused)
{
    const char *text;
    int status;

    (void)unused;
    event_counts_follow_log(&child.board->events);
    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "test_warned");
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "test_told");
    if (fork() == 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "test_warned");
        _exit(0);
    }
    wait(&status);
    text = page();
    assert_non_null(strstr(text, "mailstead_events_total{event=\"test_warned\"} 2\n"));
    assert_non_null(
        strstr(text, "mailstead_event_last_timestamp_seconds{event=\"test_warned\"} 1"));
    assert_null(strstr(text, "test_told"));
}

static void test_a_full_table_of_events_counts_those_that_it_has(void **unused)
{
    struct event_counts *counts = &child.board->events;
    char name[32];

    (void)unused;
    for (int i = 0; i < EVENT_COUNTS_ROWS + 10; i++) {
        snprintf(name, sizeof(name), "event_%d", i);
        event_counts_add(counts, name);
    }
    event_counts_add(counts, "event_0");
    assert_non_null(strstr(page(), "mailstead_events_total{event=\"event_0\"} 2\n"));
}

/* --- health ------------------------------------------------------------------------------------
 */

static void assert_reasons(const char *expected)
{
    json_t *reasons = admin_health_reasons(&child);
    char *text = json_dumps(reasons, JSON_COMPACT);

    assert_string_equal(text, expected);
    free(text);
    json_decref(reasons);
}

static void test_a_frontend_serves_from_the_mirror_of_its_last_life(void **unused)
{
    (void)unused;
    assert_reasons("[\"mirror never synchronised\"]");
    atomic_store(&child.board->mirror_revision, 7);
    assert_reasons("[]");
    atomic_store(&child.board->queue_is_refusing, 1);
    atomic_store(&child.board->drain_deadline_ms, 1);
    atomic_store(&child.board->slots[0].is_draining, 1);
    assert_reasons("[\"drained\",\"queue cannot be written\",\"no worker is ready\"]");
}

static void test_a_node_needs_the_directory_or_an_order_and_its_storage(void **unused)
{
    struct board_storage *storage;

    (void)unused;
    child.program = &backend;
    atomic_store(&child.board->mirror_revision, 7);
    atomic_store(&child.board->node.order, NODE_ORDER_SERVE);
    assert_reasons("[\"mirror never synchronised\"]");
    atomic_store(&child.board->node.is_overridden, 1);
    assert_reasons("[]");
    (void)node_board_storage(child.board, "sv2");
    assert_reasons("[]");
    storage = node_board_storage(child.board, "sv1");
    assert_reasons("[\"storage of sv1 is not attached\"]");
    atomic_store(&storage->state, STORAGE_ATTACHED);
    atomic_store(&storage->valid_until_ms, UINT64_MAX);
    assert_reasons("[]");
    atomic_store(&child.board->node.order, NODE_ORDER_LEAVE);
    assert_reasons("[\"node leaves\"]");
    atomic_store(&child.board->node.has_left, 1);
    assert_reasons("[\"node has left\"]");
}

/* --- roles --------------------------------------------------------------------------------------
 */

static void test_a_command_that_changes_something_needs_the_role_operate(void **unused)
{
    (void)unused;
    assert_int_equal(admin_role_for("status"), ADMIN_ROLE_READ);
    assert_int_equal(admin_role_for("queue-list"), ADMIN_ROLE_READ);
    assert_int_equal(admin_role_for("queue-delete"), ADMIN_ROLE_OPERATE);
    assert_int_equal(admin_role_for("node-leave"), ADMIN_ROLE_OPERATE);
    assert_int_equal(admin_role_for("status "), ADMIN_ROLE_NONE);
    assert_int_equal(admin_role_for(""), ADMIN_ROLE_NONE);
}

static void test_a_name_has_the_best_role_that_lists_it_exactly(void **unused)
{
    char *readers[] = { (char[]){ "ann" }, (char[]){ "bob" } };
    char *operators[] = { (char[]){ "bob" } };
    const struct admin_port_config port = { .read = { readers, 2 }, .operate = { operators, 1 } };

    (void)unused;
    assert_int_equal(admin_role_of(&port, "ann"), ADMIN_ROLE_READ);
    assert_int_equal(admin_role_of(&port, "bob"), ADMIN_ROLE_OPERATE);
    assert_int_equal(admin_role_of(&port, "Bob"), ADMIN_ROLE_NONE);
    assert_int_equal(admin_role_of(&port, ""), ADMIN_ROLE_NONE);
}

#define WITH_BOARD(test) cmocka_unit_test_setup_teardown(test, make_board, free_board)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_a_counter_a_gauge_with_a_unit_and_an_info_are_written_as_the_standard_wants),
        cmocka_unit_test(test_label_values_are_escaped_and_what_is_no_utf8_is_shown_as_such),
        cmocka_unit_test(test_what_is_no_sample_is_left_out_and_of_two_alike_the_second),
        cmocka_unit_test(test_a_page_that_is_full_says_so),
        cmocka_unit_test(test_each_family_is_named_as_the_standard_wants_and_only_once),
        WITH_BOARD(test_the_board_shows_all_counters_and_the_processes_that_are_missing),
        WITH_BOARD(test_no_counter_of_the_board_is_left_out),
        WITH_BOARD(test_a_node_shows_its_state_and_its_storages),
        WITH_BOARD(test_warnings_of_all_processes_are_counted_by_name_and_the_rest_is_not),
        WITH_BOARD(test_a_full_table_of_events_counts_those_that_it_has),
        WITH_BOARD(test_a_frontend_serves_from_the_mirror_of_its_last_life),
        WITH_BOARD(test_a_node_needs_the_directory_or_an_order_and_its_storage),
        cmocka_unit_test(test_a_command_that_changes_something_needs_the_role_operate),
        cmocka_unit_test(test_a_name_has_the_best_role_that_lists_it_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
