/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/queue_process_support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/base/log.h"

static void test_a_stored_message_is_delivered_and_gone(void **state)
{
    struct queue_rig *rig = *state;

    queue_rig_store(rig, 1, "a@x", 1, SPAN_LITERAL("Subject: x\r\n\r\nbody\r\n"));
    WAIT_FOR(rig, rig->stored == 1);
    WAIT_FOR(rig, rig->delivered == 1 && queue_client_unfinished(rig->client) == 0);
    assert_int_equal(queue_rig_messages(rig), 0);
    assert_string_equal(rig->last_recipient, "a@x@sv1");
    assert_string_equal(rig->last_body, "Subject: x\r\n\r\nbody\r\n");
}

static void test_a_large_body_travels_as_a_file(void **state)
{
    struct queue_rig *rig = *state;
    char *body = memory_new(200000);

    memset(body, 'z', 200000);
    rig->holds_deliveries = true;
    queue_rig_store(rig, 1, "a@x", 1, span_of(body, 200000));
    WAIT_FOR(rig, rig->delivered == 1);
    assert_int_equal(rig->last_body_length, 200000);
    assert_int_equal(rig->last_body[10], 'z');
    assert_false(queue_rig_is_empty(rig, "bodies"));
    queue_rig_finish_held(rig);
    WAIT_FOR(rig, queue_client_unfinished(rig->client) == 0);
    assert_true(queue_rig_is_empty(rig, "bodies"));
    assert_true(queue_rig_is_empty(rig, "incoming"));
    free(body);
}

static void test_a_file_of_the_worker_is_taken_over(void **state)
{
    struct queue_rig *rig = *state;
    struct queue_recipient recipient = { .address = SPAN_LITERAL("b@x") };
    char name[QUEUE_FILE_NAME_SIZE];
    struct queue_store message = { .session_id = SPAN_LITERAL("1"),
                                   .reverse_path = SPAN_LITERAL("sender@x"),
                                   .recipients = &recipient,
                                   .recipient_count = 1,
                                   .file_name = name };
    int fd = queue_incoming_create(&rig->config, name);

    assert_true(fd >= 0);
    message.fd = fd;
    assert_int_equal(write(fd, "small", 5), 5);
    queue_rig_send(rig, 1, &message);
    WAIT_FOR(rig, rig->delivered == 1 && queue_client_unfinished(rig->client) == 0);
    assert_string_equal(rig->last_body, "small");
    assert_true(queue_rig_is_empty(rig, "bodies"));
    fd = queue_incoming_create(&rig->config, name);
    queue_incoming_discard(&rig->config, name, fd);
    assert_true(queue_rig_is_empty(rig, "incoming"));
}

static void test_many_recipients_come_in_several_messages_and_deliveries(void **state)
{
    struct queue_rig *rig = *state;
    char *body = memory_new(30000);

    memset(body, 'z', 30000);
    queue_rig_store(rig, 1, "a@x", 1000, span_of(body, 30000));
    WAIT_FOR(rig, rig->recipients == 1000);
    WAIT_FOR(rig, queue_client_unfinished(rig->client) == 0);
    assert_int_equal(rig->delivered, 1000 / QUEUE_DELIVERY_RECIPIENTS_MAX);
    assert_int_equal(rig->stored, 1);
    assert_int_equal(queue_rig_messages(rig), 0);
    free(body);
}

static void test_a_killed_queue_process_delivers_nothing_twice(void **state)
{
    struct queue_rig *rig = *state;

    rig->holds_deliveries = true;
    for (unsigned i = 1; i <= 3; i++)
        queue_rig_store(rig, i, "a@x", 1, SPAN_LITERAL("body"));
    WAIT_FOR(rig, rig->held == 3);
    queue_rig_end(rig, SIGKILL);
    WAIT_FOR(rig, !queue_client_is_connected(rig->client));
    queue_rig_finish(rig->deliveries[0]); /* its result is sent later; the other two are claimed */
    queue_rig_start(rig);
    WAIT_FOR(rig, queue_client_unfinished(rig->client) == 2);
    rig->holds_deliveries = false;
    queue_rig_store(rig, 4, "b@x", 1,
                    SPAN_LITERAL("body")); /* delivered when the waiting is over */
    WAIT_FOR(rig, rig->delivered == 4);
    queue_rig_finish(rig->deliveries[1]);
    queue_rig_finish(rig->deliveries[2]);
    WAIT_FOR(rig, queue_client_unfinished(rig->client) == 0);
    assert_int_equal(queue_rig_messages(rig), 0);
    assert_int_equal(rig->delivered, 4);
}

static void test_what_was_acknowledged_survives_kills_at_random(void **state)
{
    struct queue_rig *rig = *state;
    unsigned number = 0, lost = 0;

    log_set_level(LOG_LEVEL_ERROR);
    for (int round = 0; round < 8; round++) {
        size_t answers = rig->stored + rig->refused;
        unsigned until = 10 + (unsigned)round * 7;

        for (int i = 0; i < 100; i++)
            queue_rig_store(rig, ++number, i % 2 ? "a@x" : "b@x", 1, SPAN_LITERAL("body"));
        WAIT_FOR(rig, rig->stored + rig->refused >= answers + until);
        queue_rig_end(rig, SIGKILL);
        WAIT_FOR(rig, !queue_client_is_connected(rig->client));
        assert_int_equal(rig->stored + rig->refused, answers + 100);
        queue_rig_start(rig);
        WAIT_FOR(rig, queue_client_is_connected(rig->client));
    }
    queue_rig_store(rig, ++number, "a@x", 1, SPAN_LITERAL("the last"));
    WAIT_FOR(rig, rig->seen[number] > 0);
    WAIT_FOR(rig, queue_rig_messages(rig) == 0 && queue_client_unfinished(rig->client) == 0);
    log_set_level(LOG_LEVEL_WARNING);
    for (unsigned i = 1; i <= number; i++) {
        lost += rig->accepted[i] && rig->seen[i] == 0;
        assert_true(rig->seen[i] <= 1); /* the worker answered every delivery */
    }
    assert_int_equal(lost, 0);
    assert_true(rig->stored > 80);
}

/* Overwrites the root of the index by which due recipients are found; the process does not run. */
static void damage_index(const struct queue_rig *rig)
{
    char path[128], garbage[4096];
    sqlite3 *db;
    sqlite3_stmt *statement;
    int64_t page;
    int fd;

    memset(garbage, 0xee, sizeof(garbage));
    snprintf(path, sizeof(path), "%s/queue.db", rig->queue_folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT rootpage FROM sqlite_schema"
                                        " WHERE name = 'recipient_due'",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    page = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, garbage, sizeof(garbage), (page - 1) * 4096), sizeof(garbage));
    close(fd);
}

static void test_what_can_be_read_of_a_damaged_database_comes_back(void **state)
{
    enum { MESSAGES = 250 };
    struct queue_rig *rig = *state;
    char *body = memory_new(50000);

    log_set_level(LOG_LEVEL_ERROR + 1);
    queue_client_set_slots(rig->client, 0);
    for (unsigned i = 1; i <= MESSAGES; i++)
        queue_rig_store(rig, i, "a@x", 1, i == 7 ? span_of(body, 50000) : SPAN_LITERAL("body"));
    WAIT_FOR(rig, rig->stored == MESSAGES);
    queue_rig_end(rig, SIGTERM);
    WAIT_FOR(rig, !queue_client_is_connected(rig->client));
    damage_index(rig);
    queue_client_set_slots(rig->client, 10);
    queue_rig_start(rig);
    WAIT_FOR(rig, rig->delivered == MESSAGES);
    WAIT_FOR(rig, queue_rig_messages(rig) == 0 && queue_client_unfinished(rig->client) == 0);
    for (unsigned i = 1; i <= MESSAGES; i++)
        assert_int_equal(rig->seen[i], 1);
    log_set_level(LOG_LEVEL_WARNING);
    free(body);
}

static void test_it_ends_cleanly_and_then_nothing_is_stored(void **state)
{
    struct queue_rig *rig = *state;
    int status;

    queue_rig_store(rig, 1, "a@x", 1, SPAN_LITERAL("body"));
    WAIT_FOR(rig, rig->stored == 1 && queue_client_unfinished(rig->client) == 0);
    status = queue_rig_end(rig, SIGTERM);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    WAIT_FOR(rig, !queue_client_is_connected(rig->client));
    queue_rig_store(rig, 2, "a@x", 1, SPAN_LITERAL("body"));
    assert_int_equal(rig->refused, 0); /* never from inside the call */
    WAIT_FOR(rig, rig->refused == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_RIG_TEST(test_a_stored_message_is_delivered_and_gone),
        QUEUE_RIG_TEST(test_a_large_body_travels_as_a_file),
        QUEUE_RIG_TEST(test_a_file_of_the_worker_is_taken_over),
        QUEUE_RIG_TEST(test_many_recipients_come_in_several_messages_and_deliveries),
        QUEUE_RIG_TEST(test_a_killed_queue_process_delivers_nothing_twice),
        QUEUE_RIG_TEST(test_what_was_acknowledged_survives_kills_at_random),
        QUEUE_RIG_TEST(test_what_can_be_read_of_a_damaged_database_comes_back),
        QUEUE_RIG_TEST(test_it_ends_cleanly_and_then_nothing_is_stored),
    };

    log_set_level(LOG_LEVEL_WARNING);
    return cmocka_run_group_tests_name("queue process", tests, NULL, NULL);
}
