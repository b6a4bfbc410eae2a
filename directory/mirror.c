/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader.  It never writes, never waits for the writer (WAL), and never says "no such
 * key" of what it could not read: any sqlite error, a file that is not there, and one that was
 * never filled are FIND_FAILED.  After an error, or when the writer has put another file
 * in its place, the file is opened again; while it cannot be, at most every
 * MIRROR_RETRY_MS.
 *
 * A host's row never changes, so that its name is read once from a file.
 */
#include "directory/mirror.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "directory/mirror_record.h"

enum { MIRROR_NAP_MS = 10, MIRROR_RETRY_MS = 100, MIRROR_STAT_MS = 100, MIRROR_BUSY_MS = 1000 };
enum { MIRROR_HOSTS_KEPT = 64 };

struct mirror_host {
    int64_t id; /* 0: none */
    char name[ROUTE_HOST_SIZE];
};

struct mirror {
    char path[MIRROR_PATH_SIZE];
    sqlite3 *database; /* NULL while it is not open */
    sqlite3_stmt *find, *host, *meta, *begin, *commit;
    sqlite3_stmt *next;                          /* prepared when it is first needed */
    struct mirror_host hosts[MIRROR_HOSTS_KEPT]; /* of the open file, by id */
    uint64_t view;        /* the revision of which a transaction reads at least; 0: there is none */
    ino_t inode;          /* of the file that is open */
    bool was_filled;      /* the open file was, and stays so */
    uint64_t checked_ms;  /* when `inode` was last compared */
    uint64_t retry_at_ms; /* not opened again before */
};

/* Columns of mirror_find_statement. */
enum {
    MIRROR_COLUMN_NAMES,
    MIRROR_COLUMN_HOST,
    MIRROR_COLUMN_OLD_HOST,
    MIRROR_COLUMN_FLAGS,
    MIRROR_COLUMN_ID
};

static const char mirror_find_statement[] =
    "SELECT e.names, e.host, e.old_host, e.flags FROM lookup l CROSS JOIN entry e ON e.id = l.entry"
    " WHERE l.hash = ?1";
/* Its columns are those of mirror_find_statement, and the number. */
static const char mirror_next_statement[] =
    "SELECT names, host, old_host, flags, id FROM entry WHERE id > ?1 ORDER BY id LIMIT ?2";
static const char mirror_host_statement[] = "SELECT name FROM host WHERE id = ?1";
/*
 * A third of a lookup's time would go into copying two pages out of the kernel's cache.  A page
 * that the disk cannot give is then a signal and not an error: the worker is started again.
 */
static const char mirror_map_statement[] = "PRAGMA mmap_size=2147418112";
static const char mirror_meta_statement[] = "SELECT value FROM meta WHERE name = ?1";

static void mirror_shut(struct mirror *mirror)
{
    sqlite3_finalize(mirror->find);
    sqlite3_finalize(mirror->host);
    sqlite3_finalize(mirror->meta);
    sqlite3_finalize(mirror->begin);
    sqlite3_finalize(mirror->commit);
    sqlite3_finalize(mirror->next);
    sqlite3_close(mirror->database);
    mirror->find = mirror->host = mirror->meta = mirror->begin = mirror->commit = mirror->next =
        NULL;
    mirror->database = NULL;
    mirror->was_filled = false;
    mirror->view = 0;
    memset(mirror->hosts, 0, sizeof(mirror->hosts));
}

/* Closes after an error, so that the next use opens again. */
static void mirror_fail(struct mirror *mirror)
{
    LOG_EVENT(LOG_LEVEL_DEBUG, NULL, "mirror_unreadable",
              LOG_TEXT("error", mirror->database ? sqlite3_errmsg(mirror->database) : "not open"));
    mirror_shut(mirror);
    mirror->retry_at_ms = clock_monotonic_ms() + MIRROR_RETRY_MS;
}

static bool mirror_prepare(struct mirror *mirror, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v3(mirror->database, sql, -1, SQLITE_PREPARE_PERSISTENT, statement,
                              NULL) == SQLITE_OK;
}

static bool mirror_reopen(struct mirror *mirror)
{
    struct stat status;

    if (stat(mirror->path, &status) == 0 &&
        sqlite3_open_v2(mirror->path, &mirror->database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                        NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(mirror->database, MIRROR_BUSY_MS) == SQLITE_OK &&
        sqlite3_exec(mirror->database, mirror_map_statement, NULL, NULL, NULL) == SQLITE_OK &&
        mirror_prepare(mirror, mirror_find_statement, &mirror->find) &&
        mirror_prepare(mirror, mirror_host_statement, &mirror->host) &&
        mirror_prepare(mirror, mirror_meta_statement, &mirror->meta) &&
        mirror_prepare(mirror, "BEGIN", &mirror->begin) &&
        mirror_prepare(mirror, "COMMIT", &mirror->commit)) {
        mirror->inode = status.st_ino;
        return true;
    }
    mirror_fail(mirror);
    return false;
}

/* Closes a file that is no longer the one at the path. */
static void mirror_check_inode(struct mirror *mirror, uint64_t now_ms)
{
    struct stat status;

    if (now_ms - mirror->checked_ms < MIRROR_STAT_MS)
        return;
    mirror->checked_ms = now_ms;
    if (stat(mirror->path, &status) != 0 || status.st_ino != mirror->inode)
        mirror_shut(mirror);
}

static bool mirror_is_open(struct mirror *mirror)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (mirror->database)
        mirror_check_inode(mirror, now_ms);
    if (mirror->database)
        return true;
    return now_ms >= mirror->retry_at_ms && mirror_reopen(mirror);
}

static bool mirror_run(struct mirror *mirror, sqlite3_stmt *statement)
{
    bool is_done = sqlite3_step(statement) == SQLITE_DONE;

    sqlite3_reset(statement);
    if (!is_done)
        mirror_fail(mirror);
    return is_done;
}

void mirror_view(struct mirror *mirror, uint64_t revision)
{
    if (mirror->view == revision)
        return;
    if (mirror->view != 0 && !mirror_run(mirror, mirror->commit))
        return; /* it is closed */
    mirror->view = 0;
    if (revision != 0 && mirror_is_open(mirror) && mirror_run(mirror, mirror->begin))
        mirror->view = revision;
}

/* A number of the table meta; 0 when it is not there.  False when it cannot be read. */
static bool mirror_read_meta(struct mirror *mirror, const char *name, uint64_t *value)
{
    int result;

    sqlite3_bind_text(mirror->meta, 1, name, -1, SQLITE_STATIC);
    result = sqlite3_step(mirror->meta);
    *value = result == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(mirror->meta, 0) : 0;
    sqlite3_reset(mirror->meta);
    if (result == SQLITE_ROW || result == SQLITE_DONE)
        return true;
    mirror_fail(mirror);
    return false;
}

static bool mirror_is_filled(struct mirror *mirror)
{
    uint64_t filled;

    if (!mirror->was_filled && mirror_read_meta(mirror, "filled", &filled))
        mirror->was_filled = filled != 0;
    return mirror->was_filled;
}

struct mirror *mirror_open(const char *state_directory)
{
    struct mirror *mirror = memory_new(sizeof(*mirror));

    mirror_path(state_directory, mirror->path, sizeof(mirror->path));
    (void)mirror_is_open(mirror);
    return mirror;
}

void mirror_await(struct mirror *mirror, unsigned timeout_ms)
{
    const struct timespec nap = { .tv_nsec = MIRROR_NAP_MS * 1000000L };
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;

    while (!mirror_is_open(mirror) && clock_monotonic_ms() < deadline_ms) {
        (void)nanosleep(&nap, NULL);
        mirror->retry_at_ms = 0;
    }
}

void mirror_close(struct mirror *mirror)
{
    mirror_shut(mirror);
    free(mirror);
}

static struct span mirror_column(sqlite3_stmt *statement, int column)
{
    const char *bytes = sqlite3_column_blob(statement, column);

    return span_of(bytes, (size_t)sqlite3_column_bytes(statement, column));
}

/* Whether the row that `find` stands on has the key; `*account` is then its canonical name. */
static bool mirror_row_has_key(struct mirror *mirror, unsigned kind, struct span value,
                               char account[ROUTE_ADDRESS_SIZE])
{
    struct mirror_unpacker names =
        mirror_unpacker_over(mirror_column(mirror->find, MIRROR_COLUMN_NAMES));

    for (bool is_first = true; mirror_unpacker_next(&names); is_first = false) {
        if (is_first)
            memcpy(account, names.name, names.length + 1);
        if ((names.kinds & kind) && span_equals(span_of(names.name, names.length), value))
            return true;
    }
    return false;
}

/* Reads the name of the host `id` into its place; false when it cannot be read or is none. */
static bool mirror_read_host(struct mirror *mirror, int64_t id, struct mirror_host *host)
{
    bool is_read;

    sqlite3_bind_int64(mirror->host, 1, id);
    is_read = sqlite3_step(mirror->host) == SQLITE_ROW &&
              span_copy_string(mirror_column(mirror->host, 0), host->name, sizeof(host->name));
    sqlite3_reset(mirror->host);
    host->id = is_read ? id : 0;
    return is_read;
}

/* Copies the name of the host whose id is in `column`; empty when there is none. */
static bool mirror_copy_host(struct mirror *mirror, sqlite3_stmt *row, int column,
                             char name[ROUTE_HOST_SIZE])
{
    int64_t id = sqlite3_column_int64(row, column);
    struct mirror_host *host = &mirror->hosts[(uint64_t)id % MIRROR_HOSTS_KEPT];

    name[0] = '\0';
    if (id == 0)
        return true;
    if (host->id != id && !mirror_read_host(mirror, id, host))
        return false;
    memcpy(name, host->name, strlen(host->name) + 1);
    return true;
}

static bool mirror_copy_row(struct mirror *mirror, sqlite3_stmt *row, struct route_entry *entry)
{
    int flags = sqlite3_column_int(row, MIRROR_COLUMN_FLAGS);

    entry->has_several_hosts = flags & MIRROR_FLAG_SEVERAL_HOSTS;
    entry->is_relayed = flags & MIRROR_FLAG_RELAYED;
    return mirror_copy_host(mirror, row, MIRROR_COLUMN_HOST, entry->host) &&
           mirror_copy_host(mirror, row, MIRROR_COLUMN_OLD_HOST, entry->old_host);
}

/* Walks the rows with the key's hash; the count of those that have the key, or -1. */
static int mirror_walk(struct mirror *mirror, unsigned kind, struct span value,
                       struct route_entry *entry)
{
    int count = 0, result;

    sqlite3_bind_int64(mirror->find, 1, mirror_hash(value));
    while ((result = sqlite3_step(mirror->find)) == SQLITE_ROW) {
        if (!mirror_row_has_key(mirror, kind, value, entry->account))
            continue;
        if (!mirror_copy_row(mirror, mirror->find, entry))
            break;
        count++;
    }
    sqlite3_reset(mirror->find);
    return result == SQLITE_DONE ? count : -1;
}

static enum route_found mirror_find(void *context, enum route_key key, struct span value,
                                    struct route_entry *entry)
{
    struct mirror *mirror = context;
    struct route_entry found;
    int count;

    if (!mirror_is_open(mirror) || !mirror_is_filled(mirror))
        return ROUTE_FIND_FAILED;
    count = mirror_walk(mirror, 1u << key, value, &found);
    if (count < 0) {
        mirror_fail(mirror);
        return ROUTE_FIND_FAILED;
    }
    if (count == 1)
        *entry = found;
    return count == 0 ? ROUTE_FIND_NONE : count == 1 ? ROUTE_FIND_ONE : ROUTE_FIND_SEVERAL;
}

struct route_source mirror_source(struct mirror *mirror)
{
    return (struct route_source){ mirror_find, mirror };
}

uint64_t mirror_revision(struct mirror *mirror)
{
    uint64_t revision;

    mirror_view(mirror, 0);
    if (!mirror_is_open(mirror) || !mirror_read_meta(mirror, "revision", &revision))
        return 0;
    return revision;
}

bool mirror_read_backends(struct mirror *mirror, struct bytes *list, bool *is_known)
{
    int result;

    bytes_release(list);
    *is_known = false;
    mirror_view(mirror, 0);
    if (!mirror_is_open(mirror))
        return false;
    sqlite3_bind_text(mirror->meta, 1, MIRROR_META_BACKENDS, -1, SQLITE_STATIC);
    result = sqlite3_step(mirror->meta);
    if (result == SQLITE_ROW)
        *is_known = bytes_append(list, mirror_column(mirror->meta, 0));
    sqlite3_reset(mirror->meta);
    if (result == SQLITE_ROW || result == SQLITE_DONE)
        return true;
    mirror_fail(mirror);
    return false;
}

/* Its canonical name is the first of its names; false when there is none. */
static bool mirror_read_entry(struct mirror *mirror, sqlite3_stmt *row, struct route_entry *entry)
{
    struct mirror_unpacker names = mirror_unpacker_over(mirror_column(row, MIRROR_COLUMN_NAMES));

    if (!mirror_unpacker_next(&names))
        return false;
    memcpy(entry->account, names.name, names.length + 1);
    return mirror_copy_row(mirror, row, entry);
}

int mirror_walk_entries(struct mirror *mirror, int64_t *after, unsigned limit,
                        void (*visit)(void *context, const struct route_entry *entry),
                        void *context)
{
    struct route_entry entry;
    int count = 0, result;

    mirror_view(mirror, 0);
    if (!mirror_is_open(mirror) || !mirror_is_filled(mirror) ||
        (!mirror->next && !mirror_prepare(mirror, mirror_next_statement, &mirror->next)))
        return -1;
    sqlite3_bind_int64(mirror->next, 1, *after);
    sqlite3_bind_int64(mirror->next, 2, limit);
    while ((result = sqlite3_step(mirror->next)) == SQLITE_ROW) {
        *after = sqlite3_column_int64(mirror->next, MIRROR_COLUMN_ID);
        count++;
        if (mirror_read_entry(mirror, mirror->next, &entry))
            visit(context, &entry);
    }
    sqlite3_reset(mirror->next);
    if (result == SQLITE_DONE)
        return count;
    mirror_fail(mirror);
    return -1;
}
