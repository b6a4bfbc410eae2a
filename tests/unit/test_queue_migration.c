/* SPDX-License-Identifier: Apache-2.0 */
/* Queues that older programs wrote: nothing in them is lost, and nothing is wanted that was not. */
#include "tests/unit/queue_store_support.h"

#include <sqlite3.h>
#include <sys/stat.h>

#define SCHEMA_1                                                                                   \
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"                                 \
    "CREATE TABLE message(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,"         \
    "  reverse_path TEXT NOT NULL, body_8bit INTEGER NOT NULL, may_relay INTEGER NOT NULL,"        \
    "  size INTEGER NOT NULL, arrival INTEGER NOT NULL, body_file TEXT, body BLOB);"               \
    "CREATE INDEX message_file ON message(body_file) WHERE body_file IS NOT NULL;"                 \
    "CREATE TABLE recipient(id INTEGER PRIMARY KEY, state INTEGER NOT NULL, destination TEXT,"     \
    "  next_attempt INTEGER NOT NULL, not_before INTEGER NOT NULL, attempts INTEGER NOT NULL,"     \
    "  address TEXT NOT NULL, reply TEXT NOT NULL);"                                               \
    "CREATE INDEX recipient_due ON recipient(destination, next_attempt) WHERE state = 0;"          \
    "PRAGMA application_id = 1836282229; PRAGMA user_version = 1;"

#define SCHEMA_2                                                                                   \
    "ALTER TABLE recipient ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;"                           \
    "ALTER TABLE recipient ADD COLUMN notify INTEGER NOT NULL DEFAULT 0;"                          \
    "CREATE INDEX message_arrival ON message(arrival);"                                            \
    "CREATE TABLE adopted(source TEXT NOT NULL, message INTEGER NOT NULL,"                         \
    "  PRIMARY KEY(source, message)) WITHOUT ROWID; PRAGMA user_version = 2;"

/*
 * Message 7 in the row, 8 in a file.  Of 7: one that waits and whose reply was lost, one that is
 * held for want of a relay host, one that was set aside.  Of 8: one that waits.
 */
#define MESSAGES                                                                                   \
    "INSERT INTO message VALUES(7, 'seven', 'from@x', 1, 1, 5, 1000, NULL, x'68656c6c6f');"        \
    "INSERT INTO message VALUES(8, 'eight', '', 0, 0, 4, 2000, 'file', NULL);"
#define ROW(message, ordinal, rest)                                                                \
    "INSERT INTO recipient VALUES((" #message " << 20) + " #ordinal ", " rest ");"
#define RECIPIENTS(unknown, relay, none)                                                           \
    ROW(7, 0, "0, 'sv1', 500, 400, 3, 'a@x', '451 later'" unknown)                                 \
    ROW(7, 1, "1, '', 500, 0, 1, 'b@x', 'no relay host'" relay)                                    \
    ROW(7, 2, "2, 'sv1', 500, 0, 0, 'c@x', ''" none)                                               \
    ROW(8, 0, "0, 'sv1', 600, 0, 0, 'd@x', ''" none)

struct seen {
    unsigned count;
    unsigned states[4], flags[4];
    char addresses[8];
};

static void write_queue(const char *sql)
{
    char path[400];
    sqlite3 *db = NULL;

    snprintf(path, sizeof(path), "%s/queue.db", queue_store_folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    snprintf(path, sizeof(path), "%s/bodies", queue_store_folder);
    assert_int_equal(mkdir(path, 0700), 0);
    queue_store_write_file("bodies/file", "file");
}

static void see(void *context, const struct store_view *view)
{
    struct seen *seen = context;

    assert_true(seen->count < 4);
    assert_int_equal(view->recipient.notify, 0);
    assert_int_equal(view->recipient.orcpt.length, 0);
    assert_int_equal(view->envid.length, 0);
    assert_int_equal(view->ret, 0);
    assert_false(view->is_utf8);
    assert_int_equal(view->arrival_ms, view->session_id.data[0] == 's' ? 1000 : 2000);
    seen->states[seen->count] = view->recipient.state;
    seen->flags[seen->count] = view->recipient.flags;
    seen->addresses[seen->count++] = view->recipient.address.data[0];
}

static void assert_all_is_there(void)
{
    struct store_due due = queue_store_due("sv1", 1000);
    struct store *store = queue_store_open();
    struct seen seen = { 0 };
    struct store_job *job;
    struct list jobs;
    int64_t next;

    list_init(&jobs);
    assert_int_equal(store_counts(store).messages, 2);
    assert_int_equal(store_counts(store).recipients, 4);
    queue_store_begin(store);
    assert_true(store_look(store, 0, INT64_MAX, 10, true, see, &seen));
    assert_string_equal(seen.addresses, "abcd");
    assert_memory_equal(seen.states, ((unsigned[]){ 0, 1, 2, 0 }), sizeof(seen.states));
    assert_memory_equal(seen.flags, ((unsigned[]){ STORE_IS_UNKNOWN, STORE_NEEDS_RELAY, 0, 0 }),
                        sizeof(seen.flags));
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    job = queue_store_first_job(&jobs);
    assert_int_equal(job->row_count, 1);
    assert_span(job->rows[0].address, "a@x");
    assert_span(job->content.body, "hello");
    assert_span(job->content.reverse_path, "from@x");
    assert_true(job->content.body_8bit && job->content.may_relay);
    job = LIST_ELEMENT(jobs.next->next, struct store_job, node);
    assert_string_equal(job->content.body_file, "file");
    assert_int_equal(job->content.reverse_path.length, 0);
    assert_int_equal(queue_store_free_jobs(&jobs), 2);
    assert_true(store_commit(store));
    store_close(store);
}

static void a_queue_of_the_first_schema_is_read(void **unused)
{
    (void)unused;
    write_queue(SCHEMA_1 MESSAGES RECIPIENTS("", "", ""));
    assert_all_is_there();
    assert_all_is_there();
}

static void a_queue_of_the_second_schema_is_read(void **unused)
{
    (void)unused;
    write_queue(SCHEMA_1 SCHEMA_2 MESSAGES RECIPIENTS(", 1, 0", ", 4, 0", ", 0, 0"));
    assert_all_is_there();
    assert_all_is_there();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_STORE_TEST(a_queue_of_the_first_schema_is_read),
        QUEUE_STORE_TEST(a_queue_of_the_second_schema_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
