/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue that changes its owner.  The mark in the dead queue's folder, the file "adopted", is a
 * line of a name that nobody else has and of the host that adopts; it is durable before the first
 * message leaves, and it stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "frontend/queue/store_private.h"

enum { MARK_SIZE = 512 };

/* --- the mark ------------------------------------------------------------------- */

/* The words of the mark; false when there is none. */
static bool read_mark(const struct store *store, char text[MARK_SIZE], struct span *source,
                      struct span *adopter)
{
    int fd = openat(store->directory_fd, "adopted", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, MARK_SIZE) : -1;
    struct span rest;

    if (fd < 0)
        return false;
    close(fd);
    rest = span_of(text, length > 0 ? (size_t)length : 0);
    rest = span_take(rest, span_find(rest, '\n'));
    *source = span_split(&rest, ' ');
    *adopter = rest;
    return true;
}

bool store_is_adopted(const struct store *store, char error[STORE_ERROR_SIZE])
{
    char text[MARK_SIZE];
    struct span source, adopter;

    if (!read_mark(store, text, &source, &adopter))
        return false;
    snprintf(error, STORE_ERROR_SIZE,
             "%.90s was adopted by %.*s, which delivers what waited here; without the file "
             "\"adopted\" in it, it is used again",
             store->directory, SPAN_PRINTF(span_take(adopter, 60)));
    return true;
}

static bool write_mark(const struct store *store, const char *source, const char *adopter)
{
    char text[MARK_SIZE];
    int length = snprintf(text, sizeof(text), "%s %s\n", source, adopter);
    int fd =
        openat(store->directory_fd, "adopted.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_good =
        fd >= 0 && write(fd, text, (size_t)length) == length && store->system->sync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return is_good &&
           store->system->rename(store->directory_fd, "adopted.new", store->directory_fd,
                                 "adopted") == 0 &&
           store->system->sync(store->directory_fd) == 0;
}

/* Makes the mark, or takes up what it says when it is our own. */
static bool take_mark(const struct store *store, const char *adopter,
                      char source[STORE_SOURCE_SIZE], char error[STORE_ERROR_SIZE])
{
    char text[MARK_SIZE], id[RANDOM_ID_SIZE];
    struct span old_source, old_adopter;

    if (!read_mark(store, text, &old_source, &old_adopter)) {
        random_id(id);
        snprintf(source, STORE_SOURCE_SIZE, "%s", id);
        if (write_mark(store, source, adopter))
            return true;
        snprintf(error, STORE_ERROR_SIZE, "%.150s cannot be marked as adopted: %s",
                 store->directory, strerror(errno));
        return false;
    }
    if (span_equals(old_adopter, span_from_string(adopter)) &&
        span_copy_string(old_source, source, STORE_SOURCE_SIZE))
        return true;
    return !store_is_adopted(store, error);
}

/* --- opening ---------------------------------------------------------------------- */

/* Looks before anything is made: a wrong name must leave nothing behind. */
static bool has_database(const char *directory, char error[STORE_ERROR_SIZE])
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/queue.db", directory);
    if (access(path, R_OK | W_OK) == 0)
        return true;
    snprintf(error, STORE_ERROR_SIZE, "%.150s/queue.db: %s", directory, strerror(errno));
    return false;
}

struct store *store_open_adopted(const char *directory, const char *adopter,
                                 const struct store_system *system, char source[STORE_SOURCE_SIZE],
                                 char error[STORE_ERROR_SIZE])
{
    struct store *store;

    if (!has_database(directory, error))
        return NULL;
    store = store_new(directory, system);
    store->is_foreign = true;
    if (store_open_folders(store, error) && store_schema_open(store, error) == STORE_SCHEMA_READY) {
        if (take_mark(store, adopter, source, error))
            return store;
        store_schema_close(store, false);
    }
    store_free(store);
    return NULL;
}

/* --- bodies ----------------------------------------------------------------------- */

bool store_copy_body(const struct store *from, const char *body_file, const struct store *to,
                     const char *name)
{
    int source = store_open_body(from, body_file);
    int target = source >= 0
                     ? openat(to->incoming_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
                     : -1;
    bool is_good = target >= 0 && store_copy_bytes(source, target) && to->system->sync(target) == 0;
    int error = errno;

    if (target >= 0)
        close(target);
    if (source >= 0)
        close(source);
    if (target >= 0 && !is_good)
        (void)unlinkat(to->incoming_fd, name, 0);
    errno = error;
    return is_good;
}

/* --- rows ------------------------------------------------------------------------- */

bool store_note_adopted(struct store *store, const char *source, uint64_t message)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_NOTE_ADOPTED);

    store_bind_string(statement, 1, source);
    sqlite3_bind_int64(statement, 2, (int64_t)message);
    return store_run(store, statement);
}

bool store_find_adopted(struct store *store, const char *source, uint64_t *ids, size_t limit,
                        size_t *count)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_FIND_ADOPTED);
    int result;

    *count = 0;
    store_bind_string(statement, 1, source);
    sqlite3_bind_int64(statement, 2, (int64_t)limit);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        ids[(*count)++] = (uint64_t)sqlite3_column_int64(statement, 0);
    return store_done(store, statement, result);
}

bool store_forget_adopted(struct store *store, const char *source)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_FORGET_ADOPTED);

    store_bind_string(statement, 1, source);
    return store_run(store, statement);
}
