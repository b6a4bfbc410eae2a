/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/queue_store_support.h"

#include <sqlite3.h>

#include "tests/unit/fault.h"

/* The queue's database as sqlite has it; no store is open. */
static sqlite3 *open_database(void)
{
    char path[400];
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/queue.db", queue_store_folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static void set_version(int version)
{
    char sql[64];
    sqlite3 *db = open_database();

    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_a_newer_database_is_refused_and_not_damaged(void **unused)
{
    struct store *store = queue_store_open();
    char error[STORE_ERROR_SIZE];
    uint64_t id;

    (void)unused;
    queue_store_begin(store);
    assert_true(queue_store_add(store, "a", NULL, 1, "sv1", &id));
    assert_true(store_commit(store));
    store_close(store);
    set_version(STORE_SCHEMA_VERSION + 1);
    assert_null(store_open(queue_store_folder, &fault_system, error));
    assert_non_null(strstr(error, "newer"));
    set_version(STORE_SCHEMA_VERSION);
    store = queue_store_open();
    assert_int_equal(store_counts(store).messages, 1);
    store_close(store);
}

static void test_an_older_database_is_brought_forward(void **unused)
{
    struct store *store = queue_store_open();
    uint64_t id;
    sqlite3 *db;

    (void)unused;
    queue_store_begin(store);
    assert_true(queue_store_add(store, "a", NULL, 3, "sv1", &id));
    assert_true(store_defer(store, STORE_ROW(id, 1), 8000, 9000, true, SPAN_EMPTY));
    assert_true(store_set_state(store, STORE_ROW(id, 2), STORE_HELD, 0, SPAN_EMPTY));
    assert_true(store_commit(store));
    store_close(store);
    db = open_database();
    assert_int_equal(sqlite3_exec(db,
                                  "ALTER TABLE recipient DROP COLUMN flags;"
                                  "ALTER TABLE recipient DROP COLUMN notify;"
                                  "ALTER TABLE recipient DROP COLUMN orcpt;"
                                  "ALTER TABLE message DROP COLUMN is_utf8;"
                                  "ALTER TABLE message DROP COLUMN ret;"
                                  "ALTER TABLE message DROP COLUMN envid;"
                                  "DROP TABLE adopted; DROP INDEX message_arrival;"
                                  "PRAGMA user_version = 1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    store = queue_store_open();
    assert_int_equal(store_counts(store).recipients, 3);
    queue_store_begin(store);
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 0)).recipient.flags, 0);
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 1)).recipient.flags, STORE_IS_UNKNOWN);
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 2)).recipient.flags, STORE_NEEDS_RELAY);
    assert_true(store_note_adopted(store, "x", 1));
    assert_true(store_commit(store));
    store_close(store);
}

/* What the program before version 3 wrote: a message in its row and one in a file. */
static const char version_2[] =
    "PRAGMA auto_vacuum = INCREMENTAL;"
    "CREATE TABLE message(  id INTEGER PRIMARY KEY AUTOINCREMENT,  session_id TEXT NOT NULL,"
    " reverse_path TEXT NOT NULL,  body_8bit INTEGER NOT NULL, may_relay INTEGER NOT NULL,"
    "  size INTEGER NOT NULL, arrival INTEGER NOT NULL,  body_file TEXT, body BLOB);"
    "INSERT INTO message VALUES(3676892665857,'session1','sender@x.example',1,0,26,1700000000000,"
    "NULL,X'5375626A6563743A206F6C640D0A0D0A6F6C6420626F64790D0A');"
    "INSERT INTO message VALUES(3676892665858,'session2','',0,1,5,1700000000000,'bodyfile1',NULL);"
    "CREATE TABLE recipient(  id INTEGER PRIMARY KEY,  state INTEGER NOT NULL, destination TEXT,"
    "  next_attempt INTEGER NOT NULL, not_before INTEGER NOT NULL,  attempts INTEGER NOT NULL,"
    " address TEXT NOT NULL, reply TEXT NOT NULL, flags INTEGER NOT NULL DEFAULT 0,"
    " notify INTEGER NOT NULL DEFAULT 0);"
    "INSERT INTO recipient VALUES(3855501403993669632,0,'sv1',1700000001000,0,2,"
    "'joe@example.org','451 4.3.0 Later',0,0);"
    "INSERT INTO recipient VALUES(3855501403993669633,1,NULL,0,0,0,'eve@example.org','',6,8);"
    "INSERT INTO recipient VALUES(3855501403994718208,0,'sv1',1700000001000,0,2,"
    "'joe@example.org','451 4.3.0 Later',0,0);"
    "CREATE INDEX message_file ON message(body_file) WHERE body_file IS NOT NULL;"
    "CREATE INDEX recipient_due ON recipient(destination, next_attempt) WHERE state = 0;"
    "CREATE INDEX message_arrival ON message(arrival);"
    "CREATE TABLE adopted(source TEXT NOT NULL, message INTEGER NOT NULL,"
    "  PRIMARY KEY(source, message)) WITHOUT ROWID;"
    "PRAGMA application_id = 1836282229; PRAGMA user_version = 2; PRAGMA journal_mode = WAL;";

static void test_a_database_of_version_2_is_brought_forward_whole(void **unused)
{
    const uint64_t first = 3676892665857, second = first + 1;
    struct store_view view;
    struct store_job *job;
    struct store *store;
    struct list jobs;
    int64_t next_due_ms;
    uint64_t id;
    sqlite3 *db;

    (void)unused;
    store_close(queue_store_open()); /* for the folders */
    queue_store_remove_file("queue.db");
    queue_store_write_file("bodies/bodyfile1", "12345");
    db = open_database();
    assert_int_equal(sqlite3_exec(db, version_2, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    store = queue_store_open();
    assert_int_equal(store_counts(store).messages, 2);
    assert_int_equal(store_counts(store).held, 1);
    queue_store_begin(store);
    view = queue_store_look(store, STORE_ROW(first, 1));
    assert_int_equal(view.recipient.flags, STORE_NEEDS_RELAY | STORE_DELAY_IS_TOLD);
    assert_int_equal(view.recipient.notify, MAIL_NOTIFY_DELAY);
    assert_int_equal(view.ret, MAIL_RETURN_UNSAID);
    assert_false(view.is_utf8);
    list_init(&jobs);
    assert_true(store_fetch_due(store,
                                &(struct store_due){ .destination = "sv1",
                                                     .now_ms = 1700000002000,
                                                     .message_before = UINT64_MAX,
                                                     .jobs_max = 100,
                                                     .rows_max = 50,
                                                     .bytes_max = 1 << 20 },
                                &jobs, &next_due_ms));
    job = queue_store_first_job(&jobs);
    assert_span(job->content.body, "Subject: old\r\n\r\nold body\r\n");
    assert_span(job->content.envid, "");
    assert_span(job->rows[0].orcpt, "");
    assert_int_equal(queue_store_free_jobs(&jobs), 2);
    assert_true(store_read_message(store, second, 100, &job));
    assert_string_equal(job->content.body_file, "bodyfile1");
    store_job_free(job);
    assert_true(queue_store_add(store, "new", NULL, 1, "sv1", &id));
    assert_true(id > second);
    assert_true(store_commit(store));
    store_close(store);
}

static int64_t database_pages(void)
{
    sqlite3 *db = open_database();
    sqlite3_stmt *statement;
    int64_t pages;

    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA page_count", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    pages = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return pages;
}

/* Adds or removes `count` messages of 60 KB, from `first` on. */
static void change_many(struct store *store, uint64_t *first, unsigned count, bool is_adding)
{
    char *body = memory_new(60000);
    struct store_message message = { .size = 60000, .body = span_of(body, 60000) };
    struct store_recipient recipient = { .address = SPAN_LITERAL("a@x"), .destination = "sv1" };
    uint64_t id;

    queue_store_begin(store);
    for (unsigned i = 0; i < count; i++)
        if (is_adding) {
            assert_true(store_add(store, &message, &recipient, 1, false, &id));
            *first = i == 0 ? id : *first;
        } else {
            assert_true(store_remove_message(store, *first + i));
        }
    assert_true(store_commit(store));
    free(body);
}

static void test_room_is_given_back_in_slices_when_there_is_much(void **unused)
{
    struct store *store = queue_store_open();
    int64_t full, trimmed;
    uint64_t first = 0;

    (void)unused;
    change_many(store, &first, 500, true);
    store_close(store);
    full = database_pages();
    store = queue_store_open();
    change_many(store, &first, 500, false);
    queue_store_begin(store);
    assert_true(store_trim(store, 512));
    assert_true(store_commit(store));
    store_close(store);
    trimmed = database_pages();
    assert_true(trimmed <= full - 512 && trimmed > full - 600); /* a slice, and no more */
    store = queue_store_open();
    for (int i = 0; i < 20; i++) {
        queue_store_begin(store);
        assert_true(store_trim(store, 512));
        assert_true(store_commit(store));
    }
    store_close(store);
    assert_true(database_pages() < 4300); /* what is left will be used again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_STORE_TEST(test_a_newer_database_is_refused_and_not_damaged),
        QUEUE_STORE_TEST(test_an_older_database_is_brought_forward),
        QUEUE_STORE_TEST(test_a_database_of_version_2_is_brought_forward_whole),
        QUEUE_STORE_TEST(test_room_is_given_back_in_slices_when_there_is_much),
    };

    fault_install();
    return cmocka_run_group_tests_name("queue database", tests, NULL, NULL);
}
