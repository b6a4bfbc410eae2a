/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of the store: opening, batches, and what follows a failure.
 *
 * Failures: sqlite errors and failed syncs.  Each ends the batch and closes the
 * database.  A failed sync is never repeated: the kernel may have dropped the pages and would
 * call the second one a success.  What is in the WAL is written to a new file instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "frontend/queue/store_private.h"

enum {
    CHECKPOINT_FRAMES =
        4000 /* 16 MiB of WAL; rarer checkpoints mean fewer syncs and writes a message */
};

const struct store_system store_system_real = { fsync, renameat };

void store_log_failure(const struct store *store, const char *event, const char *reason)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, event, LOG_TEXT("directory", store->directory),
              LOG_TEXT("reason", reason));
}

/* --- statements --------------------------------------------------------------- */

sqlite3_stmt *store_statement(struct store *store, enum store_statement which)
{
    return store->statements[which];
}

void store_bind_span(sqlite3_stmt *statement, int index, struct span text)
{
    sqlite3_bind_text64(statement, index, text.data ? text.data : "", text.length, SQLITE_STATIC,
                        SQLITE_UTF8);
}

void store_bind_string(sqlite3_stmt *statement, int index, const char *text)
{
    if (text)
        store_bind_span(statement, index, span_from_string(text));
    else
        sqlite3_bind_null(statement, index);
}

bool store_done(struct store *store, sqlite3_stmt *statement, int result)
{
    bool is_good = result == SQLITE_DONE || result == SQLITE_ROW;

    if (!is_good)
        store_log_failure(store, "queue_store_failed", sqlite3_errmsg(store->db));
    store->is_damaged |= (result & 0xff) == SQLITE_CORRUPT || (result & 0xff) == SQLITE_NOTADB;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return is_good;
}

bool store_run(struct store *store, sqlite3_stmt *statement)
{
    return store_done(store, statement, sqlite3_step(statement));
}

struct span store_column(sqlite3_stmt *statement, int column)
{
    const void *bytes = sqlite3_column_blob(statement, column);

    return span_of(bytes, (size_t)sqlite3_column_bytes(statement, column));
}

/* --- opening ------------------------------------------------------------------ */

static int open_folder(int parent, const char *name)
{
    if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool store_open_folders(struct store *store, char error[STORE_ERROR_SIZE])
{
    (void)mkdir(store->directory, 0700); /* usually there; if not, and it fails, open says so */
    store->directory_fd = open(store->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->directory_fd >= 0 && flock(store->directory_fd, LOCK_EX | LOCK_NB) != 0) {
        store_tell_holder(store->directory, store->directory_fd, error);
        return false;
    }
    if (store->directory_fd >= 0) {
        store->incoming_fd = open_folder(store->directory_fd, "incoming");
        store->bodies_fd = open_folder(store->directory_fd, "bodies");
    }
    if (store->incoming_fd >= 0 && store->bodies_fd >= 0 && fsync(store->directory_fd) == 0)
        return true;
    snprintf(error, STORE_ERROR_SIZE, "%.150s: %s", store->directory, strerror(errno));
    return false;
}

static bool open_database(struct store *store, char error[STORE_ERROR_SIZE])
{
    enum store_schema_result result = store_schema_open(store, error);

    if (result == STORE_SCHEMA_UNREADABLE) {
        store_log_failure(store, "queue_unreadable", error);
        if (store_set_aside_all(store))
            result = store_schema_open(store, error);
    }
    return result == STORE_SCHEMA_READY;
}

void store_free(struct store *store)
{
    store_files_forget(&store->freed);
    store_files_forget(&store->spent);
    store_files_forget(&store->moved);
    store_files_forget(&store->orphaned);
    free(store->added.items);
    free(store->refused.items);
    if (store->bodies_fd >= 0)
        close(store->bodies_fd);
    if (store->incoming_fd >= 0)
        close(store->incoming_fd);
    if (store->directory_fd >= 0)
        close(store->directory_fd);
    free(store->directory);
    free(store);
}

struct store *store_new(const char *directory, const struct store_system *system)
{
    struct store *store = memory_new(sizeof(*store));

    store->directory = memory_copy_string(directory);
    store->system = system;
    store->directory_fd = store->incoming_fd = store->bodies_fd = -1;
    list_init(&store->freed);
    list_init(&store->spent);
    list_init(&store->moved);
    list_init(&store->orphaned);
    return store;
}

struct store *store_open(const char *directory, const struct store_system *system,
                         char error[STORE_ERROR_SIZE])
{
    struct store *store = store_new(directory, system);

    if (store_open_folders(store, error) && !store_is_adopted(store, error) &&
        open_database(store, error))
        return store;
    store_free(store);
    return NULL;
}

void store_close(struct store *store)
{
    if (store->db)
        store_schema_close(store, !store->is_suspect);
    store_free(store);
}

/* --- batches ------------------------------------------------------------------ */

void store_ids_add(struct store_ids *ids, uint64_t id)
{
    if (ids->count == ids->capacity) {
        ids->capacity = ids->capacity > 0 ? ids->capacity * 2 : 64;
        ids->items = memory_resize(ids->items, ids->capacity * sizeof(*ids->items));
    }
    ids->items[ids->count++] = id;
}

static void ids_move(struct store_ids *from, struct store_ids *to)
{
    for (size_t i = 0; i < from->count; i++)
        store_ids_add(to, from->items[i]);
    from->count = 0;
}

/* Takes out what a failed batch may have written although its clients were answered with a failure.
 */
static bool remove_refused(struct store *store)
{
    bool is_good = true;

    for (size_t i = 0; i < store->refused.count && is_good; i++) {
        sqlite3_stmt *message = store_statement(store, STORE_SQL_REMOVE_MESSAGE);
        sqlite3_stmt *rows = store_statement(store, STORE_SQL_REMOVE_RECIPIENTS);
        uint64_t id = store->refused.items[i];

        sqlite3_bind_int64(message, 1, (int64_t)id);
        sqlite3_bind_int64(rows, 1, (int64_t)STORE_ROW(id, 0));
        sqlite3_bind_int64(rows, 2, (int64_t)STORE_ROW(id + 1, 0) - 1);
        is_good = store_run(store, message) && store_run(store, rows);
    }
    return is_good;
}

/* Whom the batches of the old database concerned is in the folder now, too. */
static bool leave_damaged(struct store *store)
{
    store_log_failure(store, "queue_unreadable", "its pages make no sense");
    if (!store_set_aside_all(store))
        return false;
    store->is_damaged = store->is_suspect = false;
    store->refused.count = 0;
    store_files_forget(&store->orphaned);
    return true;
}

static bool open_again(struct store *store)
{
    char error[STORE_ERROR_SIZE];

    if (store->is_damaged && !store->is_foreign && !leave_damaged(store))
        return false;
    if (store->is_suspect && !store_wal_renew(store))
        return false;
    if (!open_database(store, error)) {
        store_log_failure(store, "queue_store_failed", error);
        return false;
    }
    if (store->refused.count > 0 &&
        !(store_run(store, store_statement(store, STORE_SQL_BEGIN)) && remove_refused(store) &&
          store_run(store, store_statement(store, STORE_SQL_COMMIT)))) {
        store_schema_close(store, false);
        return false;
    }
    store->is_suspect = false;
    store->refused.count = 0;
    return store_files_remove_orphans(store);
}

bool store_begin(struct store *store)
{
    if (!store->db && !open_again(store))
        return false;
    store->batch_counts = store->counts;
    return store_run(store, store_statement(store, STORE_SQL_BEGIN));
}

static bool sync_bodies(struct store *store)
{
    if (!store->has_moved_bodies)
        return true;
    store->has_moved_bodies = false;
    if (store->system->sync(store->bodies_fd) == 0)
        return true;
    store_log_failure(store, "queue_store_failed", strerror(errno));
    return false;
}

/*
 * The batch is durable whatever happens here: a failed checkpoint leaves all in the WAL, and
 * closes the database, so that nothing more is appended before it was opened anew.
 */
static void checkpoint(struct store *store)
{
    int result;

    if (store->wal_frames < CHECKPOINT_FRAMES)
        return;
    result = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (result == SQLITE_OK)
        return;
    store_log_failure(store, "queue_checkpoint_failed", sqlite3_errmsg(store->db));
    store->is_suspect = true;
    store_schema_close(store, false);
}

bool store_commit(struct store *store)
{
    if (!sync_bodies(store) || !store_run(store, store_statement(store, STORE_SQL_COMMIT)))
        return false;
    store->counts = store->batch_counts;
    store->added.count = 0;
    store_files_forget(&store->moved);
    store_files_remove(store, store->bodies_fd, &store->freed);
    store_files_remove(store, store->incoming_fd, &store->spent);
    checkpoint(store);
    return true;
}

void store_abort(struct store *store)
{
    store_files_forget(&store->freed);
    store_files_forget(&store->spent);
    store_files_move(&store->moved, &store->orphaned);
    ids_move(&store->added, &store->refused);
    store->has_moved_bodies = false;
    store->is_suspect = true;
    if (store->db)
        store_schema_close(store, false);
}

void store_rewind(struct store *store)
{
    LIST_EACH (item, &store->moved) {
        struct store_file *file = LIST_ELEMENT(item, struct store_file, node);

        if (store->system->rename(store->bodies_fd, file->name, store->incoming_fd, file->name) !=
            0)
            continue;
        list_remove(item);
        free(file);
    }
    store_abort(store);
}

const char *store_set_aside_folder(const struct store *store)
{
    return store->set_aside;
}

struct store_counts store_counts(const struct store *store)
{
    return store->counts;
}
