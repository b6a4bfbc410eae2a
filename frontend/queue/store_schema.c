/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema of queue.db and its migrations, forward only.  A newer file is refused
 * before anything in it is touched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "frontend/queue/store_private.h"

/* "msqu": so that some other database is never taken for a queue. */
#define STORE_APPLICATION_ID "1836282229"

/* Faster than a queue could take messages in for long, and small enough until the year 2106. */
enum { IDS_PER_SECOND = 2048 };

/* migrations[n] brings version n to n + 1. */
static const char *const migrations[STORE_SCHEMA_VERSION] = {
    /*
     * AUTOINCREMENT: a worker may send a result again after a restart, so a row number
     * must never come back.  The body is the last column: all else is read without it.
     */
    "CREATE TABLE message("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  session_id TEXT NOT NULL, reverse_path TEXT NOT NULL,"
    "  body_8bit INTEGER NOT NULL, may_relay INTEGER NOT NULL,"
    "  size INTEGER NOT NULL, arrival INTEGER NOT NULL,"
    "  body_file TEXT, body BLOB);"
    "CREATE INDEX message_file ON message(body_file) WHERE body_file IS NOT NULL;"
    /* id: the message's shifted by 20 bits, and the ordinal; so no index by message is needed. */
    "CREATE TABLE recipient("
    "  id INTEGER PRIMARY KEY,"
    "  state INTEGER NOT NULL, destination TEXT,"
    "  next_attempt INTEGER NOT NULL, not_before INTEGER NOT NULL,"
    "  attempts INTEGER NOT NULL, address TEXT NOT NULL, reply TEXT NOT NULL);"
    "CREATE INDEX recipient_due ON recipient(destination, next_attempt) WHERE state = 0;"
    "PRAGMA application_id = " STORE_APPLICATION_ID ";",
    /*
     * A recipient that was to wait had a reply that was lost; one that was held was a report
     * without a relay host.  What another queue still has of what was adopted from it is in
     * `adopted`.
     */
    "ALTER TABLE recipient ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE recipient ADD COLUMN notify INTEGER NOT NULL DEFAULT 0;"
    "UPDATE recipient SET flags = 1 WHERE state = 0 AND not_before > 0;"
    "UPDATE recipient SET flags = 4 WHERE state = 1;"
    "CREATE INDEX message_arrival ON message(arrival);"
    "CREATE TABLE adopted(source TEXT NOT NULL, message INTEGER NOT NULL,"
    "  PRIMARY KEY(source, message)) WITHOUT ROWID;",
    /* Behind the body, since columns can only be added there: what lists are made of is before it.
     */
    "ALTER TABLE message ADD COLUMN is_utf8 INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE message ADD COLUMN ret INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE message ADD COLUMN envid TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE recipient ADD COLUMN orcpt TEXT NOT NULL DEFAULT '';"
};

/* The columns of a recipient that a struct store_view is made of, in visit_row's order. */
#define VIEW_COLUMNS                                                                               \
    "r.id, r.state, r.destination, r.next_attempt, r.not_before, r.attempts, r.address, r.reply,"  \
    " r.flags, r.notify, r.orcpt"

static const char *const statements[STORE_SQL_STATEMENTS] = {
    [STORE_SQL_BEGIN] = "BEGIN",
    [STORE_SQL_COMMIT] = "COMMIT",
    [STORE_SQL_ADD_MESSAGE] =
        "INSERT INTO message(session_id, reverse_path, body_8bit, may_relay, size, arrival,"
        " body_file, body, is_utf8, ret, envid) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [STORE_SQL_ADD_RECIPIENT] =
        "INSERT INTO recipient(id, state, destination, next_attempt, not_before, attempts, address,"
        " reply, flags, notify, orcpt) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [STORE_SQL_REMOVE_RECIPIENT] = "DELETE FROM recipient WHERE id = ?",
    [STORE_SQL_HAS_RECIPIENT] = "SELECT 1 FROM recipient WHERE id BETWEEN ? AND ? LIMIT 1",
    [STORE_SQL_STATE] = "SELECT state FROM recipient WHERE id = ?",
    [STORE_SQL_REMOVE_MESSAGE] = "DELETE FROM message WHERE id = ? RETURNING body_file",
    [STORE_SQL_REMOVE_RECIPIENTS] = "DELETE FROM recipient WHERE id BETWEEN ? AND ?",
    [STORE_SQL_DEFER] =
        "UPDATE recipient SET next_attempt = ?2, not_before = ?3, reply = ?4,"
        " flags = (flags & ~1) | ?5, attempts = attempts + 1 WHERE id = ?1 AND state = 0",
    [STORE_SQL_MOVE] = "UPDATE recipient SET destination = ?2, next_attempt = max(?3, not_before)"
                       " WHERE id = ?1 AND state = 0",
    [STORE_SQL_SET_STATE] = "UPDATE recipient SET state = ?2, flags = flags | ?3,"
                            " reply = coalesce(?4, reply) WHERE id = ?1",
    [STORE_SQL_RELEASE] = "UPDATE recipient SET state = 0, flags = flags & ~4,"
                          " next_attempt = max(?2, not_before) WHERE id = ?1 AND state <> 0",
    [STORE_SQL_RELEASE_FOR_RELAY] = "UPDATE recipient SET state = 0, flags = flags & ~4,"
                                    " next_attempt = ? WHERE state = 1 AND flags & 4",
    [STORE_SQL_MAKE_DUE] = "UPDATE recipient SET next_attempt = min(next_attempt, ?2),"
                           " not_before = 0 WHERE id = ?1 AND state = 0",
    [STORE_SQL_SET_FLAG] = "UPDATE recipient SET flags = flags | ?2 WHERE id = ?1",
    [STORE_SQL_DUE] = "SELECT id, address, notify, orcpt FROM recipient INDEXED BY recipient_due"
                      " WHERE state = 0 AND destination IS ?1 AND next_attempt <= ?2 AND id < ?3"
                      " ORDER BY next_attempt, id",
    [STORE_SQL_NEXT_DUE] = "SELECT min(next_attempt) FROM recipient INDEXED BY recipient_due"
                           " WHERE state = 0 AND destination IS ?1 AND next_attempt > ?2",
    [STORE_SQL_MESSAGE] = "SELECT session_id, reverse_path, body_8bit, may_relay, size, arrival,"
                          " body_file, length(body), substr(body, 1, ?2), is_utf8, ret, envid"
                          " FROM message WHERE id = ?1",
    [STORE_SQL_SCAN] = "SELECT " VIEW_COLUMNS " FROM recipient r"
                       " WHERE r.id > ?1 AND r.id <= ?2 AND (NOT ?3 OR r.state = 0)"
                       " ORDER BY r.id LIMIT ?4",
    [STORE_SQL_LOOK] = "SELECT " VIEW_COLUMNS ", m.session_id, m.reverse_path, m.size, m.arrival,"
                       " CASE WHEN ?4 THEN m.is_utf8 END, CASE WHEN ?4 THEN m.ret END,"
                       " CASE WHEN ?4 THEN m.envid END"
                       " FROM recipient r LEFT JOIN message m ON m.id = r.id >> 20"
                       " WHERE r.id > ?1 AND r.id <= ?2 ORDER BY r.id LIMIT ?3",
    [STORE_SQL_ARRIVAL] = "SELECT max(id) FROM message WHERE arrival < ?",
    [STORE_SQL_OLD] = "SELECT arrival, id FROM message WHERE (arrival, id) > (?1, ?2)"
                      " AND arrival < ?3 ORDER BY arrival, id LIMIT ?4",
    [STORE_SQL_PULL_BACK] =
        "UPDATE recipient SET next_attempt = ?1 WHERE state = 0 AND next_attempt > ?2",
    [STORE_SQL_DESTINATIONS] = "SELECT destination, min(next_attempt) FROM recipient"
                               " INDEXED BY recipient_due WHERE state = 0 GROUP BY destination",
    [STORE_SQL_COUNT_DESTINATIONS] =
        "SELECT destination, count(*), min(next_attempt) FROM recipient"
        " INDEXED BY recipient_due WHERE state = 0 GROUP BY destination",
    [STORE_SQL_OLDEST] = "SELECT min(arrival) FROM message",
    [STORE_SQL_NOTE_ADOPTED] = "INSERT INTO adopted(source, message) VALUES(?, ?)",
    [STORE_SQL_FIND_ADOPTED] =
        "SELECT message FROM adopted WHERE source = ? ORDER BY message LIMIT ?",
    [STORE_SQL_FORGET_ADOPTED] = "DELETE FROM adopted WHERE source = ?",
    [STORE_SQL_NAMES_FILE] = "SELECT 1 FROM message WHERE body_file = ?",
    [STORE_SQL_FREE_PAGES] =
        "SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count",
};

static bool execute(struct store *store, const char *sql, int *result)
{
    *result = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return *result == SQLITE_OK;
}

/* The single integer of a PRAGMA. */
static bool read_number(struct store *store, const char *sql, int64_t *number, int *result)
{
    sqlite3_stmt *statement = NULL;

    *result = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (*result == SQLITE_OK)
        *result = sqlite3_step(statement);
    if (*result == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else if (*result == SQLITE_DONE)
        *result = SQLITE_ERROR;
    sqlite3_finalize(statement);
    return *result == SQLITE_ROW;
}

/*
 * Message ids of a new file start at a number made of the date: a result that a worker still holds
 * for a queue.db that was set aside must not meet a row of this one.
 */
static bool seed_ids(struct store *store, int *result)
{
    char sql[96];

    snprintf(sql, sizeof(sql), "INSERT INTO sqlite_sequence(name, seq) VALUES('message', %lld)",
             (long long)(clock_wall_ms() / 1000 * IDS_PER_SECOND));
    return execute(store, sql, result);
}

static bool migrate_one(struct store *store, int64_t version, int *result)
{
    char sql[64];

    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d; COMMIT", (int)version + 1);
    return execute(store, "BEGIN IMMEDIATE", result) &&
           execute(store, migrations[version], result) &&
           (version > 0 || seed_ids(store, result)) && execute(store, sql, result);
}

static bool migrate(struct store *store, int64_t version, int *result)
{
    if (version == 0 && !execute(store, "PRAGMA auto_vacuum = INCREMENTAL", result))
        return false;
    if (!execute(store,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF;"
                 "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA "
                 "wal_autocheckpoint = 4000;"
                 "PRAGMA journal_size_limit = 67108864",
                 result))
        return false;
    for (; version < STORE_SCHEMA_VERSION; version++)
        if (!migrate_one(store, version, result))
            return false;
    return true;
}

static bool prepare(struct store *store, int *result)
{
    for (int i = 0; i < STORE_SQL_STATEMENTS; i++) {
        *result = sqlite3_prepare_v3(store->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                     &store->statements[i], NULL);
        if (*result != SQLITE_OK)
            return false;
    }
    return true;
}

static int note_wal_frames(void *context, sqlite3 *db, const char *name, int frames)
{
    struct store *store = context;

    (void)db, (void)name;
    store->wal_frames = frames;
    return SQLITE_OK;
}

/* The counts, from the rows themselves: a sum kept in the file would cost a page a commit. */
static bool count(struct store *store, int *result)
{
    sqlite3_stmt *statement = NULL;
    uint64_t last = 0;

    store->counts = (struct store_counts){ 0 };
    *result = sqlite3_prepare_v2(store->db, "SELECT id, state FROM recipient ORDER BY id", -1,
                                 &statement, NULL);
    while (*result == SQLITE_OK || *result == SQLITE_ROW) {
        *result = sqlite3_step(statement);
        if (*result == SQLITE_ROW) {
            uint64_t message = STORE_ROW_MESSAGE(sqlite3_column_int64(statement, 0));
            int state = sqlite3_column_int(statement, 1);

            store->counts.messages += message != last;
            store->counts.recipients++;
            store->counts.held += state == STORE_HELD;
            store->counts.set_aside += state == STORE_SET_ASIDE;
            last = message;
        }
    }
    sqlite3_finalize(statement);
    return *result == SQLITE_DONE;
}

static enum store_schema_result refuse_newer(int64_t version, char error[STORE_ERROR_SIZE])
{
    snprintf(error, STORE_ERROR_SIZE,
             "queue.db has schema version %lld, and this program knows none above %d: start the "
             "newer program",
             (long long)version, STORE_SCHEMA_VERSION);
    return STORE_SCHEMA_NEWER;
}

static bool open_file(struct store *store, int *result)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/queue.db", store->directory);
    *result = sqlite3_open_v2(
        path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (*result != SQLITE_OK || !store->db)
        return false;
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_wal_hook(store->db, note_wal_frames, store);
    /* Exclusive before the first access: the WAL's index is then in our memory, not in a file. */
    return execute(store, "PRAGMA locking_mode = EXCLUSIVE", result);
}

static enum store_schema_result fail(struct store *store, int result, char error[STORE_ERROR_SIZE])
{
    int primary = result & 0xff;

    snprintf(error, STORE_ERROR_SIZE, "queue.db: %s",
             store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(result));
    store_schema_close(store, false);
    return primary == SQLITE_NOTADB || primary == SQLITE_CORRUPT ? STORE_SCHEMA_UNREADABLE
                                                                 : STORE_SCHEMA_FAILED;
}

enum store_schema_result store_schema_open(struct store *store, char error[STORE_ERROR_SIZE])
{
    int64_t version = 0, application = 0, tables = 0;
    int result = SQLITE_OK;

    if (!open_file(store, &result) ||
        !read_number(store, "PRAGMA user_version", &version, &result) ||
        !read_number(store, "PRAGMA application_id", &application, &result) ||
        !read_number(store, "SELECT count(*) FROM sqlite_schema", &tables, &result))
        return fail(store, result, error);
    if (version > STORE_SCHEMA_VERSION) {
        store_schema_close(store, false);
        return refuse_newer(version, error);
    }
    if (tables > 0 && application != strtoll(STORE_APPLICATION_ID, NULL, 10)) {
        store_schema_close(store, false);
        snprintf(error, STORE_ERROR_SIZE, "queue.db is the database of another program");
        return STORE_SCHEMA_NEWER;
    }
    if (!migrate(store, version, &result) || !prepare(store, &result) ||
        !(store->is_foreign || count(store, &result)))
        return fail(store, result, error);
    return STORE_SCHEMA_READY;
}

void store_schema_close(struct store *store, bool checkpoint)
{
    for (int i = 0; i < STORE_SQL_STATEMENTS; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    if (checkpoint)
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    sqlite3_close_v2(store->db);
    store->db = NULL;
}
