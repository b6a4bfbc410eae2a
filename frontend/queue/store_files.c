/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's files beside the database: bodies, the renewed WAL, and what is set
 * aside.  Never removes a file that a message names.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "frontend/queue/store_private.h"

/* --- lists of names ----------------------------------------------------------- */

void store_files_add(struct list *list, const char *name)
{
    struct store_file *file = memory_new(sizeof(*file));

    snprintf(file->name, sizeof(file->name), "%s", name);
    list_append(list, &file->node);
}

void store_files_move(struct list *from, struct list *to)
{
    LIST_EACH (item, from) {
        list_remove(item);
        list_append(to, item);
    }
}

void store_files_forget(struct list *list)
{
    LIST_EACH (item, list) {
        list_remove(item);
        free(LIST_ELEMENT(item, struct store_file, node));
    }
}

static void remove_file(struct store *store, int folder, const char *name)
{
    if (unlinkat(folder, name, 0) != 0 && errno != ENOENT)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_file_not_removed",
                  LOG_TEXT("directory", store->directory), LOG_TEXT("file", name),
                  LOG_TEXT("reason", strerror(errno)));
}

void store_files_remove(struct store *store, int folder, struct list *list)
{
    LIST_EACH (item, list)
        remove_file(store, folder, LIST_ELEMENT(item, struct store_file, node)->name);
    store_files_forget(list);
}

/* --- cleaning ----------------------------------------------------------------- */

static bool is_named(struct store *store, const char *name, bool *named)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_NAMES_FILE);
    int result;

    store_bind_string(statement, 1, name);
    result = sqlite3_step(statement);
    *named = result == SQLITE_ROW;
    return store_done(store, statement, result);
}

bool store_files_remove_orphans(struct store *store)
{
    bool is_good = true;

    LIST_EACH (item, &store->orphaned) {
        const char *name = LIST_ELEMENT(item, struct store_file, node)->name;
        bool named = true;

        is_good = is_good && is_named(store, name, &named);
        if (!named)
            remove_file(store, store->bodies_fd, name);
    }
    store_files_forget(&store->orphaned);
    return is_good;
}

static bool is_older(int folder, const char *name, int64_t started_s)
{
    struct stat status;

    return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mtime < started_s;
}

/* Visits the files of `folder`; a body is unused when no message names it, an incoming file when it
 * is old. */
static bool clean_folder(struct store *store, int folder, int64_t started_s)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    bool is_good = entries != NULL;

    for (struct dirent *entry; is_good && (entry = readdir(entries));) {
        bool named = false;

        if (entry->d_name[0] == '.')
            continue;
        if (folder == store->bodies_fd)
            is_good = is_named(store, entry->d_name, &named);
        else
            named = !is_older(folder, entry->d_name, started_s);
        if (is_good && !named)
            remove_file(store, folder, entry->d_name);
    }
    if (entries)
        closedir(entries);
    return is_good;
}

bool store_clean_files(struct store *store, int64_t started_s)
{
    return clean_folder(store, store->bodies_fd, started_s) &&
           clean_folder(store, store->incoming_fd, started_s);
}

int store_open_body(const struct store *store, const char *body_file)
{
    return openat(store->bodies_fd, body_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

bool store_is_file_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return length > 0 && length < QUEUE_FILE_NAME_SIZE && name[length] == '\0';
}

int store_open_incoming(const struct store *store, const char *name)
{
    if (!store_is_file_name(name)) {
        errno = EINVAL;
        return -1;
    }
    return openat(store->incoming_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

void store_discard_incoming(struct store *store, const char *name)
{
    if (store_is_file_name(name))
        store_files_add(&store->spent, name);
}

/* --- the WAL after a failure -------------------------------------------------- */

bool store_copy_bytes(int from, int to)
{
    char bytes[65536];
    ssize_t count;

    while ((count = read(from, bytes, sizeof(bytes))) > 0)
        for (ssize_t written, done = 0; done < count; done += written) {
            written = write(to, bytes + done, (size_t)(count - done));
            if (written < 0)
                return false;
        }
    return count == 0;
}

static bool write_wal_copy(struct store *store, int from)
{
    int to = openat(store->directory_fd, "queue.db-wal.new",
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_good = to >= 0 && store_copy_bytes(from, to) && store->system->sync(to) == 0;

    if (to >= 0)
        close(to);
    is_good = is_good && store->system->rename(store->directory_fd, "queue.db-wal.new",
                                               store->directory_fd, "queue.db-wal") == 0;
    if (!is_good) {
        int error = errno;

        /* On a full disk half a copy would take the room that the queue waits for. */
        (void)unlinkat(store->directory_fd, "queue.db-wal.new", 0);
        errno = error;
    }
    return is_good && store->system->sync(store->directory_fd) == 0;
}

bool store_wal_renew(struct store *store)
{
    int from = openat(store->directory_fd, "queue.db-wal", O_RDONLY | O_CLOEXEC);
    bool is_good = from >= 0 ? write_wal_copy(store, from) : errno == ENOENT;

    if (!is_good)
        store_log_failure(store, "queue_store_failed", strerror(errno));
    if (from >= 0)
        close(from);
    return is_good;
}

/* --- setting aside ------------------------------------------------------------ */

static bool move_aside(struct store *store, int folder, const char *name)
{
    return renameat(store->directory_fd, name, folder, name) == 0 || errno == ENOENT;
}

static int make_set_aside_folder(struct store *store, char name[64])
{
    snprintf(name, 64, "set-aside-%lld", (long long)clock_wall_ms());
    if (mkdirat(store->directory_fd, name, 0700) != 0)
        return -1;
    return openat(store->directory_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The old bodies go with the old database: the new one has none of their names. */
static bool renew_bodies_folder(struct store *store)
{
    close(store->bodies_fd);
    if (mkdirat(store->directory_fd, "bodies", 0700) != 0 && errno != EEXIST)
        return false;
    store->bodies_fd = openat(store->directory_fd, "bodies", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return store->bodies_fd >= 0 && fsync(store->directory_fd) == 0;
}

bool store_set_aside_all(struct store *store)
{
    char name[64];
    int folder = make_set_aside_folder(store, name);
    bool is_good = folder >= 0 && move_aside(store, folder, "queue.db-wal") &&
                   move_aside(store, folder, "queue.db-shm") &&
                   move_aside(store, folder, "bodies") && move_aside(store, folder, "queue.db") &&
                   fsync(folder) == 0 && renew_bodies_folder(store);

    if (is_good)
        snprintf(store->set_aside, sizeof(store->set_aside), "%s", name);
    if (is_good)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_set_aside", LOG_TEXT("directory", store->directory),
                  LOG_TEXT("folder", name));
    else
        store_log_failure(store, "queue_not_set_aside", strerror(errno));
    if (folder >= 0)
        close(folder);
    return is_good;
}
