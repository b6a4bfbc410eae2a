/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table, one open transaction at most: what is written joins it, ledger_commit ends it.  A
 * write that fails is told at the commit, which then undoes all of it; so nothing that was told to
 * us is noted before it is on disk.  A file that makes no sense is set aside: all accounts are then
 * unknown, and synchronised anew, which harms nothing.
 */
#include "backend/replica/ledger.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/memory.h"

enum { LEDGER_PATH_SIZE = 4096, LEDGER_BUSY_MS = 1000 };
#define LEDGER_VERSION "1"

#define ROW_COLUMNS "name, peer, reason, clean_ms, dirty_ms, due_ms, attempts, timeouts, why"
#define IS_BEHIND "(reason < 3 OR clean_ms = 0 OR dirty_ms > 0) AND reason < 4"

static const char ledger_schema[] =
    "CREATE TABLE account(name TEXT PRIMARY KEY, bucket INTEGER NOT NULL,"
    " peer TEXT NOT NULL DEFAULT '', reason INTEGER NOT NULL, clean_ms INTEGER NOT NULL DEFAULT 0,"
    " dirty_ms INTEGER NOT NULL DEFAULT 0, due_ms INTEGER, tried_ms INTEGER NOT NULL DEFAULT 0,"
    " attempts INTEGER NOT NULL DEFAULT 0, timeouts INTEGER NOT NULL DEFAULT 0,"
    " why TEXT NOT NULL DEFAULT '') WITHOUT ROWID;"
    "CREATE INDEX due ON account(reason, due_ms);"
    "CREATE INDEX bucket ON account(bucket);"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version=" LEDGER_VERSION;

enum ledger_statement {
    LEDGER_BEGIN,
    LEDGER_COMMIT,
    LEDGER_ROLLBACK,
    LEDGER_TOUCH,
    LEDGER_ADD,
    LEDGER_DOUBT,
    LEDGER_WRITE,
    LEDGER_SET_AWAY,
    LEDGER_REMOVE,
    LEDGER_READ,
    LEDGER_DUE,
    LEDGER_NEXT_DUE,
    LEDGER_HURRY,
    LEDGER_TOUCH_NOW,
    LEDGER_COUNT,
    LEDGER_COUNT_LEFT,
    LEDGER_BEHIND,
    LEDGER_KNOWN,
    LEDGER_META_READ,
    LEDGER_META_WRITE,
    LEDGER_STATEMENTS
};

static const char *const ledger_texts[LEDGER_STATEMENTS] = {
    [LEDGER_BEGIN] = "BEGIN IMMEDIATE",
    [LEDGER_COMMIT] = "COMMIT",
    [LEDGER_ROLLBACK] = "ROLLBACK",
    [LEDGER_TOUCH] =
        "INSERT INTO account(name, bucket, reason, dirty_ms, due_ms) VALUES(?1, ?2, 0, ?3, ?4)"
        " ON CONFLICT(name) DO UPDATE SET"
        " due_ms = CASE WHEN attempts > 0 AND reason = 0 THEN due_ms"
        "  WHEN attempts > 0 AND due_ms > ?4 THEN due_ms"
        "  WHEN reason = 0 AND due_ms < ?4 THEN due_ms ELSE ?4 END, reason = 0,"
        " dirty_ms = CASE WHEN dirty_ms = 0 THEN ?3 ELSE dirty_ms END",
    [LEDGER_ADD] =
        "INSERT INTO account(name, bucket, reason, due_ms) VALUES(?1, ?2, 1, ?3)"
        " ON CONFLICT(name) DO UPDATE SET reason = CASE WHEN clean_ms = 0 THEN 1 ELSE 2 END,"
        " due_ms = ?3 WHERE reason = 4",
    [LEDGER_DOUBT] = "UPDATE account SET reason = 2, due_ms = ?1 WHERE reason = 3",
    [LEDGER_WRITE] = "UPDATE account SET peer = ?2, reason = ?3, clean_ms = ?4, dirty_ms = ?5,"
                     " due_ms = ?6, attempts = ?7, timeouts = ?8, why = ?9,"
                     " tried_ms = CASE WHEN ?10 > 0 THEN ?10 ELSE tried_ms END"
                     " WHERE name = ?1",
    [LEDGER_SET_AWAY] = "UPDATE account SET reason = 4, due_ms = NULL, dirty_ms = 0, attempts = 0,"
                        " timeouts = 0, why = '' WHERE name = ?1",
    [LEDGER_REMOVE] = "DELETE FROM account WHERE name = ?1",
    [LEDGER_READ] = "SELECT " ROW_COLUMNS " FROM account WHERE name = ?1",
    [LEDGER_DUE] = "SELECT " ROW_COLUMNS " FROM account WHERE reason = ?1 AND due_ms <= ?2"
                   " ORDER BY due_ms LIMIT ?3",
    [LEDGER_NEXT_DUE] = "SELECT min(due_ms) FROM account WHERE reason = ?1",
    [LEDGER_HURRY] = "UPDATE account SET reason = 0, due_ms = 0 WHERE " IS_BEHIND
                     " AND (?1 IS NULL OR peer = ?1 OR peer = '')",
    [LEDGER_TOUCH_NOW] = "UPDATE account SET reason = 0, due_ms = 0 WHERE name = ?1",
    [LEDGER_COUNT] = "SELECT count(*), sum(clean_ms = 0), sum(dirty_ms > 0), sum(reason = 2),"
                     " sum(attempts > 0), min(CASE WHEN dirty_ms > 0 THEN dirty_ms END)"
                     " FROM account WHERE reason < 4",
    [LEDGER_COUNT_LEFT] = "SELECT sum(tried_ms < ?2), sum(tried_ms >= ?2 AND attempts > 0)"
                          " FROM account WHERE " IS_BEHIND " AND dirty_ms <= ?2"
                          " AND (?1 IS NULL OR peer = ?1 OR peer = '')",
    [LEDGER_BEHIND] = "SELECT " ROW_COLUMNS " FROM account WHERE name > ?1 AND " IS_BEHIND
                      " ORDER BY name LIMIT ?2",
    [LEDGER_KNOWN] = "SELECT name FROM account WHERE bucket = ?1 AND peer = ?2 AND clean_ms > 0"
                     " AND reason < 4",
    [LEDGER_META_READ] = "SELECT value FROM meta WHERE name = ?1",
    [LEDGER_META_WRITE] = "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)",
};

struct ledger {
    sqlite3 *database;
    sqlite3_stmt *statements[LEDGER_STATEMENTS];
    void (*wrote)(void *context);
    void *context;
    bool is_writing;  /* a transaction is open */
    bool has_failed;  /* in it */
    bool was_refused; /* the last commit was: told once */
};

unsigned ledger_bucket(const char *account)
{
    uint64_t hash = hash_add(HASH_START, span_from_string(account));

    return (unsigned)((hash ^ hash >> 32) % LEDGER_BUCKETS);
}

const char *ledger_state(const struct ledger_row *row)
{
    if (row->clean_ms == 0)
        return "never";
    if (row->attempts > 0)
        return "failing";
    if (row->dirty_ms > 0)
        return "dirty";
    return row->reason == LEDGER_SWEEP || row->reason == LEDGER_AWAY ? "clean" : "unsure";
}

/* --- statements ------------------------------------------------------------------------- */

/* Runs it to its end; a failure counts against the transaction. */
static void ledger_run(struct ledger *ledger, enum ledger_statement number)
{
    sqlite3_stmt *statement = ledger->statements[number];

    if (sqlite3_step(statement) != SQLITE_DONE)
        ledger->has_failed = true;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* The statement, inside a transaction. */
static sqlite3_stmt *ledger_to_write(struct ledger *ledger, enum ledger_statement number)
{
    if (!ledger->is_writing) {
        ledger->is_writing = true;
        ledger->has_failed = false;
        ledger_run(ledger, LEDGER_BEGIN);
        if (ledger->wrote)
            ledger->wrote(ledger->context);
    }
    return ledger->statements[number];
}

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT);
}

static void copy_text(sqlite3_stmt *statement, int column, char *target, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    snprintf(target, size, "%s", text ? text : "");
}

static void ledger_copy_row(sqlite3_stmt *statement, struct ledger_row *row)
{
    copy_text(statement, 0, row->account, sizeof(row->account));
    copy_text(statement, 1, row->peer, sizeof(row->peer));
    row->reason = (enum ledger_reason)sqlite3_column_int(statement, 2);
    row->clean_ms = sqlite3_column_int64(statement, 3);
    row->dirty_ms = sqlite3_column_int64(statement, 4);
    row->due_ms = sqlite3_column_int64(statement, 5);
    row->attempts = (unsigned)sqlite3_column_int64(statement, 6);
    row->timeouts = (unsigned)sqlite3_column_int64(statement, 7);
    copy_text(statement, 8, row->why, sizeof(row->why));
}

static void ledger_end_reading(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

bool ledger_commit(struct ledger *ledger)
{
    if (!ledger->is_writing)
        return true;
    if (!ledger->has_failed)
        ledger_run(ledger, LEDGER_COMMIT);
    ledger->is_writing = false;
    if (!ledger->has_failed) {
        ledger->was_refused = false;
        return true;
    }
    if (!ledger->was_refused)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "replica_state_unwritable",
                  LOG_TEXT("error", sqlite3_errmsg(ledger->database)));
    ledger->was_refused = true;
    if (!sqlite3_get_autocommit(ledger->database))
        ledger_run(ledger, LEDGER_ROLLBACK);
    return false;
}

/* --- changes -------------------------------------------------------------------------------- */

void ledger_touch(struct ledger *ledger, const char *account, int64_t now_ms, int64_t due_ms)
{
    sqlite3_stmt *statement = ledger_to_write(ledger, LEDGER_TOUCH);

    bind_text(statement, 1, account);
    sqlite3_bind_int(statement, 2, (int)ledger_bucket(account));
    sqlite3_bind_int64(statement, 3, now_ms);
    sqlite3_bind_int64(statement, 4, due_ms);
    ledger_run(ledger, LEDGER_TOUCH);
}

bool ledger_add(struct ledger *ledger, const char *account, int64_t now_ms)
{
    sqlite3_stmt *statement = ledger_to_write(ledger, LEDGER_ADD);

    bind_text(statement, 1, account);
    sqlite3_bind_int(statement, 2, (int)ledger_bucket(account));
    sqlite3_bind_int64(statement, 3, now_ms);
    ledger_run(ledger, LEDGER_ADD);
    return sqlite3_changes(ledger->database) > 0;
}

void ledger_doubt_all(struct ledger *ledger, int64_t now_ms)
{
    sqlite3_bind_int64(ledger_to_write(ledger, LEDGER_DOUBT), 1, now_ms);
    ledger_run(ledger, LEDGER_DOUBT);
}

void ledger_write(struct ledger *ledger, const struct ledger_row *row, int64_t now_ms)
{
    sqlite3_stmt *statement = ledger_to_write(ledger, LEDGER_WRITE);

    bind_text(statement, 1, row->account);
    bind_text(statement, 2, row->peer);
    sqlite3_bind_int(statement, 3, (int)row->reason);
    sqlite3_bind_int64(statement, 4, row->clean_ms);
    sqlite3_bind_int64(statement, 5, row->dirty_ms);
    if (row->due_ms != INT64_MAX)
        sqlite3_bind_int64(statement, 6, row->due_ms);
    sqlite3_bind_int64(statement, 7, row->attempts);
    sqlite3_bind_int64(statement, 8, row->timeouts);
    bind_text(statement, 9, row->why);
    sqlite3_bind_int64(statement, 10, now_ms);
    ledger_run(ledger, LEDGER_WRITE);
}

static void ledger_change(struct ledger *ledger, enum ledger_statement number, const char *account)
{
    bind_text(ledger_to_write(ledger, number), 1, account);
    ledger_run(ledger, number);
}

void ledger_set_away(struct ledger *ledger, const char *account)
{
    ledger_change(ledger, LEDGER_SET_AWAY, account);
}

void ledger_remove(struct ledger *ledger, const char *account)
{
    ledger_change(ledger, LEDGER_REMOVE, account);
}

void ledger_touch_now(struct ledger *ledger, const char *account)
{
    ledger_change(ledger, LEDGER_TOUCH_NOW, account);
}

void ledger_hurry(struct ledger *ledger, const char *peer)
{
    sqlite3_stmt *statement = ledger_to_write(ledger, LEDGER_HURRY);

    if (peer)
        bind_text(statement, 1, peer);
    ledger_run(ledger, LEDGER_HURRY);
}

/* --- questions ------------------------------------------------------------------------------ */

bool ledger_read(struct ledger *ledger, const char *account, struct ledger_row *row)
{
    sqlite3_stmt *statement = ledger->statements[LEDGER_READ];
    bool is_there;

    bind_text(statement, 1, account);
    is_there = sqlite3_step(statement) == SQLITE_ROW;
    if (is_there)
        ledger_copy_row(statement, row);
    ledger_end_reading(statement);
    return is_there;
}

void ledger_each_due(struct ledger *ledger, enum ledger_reason reason, int64_t now_ms,
                     unsigned limit, bool (*visit)(void *context, const struct ledger_row *row),
                     void *context)
{
    sqlite3_stmt *statement = ledger->statements[LEDGER_DUE];
    struct ledger_row row;
    bool goes_on = true;

    sqlite3_bind_int(statement, 1, (int)reason);
    sqlite3_bind_int64(statement, 2, now_ms);
    sqlite3_bind_int64(statement, 3, limit);
    while (goes_on && sqlite3_step(statement) == SQLITE_ROW) {
        ledger_copy_row(statement, &row);
        goes_on = visit(context, &row);
    }
    ledger_end_reading(statement);
}

int64_t ledger_next_due_ms(struct ledger *ledger, enum ledger_reason reason)
{
    sqlite3_stmt *statement = ledger->statements[LEDGER_NEXT_DUE];
    int64_t due_ms = INT64_MAX;

    sqlite3_bind_int(statement, 1, (int)reason);
    if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL)
        due_ms = sqlite3_column_int64(statement, 0);
    ledger_end_reading(statement);
    return due_ms;
}

void ledger_count(struct ledger *ledger, struct ledger_counts *counts)
{
    sqlite3_stmt *statement = ledger->statements[LEDGER_COUNT];

    *counts = (struct ledger_counts){ .accounts = 0 };
    if (sqlite3_step(statement) == SQLITE_ROW) {
        counts->accounts = sqlite3_column_int64(statement, 0);
        counts->never = sqlite3_column_int64(statement, 1);
        counts->dirty = sqlite3_column_int64(statement, 2);
        counts->unsure = sqlite3_column_int64(statement, 3);
        counts->failing = sqlite3_column_int64(statement, 4);
        counts->oldest_dirty_ms = sqlite3_column_int64(statement, 5);
    }
    ledger_end_reading(statement);
}

void ledger_count_left(struct ledger *ledger, const char *peer, int64_t since_ms, int64_t *untried,
                       int64_t *failed)
{
    sqlite3_stmt *statement = ledger->statements[LEDGER_COUNT_LEFT];

    *untried = *failed = 0;
    if (peer)
        bind_text(statement, 1, peer);
    sqlite3_bind_int64(statement, 2, since_ms);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        *untried = sqlite3_column_int64(statement, 0);
        *failed = sqlite3_column_int64(statement, 1);
    }
    ledger_end_reading(statement);
}

unsigned ledger_each_behind(struct ledger *ledger, const char *after, unsigned limit,
                            void (*visit)(void *context, const struct ledger_row *row),
                            void *context)
{
    sqlite3_stmt *statement = ledger->statements[LEDGER_BEHIND];
    struct ledger_row row;
    unsigned count = 0;

    bind_text(statement, 1, after);
    sqlite3_bind_int64(statement, 2, limit);
    for (; sqlite3_step(statement) == SQLITE_ROW; count++) {
        ledger_copy_row(statement, &row);
        visit(context, &row);
    }
    ledger_end_reading(statement);
    return count;
}

json_t *ledger_known(struct ledger *ledger, unsigned bucket, const char *peer)
{
    sqlite3_stmt *statement = ledger->statements[LEDGER_KNOWN];
    json_t *names = json_array();

    sqlite3_bind_int(statement, 1, (int)bucket);
    bind_text(statement, 2, peer);
    while (sqlite3_step(statement) == SQLITE_ROW)
        json_array_append_new(names, json_string((const char *)sqlite3_column_text(statement, 0)));
    ledger_end_reading(statement);
    return names;
}

/* --- the file ------------------------------------------------------------------------------- */

static void ledger_free(struct ledger *ledger)
{
    for (size_t i = 0; i < LEDGER_STATEMENTS; i++)
        sqlite3_finalize(ledger->statements[i]);
    sqlite3_close(ledger->database);
    free(ledger);
}

static bool ledger_is_empty(struct ledger *ledger)
{
    sqlite3_stmt *statement;
    bool is_empty = false;

    if (sqlite3_prepare_v2(ledger->database, "SELECT count(*) FROM sqlite_master", -1, &statement,
                           NULL) != SQLITE_OK)
        return false;
    if (sqlite3_step(statement) == SQLITE_ROW)
        is_empty = sqlite3_column_int(statement, 0) == 0;
    sqlite3_finalize(statement);
    return is_empty;
}

static bool ledger_execute(struct ledger *ledger, const char *text)
{
    return sqlite3_exec(ledger->database, text, NULL, NULL, NULL) == SQLITE_OK;
}

/* NULL and `error` when it cannot be, or is another's. */
static struct ledger *ledger_try_open(const char *path, char *error, size_t size)
{
    struct ledger *ledger = memory_new(sizeof(*ledger));
    bool is_open = sqlite3_open_v2(path, &ledger->database,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                                   NULL) == SQLITE_OK &&
                   sqlite3_busy_timeout(ledger->database, LEDGER_BUSY_MS) == SQLITE_OK &&
                   ledger_execute(ledger, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                                          "PRAGMA journal_size_limit=16777216;"
                                          "PRAGMA wal_autocheckpoint=2000;") &&
                   (!ledger_is_empty(ledger) || ledger_execute(ledger, ledger_schema));

    for (size_t i = 0; is_open && i < LEDGER_STATEMENTS; i++)
        is_open =
            sqlite3_prepare_v3(ledger->database, ledger_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &ledger->statements[i], NULL) == SQLITE_OK;
    if (is_open)
        return ledger;
    snprintf(error, size, "%s", sqlite3_errmsg(ledger->database));
    ledger_free(ledger);
    return NULL;
}

static void ledger_set_aside(const char *path, const char *error)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    char from[LEDGER_PATH_SIZE + 8], to[LEDGER_PATH_SIZE + 16];

    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "replica_state_damaged", LOG_TEXT("path", path),
              LOG_TEXT("error", error));
    for (size_t i = 0; i < ARRAY_LENGTH(suffixes); i++) {
        snprintf(from, sizeof(from), "%s%s", path, suffixes[i]);
        snprintf(to, sizeof(to), "%s.damaged%s", path, suffixes[i]);
        (void)rename(from, to);
    }
}

static void ledger_read_meta(struct ledger *ledger, const char *name, char *value, size_t size)
{
    sqlite3_stmt *statement = ledger->statements[LEDGER_META_READ];

    value[0] = '\0';
    bind_text(statement, 1, name);
    if (sqlite3_step(statement) == SQLITE_ROW)
        copy_text(statement, 0, value, size);
    ledger_end_reading(statement);
}

static void ledger_write_meta(struct ledger *ledger, const char *name, const char *value)
{
    sqlite3_stmt *statement = ledger_to_write(ledger, LEDGER_META_WRITE);

    bind_text(statement, 1, name);
    bind_text(statement, 2, value);
    ledger_run(ledger, LEDGER_META_WRITE);
}

/* The last run may have known of changes that it could not tell us. */
static void ledger_begin_run(struct ledger *ledger, const char *run)
{
    char last[128], is_whole[8];

    ledger_read_meta(ledger, "run", last, sizeof(last));
    ledger_read_meta(ledger, "is_whole", is_whole, sizeof(is_whole));
    if (strcmp(last, run) != 0 && strcmp(is_whole, "no") == 0) {
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "replica_unsure", LOG_TEXT("why", "unclean end"));
        ledger_doubt_all(ledger, 0);
    }
    ledger_write_meta(ledger, "run", run);
    ledger_write_meta(ledger, "is_whole", "no");
}

struct ledger *ledger_open(const char *state_directory, const char *run,
                           void (*wrote)(void *context), void *context)
{
    char path[LEDGER_PATH_SIZE], error[256];
    struct ledger *ledger;

    snprintf(path, sizeof(path), "%s/replica.db", state_directory);
    ledger = ledger_try_open(path, error, sizeof(error));
    if (!ledger && access(path, R_OK | W_OK) == 0) {
        ledger_set_aside(path, error);
        ledger = ledger_try_open(path, error, sizeof(error));
    }
    if (!ledger) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "replica_state_unwritable", LOG_TEXT("path", path),
                  LOG_TEXT("error", error));
        return NULL;
    }
    ledger_begin_run(ledger, run);
    if (ledger_commit(ledger)) {
        ledger->wrote = wrote;
        ledger->context = context;
        return ledger;
    }
    ledger_free(ledger);
    return NULL;
}

void ledger_close(struct ledger *ledger, bool is_whole)
{
    if (is_whole)
        ledger_write_meta(ledger, "is_whole", "yes");
    ledger_commit(ledger);
    ledger_free(ledger);
}
