/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mirror can always be made again from the directory, so damage costs a refresh and
 * never a start; what was damaged is kept for a look and reported as an alarm.  Lack of space
 * or permission is no damage: the file stays.
 */
#include "directory/mirror_file.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "directory/mirror_record.h"

enum { MIRROR_FILE_ASIDE_MAX = 3, MIRROR_FILE_BUSY_MS = 3000 };

bool mirror_file_is_damage(int result)
{
    switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table that is missing or different */
    case SQLITE_SCHEMA:
    case SQLITE_FORMAT:
    case SQLITE_MISMATCH:
        return true;
    default:
        return false;
    }
}

static void mirror_file_rename(const char *path, const char *suffix, const char *aside)
{
    char from[MIRROR_PATH_SIZE + 16], to[MIRROR_PATH_SIZE + 48];

    snprintf(from, sizeof(from), "%s%s", path, suffix);
    snprintf(to, sizeof(to), "%s%s", aside, suffix);
    (void)unlink(to);
    (void)rename(from, to);
}

void mirror_file_set_aside(const char *path, const char *error)
{
    char aside[MIRROR_PATH_SIZE + 32], shared_memory[MIRROR_PATH_SIZE + 16];

    for (int number = 1; number <= MIRROR_FILE_ASIDE_MAX; number++) {
        snprintf(aside, sizeof(aside), "%s.damaged-%d", path, number);
        if (access(aside, F_OK) != 0)
            break;
    }
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "mirror_damaged", LOG_TEXT("error", error),
              LOG_TEXT("set_aside", aside));
    mirror_file_rename(path, "-wal", aside);
    mirror_file_rename(path, "", aside);
    snprintf(shared_memory, sizeof(shared_memory), "%s-shm", path);
    (void)unlink(shared_memory);
}

static int mirror_file_version(sqlite3 *database, int *version)
{
    sqlite3_stmt *statement;
    int result = sqlite3_prepare_v2(database, "PRAGMA user_version", -1, &statement, NULL);

    if (result != SQLITE_OK)
        return result;
    result = sqlite3_step(statement);
    *version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return result == SQLITE_ROW ? SQLITE_OK : result;
}

/* Makes the tables in a new file; a file of another version is as good as damaged. */
static int mirror_file_make_schema(sqlite3 *database)
{
    char sql[sizeof("PRAGMA user_version=") + 12];
    int version = 0;
    int result = mirror_file_version(database, &version);

    if (result != SQLITE_OK || version == MIRROR_SCHEMA_VERSION)
        return result;
    if (version != 0)
        return SQLITE_SCHEMA;
    snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", MIRROR_SCHEMA_VERSION);
    result = sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_exec(database, mirror_schema, NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_exec(database, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? sqlite3_exec(database, "COMMIT", NULL, NULL, NULL) : result;
}

static int mirror_file_prepare(sqlite3 *database)
{
    int keep_log = 1;
    int result;

    sqlite3_busy_timeout(database, MIRROR_FILE_BUSY_MS);
    /* A cleanly closed log would be removed, and readers could not open the file without us. */
    sqlite3_file_control(database, "main", SQLITE_FCNTL_PERSIST_WAL, &keep_log);
    result = sqlite3_exec(database,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                          "PRAGMA cache_size=-65536; PRAGMA journal_size_limit=67108864;"
                          "PRAGMA wal_autocheckpoint=4000; PRAGMA temp_store=MEMORY;",
                          NULL, NULL, NULL);
    return result == SQLITE_OK ? mirror_file_make_schema(database) : result;
}

static int mirror_file_try_open(const char *path, sqlite3 **database, char *error, size_t size)
{
    int result = sqlite3_open_v2(
        path, database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (result == SQLITE_OK)
        result = mirror_file_prepare(*database);
    if (result == SQLITE_OK)
        return result;
    snprintf(error, size, "%s",
             result == SQLITE_SCHEMA ? "another schema" : sqlite3_errmsg(*database));
    sqlite3_close(*database);
    *database = NULL;
    return result;
}

sqlite3 *mirror_file_open(const char *path)
{
    char error[256];
    sqlite3 *database;
    int result = mirror_file_try_open(path, &database, error, sizeof(error));

    if (mirror_file_is_damage(result)) {
        mirror_file_set_aside(path, error);
        result = mirror_file_try_open(path, &database, error, sizeof(error));
    }
    if (result != SQLITE_OK)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "mirror_cannot_open", LOG_TEXT("path", path),
                  LOG_TEXT("error", error));
    return database;
}

void mirror_file_remove_older(const char *state_directory)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    char path[MIRROR_PATH_SIZE];

    for (int version = 0; version < MIRROR_SCHEMA_VERSION; version++)
        for (size_t i = 0; i < ARRAY_LENGTH(suffixes); i++) {
            snprintf(path, sizeof(path), "%s/mirror-%d.db%s", state_directory, version,
                     suffixes[i]);
            (void)unlink(path);
        }
}
