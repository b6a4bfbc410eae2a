/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's connection: opening and closing, its statements, the table meta.  The first error
 * since the last commit is remembered, and nothing is run after it.
 */
#include <string.h>

#include "common/base/log.h"
#include "directory/mirror_file.h"
#include "directory/mirror_writer_private.h"

static const char *const writer_sql[WRITER_STATEMENTS] = {
    [WRITER_FIND] = "SELECT e.id, e.uuid, e.names, e.host, e.old_host, e.flags"
                    " FROM lookup l CROSS JOIN entry e ON e.id = l.entry WHERE l.hash = ?1",
    [WRITER_FIND_BY_ID] = "SELECT id, uuid, names, host, old_host, flags FROM entry WHERE id = ?1",
    [WRITER_INSERT] =
        "INSERT INTO entry(uuid, names, host, old_host, flags) VALUES(?2, ?3, ?4, ?5, ?6)",
    [WRITER_UPDATE] = "UPDATE entry SET uuid = ?2, names = ?3, host = ?4, old_host = ?5,"
                      " flags = ?6 WHERE id = ?1",
    [WRITER_DELETE] = "DELETE FROM entry WHERE id = ?1",
    [WRITER_LOOKUP_INSERT] = "INSERT OR IGNORE INTO lookup(hash, entry) VALUES(?1, ?2)",
    [WRITER_LOOKUP_INSERT_ROW] =
        "INSERT OR IGNORE INTO lookup(hash, entry) VALUES(?1, ?2), (?3, ?4), (?5, ?6), (?7, ?8),"
        " (?9, ?10), (?11, ?12), (?13, ?14), (?15, ?16), (?17, ?18), (?19, ?20), (?21, ?22),"
        " (?23, ?24), (?25, ?26), (?27, ?28), (?29, ?30), (?31, ?32)",
    [WRITER_LOOKUP_DELETE] = "DELETE FROM lookup WHERE hash = ?1 AND entry = ?2",
    [WRITER_HOST_FIND] = "SELECT id FROM host WHERE name = ?1",
    [WRITER_HOST_INSERT] = "INSERT INTO host(name) VALUES(?1)",
    [WRITER_META_READ] = "SELECT value FROM meta WHERE name = ?1",
    [WRITER_META_WRITE] = "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)",
    [WRITER_WALK] = "SELECT id, uuid, names, host, old_host, flags FROM entry WHERE id > ?1"
                    " ORDER BY id LIMIT ?2",
    [WRITER_WALK_HOSTS] = "SELECT id, host, old_host FROM entry WHERE id > ?1 ORDER BY id"
                          " LIMIT ?2",
    [WRITER_HOST_NAME] = "SELECT name FROM host WHERE id = ?1",
};

/* --- results and statements --------------------------------------------------- */

bool writer_check(struct mirror_writer *writer, int result)
{
    if (result == SQLITE_OK || result == SQLITE_ROW || result == SQLITE_DONE)
        return true;
    if (writer->error == SQLITE_OK) {
        writer->error = result;
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "mirror_failed",
                  LOG_TEXT("error", sqlite3_errmsg(writer->database)));
    }
    return false;
}

void writer_execute(struct mirror_writer *writer, const char *sql)
{
    if (writer->error == SQLITE_OK)
        writer_check(writer, sqlite3_exec(writer->database, sql, NULL, NULL, NULL));
}

void writer_run(struct mirror_writer *writer, enum writer_statement which)
{
    sqlite3_stmt *statement = writer->statements[which];

    if (writer->error == SQLITE_OK)
        writer_check(writer, sqlite3_step(statement));
    sqlite3_reset(statement);
}

void writer_run_pair(struct mirror_writer *writer, enum writer_statement which, int64_t first,
                     int64_t second)
{
    sqlite3_bind_int64(writer->statements[which], 1, first);
    sqlite3_bind_int64(writer->statements[which], 2, second);
    writer_run(writer, which);
}

bool writer_begin(struct mirror_writer *writer)
{
    if (!writer->database)
        writer->error = SQLITE_CANTOPEN;
    if (writer->error == SQLITE_OK && !writer->is_in_transaction) {
        writer_execute(writer, "BEGIN IMMEDIATE");
        writer->is_in_transaction = writer->error == SQLITE_OK;
    }
    return writer->error == SQLITE_OK;
}

/* --- meta ------------------------------------------------------------------------ */

uint64_t writer_read_number(struct mirror_writer *writer, const char *name)
{
    sqlite3_stmt *statement = writer->statements[WRITER_META_READ];
    uint64_t number = 0;

    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (writer_check(writer, sqlite3_step(statement)))
        number = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return number;
}

void writer_read_bytes(struct mirror_writer *writer, const char *name, struct bytes *target)
{
    sqlite3_stmt *statement = writer->statements[WRITER_META_READ];

    bytes_release(target);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (writer_check(writer, sqlite3_step(statement))) {
        const char *value = sqlite3_column_blob(statement, 0);
        size_t length = (size_t)sqlite3_column_bytes(statement, 0);

        if (!bytes_append(target, span_of(value, length)))
            bytes_release(target);
    }
    sqlite3_reset(statement);
}

void writer_write_number(struct mirror_writer *writer, const char *name, uint64_t number)
{
    sqlite3_bind_text(writer->statements[WRITER_META_WRITE], 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(writer->statements[WRITER_META_WRITE], 2, (int64_t)number);
    writer_run(writer, WRITER_META_WRITE);
}

void writer_write_bytes(struct mirror_writer *writer, const char *name, struct span value)
{
    sqlite3_bind_text(writer->statements[WRITER_META_WRITE], 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_blob(writer->statements[WRITER_META_WRITE], 2, value.data ? value.data : "",
                      (int)value.length, SQLITE_STATIC);
    writer_run(writer, WRITER_META_WRITE);
}

/* --- opening and closing ---------------------------------------------------------- */

void writer_shut(struct mirror_writer *writer)
{
    for (size_t i = 0; i < WRITER_STATEMENTS; i++) {
        sqlite3_finalize(writer->statements[i]);
        writer->statements[i] = NULL;
    }
    sqlite3_close(writer->database);
    writer->database = NULL;
    writer->is_in_transaction = false;
    lookup_batch_clear(&writer->lookups);
    memset(writer->hosts, 0, sizeof(writer->hosts));
}

/* Forgets the cookie of a file whose content is a copy of something else. */
static void writer_check_source(struct mirror_writer *writer)
{
    struct bytes source = bytes_empty(MIRROR_COOKIE_MAX);

    writer_read_bytes(writer, "source", &source);
    if (!span_equals(bytes_span(&source), span_from_string(writer->source)) &&
        writer_begin(writer)) {
        bytes_release(&writer->cookie);
        writer_write_bytes(writer, "cookie", SPAN_EMPTY);
        writer_write_bytes(writer, "source", span_from_string(writer->source));
        writer_execute(writer, "COMMIT");
        writer->is_in_transaction = false;
    }
    bytes_release(&source);
}

static void writer_load(struct mirror_writer *writer)
{
    for (size_t i = 0; i < WRITER_STATEMENTS && writer->error == SQLITE_OK; i++)
        writer_check(writer,
                     sqlite3_prepare_v3(writer->database, writer_sql[i], -1,
                                        SQLITE_PREPARE_PERSISTENT, &writer->statements[i], NULL));
    if (writer->error != SQLITE_OK)
        return;
    writer->revision = writer_read_number(writer, "revision");
    writer->entries = writer_read_number(writer, "entries");
    writer->is_filled = writer_read_number(writer, "filled") != 0;
    writer_read_bytes(writer, "cookie", &writer->cookie);
    writer_load_held(writer);
    writer_check_source(writer);
}

static bool writer_try_open(struct mirror_writer *writer)
{
    writer->error = SQLITE_OK;
    writer->has_changed = false;
    writer->entries = 0;
    writer->is_filled = false;
    writer->database = mirror_file_open(writer->path);
    if (writer->database)
        writer_load(writer);
    return writer->database && writer->error == SQLITE_OK;
}

bool writer_open_file(struct mirror_writer *writer)
{
    uint64_t revision = writer->revision;
    bool is_open = writer_try_open(writer);

    if (!is_open && writer->database && mirror_file_is_damage(writer->error)) {
        writer_shut(writer);
        mirror_file_set_aside(writer->path, sqlite3_errstr(writer->error));
        is_open = writer_try_open(writer);
    }
    if (!is_open)
        writer_shut(writer);
    if (writer->revision < revision)
        writer->revision = revision; /* a new file does not go back in time */
    return is_open;
}
