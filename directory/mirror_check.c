/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of its own, read-only: the writer goes on meanwhile.  What cannot be opened, or
 * is interrupted, is not called damaged.
 */
#include "directory/mirror_check.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "directory/mirror.h"
#include "directory/mirror_file.h"
#include "directory/mirror_record.h"

enum { CHECK_STEPS_BETWEEN_LOOKS = 10000 }; /* of sqlite's machine, at `is_stopped` */

struct mirror_check {
    uv_work_t work;
    char path[MIRROR_PATH_SIZE];
    void (*damaged)(void *context);
    void *context;
    bool is_damaged, is_over; /* the pool's, then the loop's */
    atomic_bool is_stopped;
};

static int check_look(void *context)
{
    struct mirror_check *check = context;

    return atomic_load(&check->is_stopped);
}

static bool check_finds_damage(sqlite3 *database)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(database, "PRAGMA quick_check(1)", -1, &statement, NULL);
    const char *text;
    bool is_damaged;

    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    text = result == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    is_damaged = text ? strcmp(text, "ok") != 0 : mirror_file_is_damage(result);
    sqlite3_finalize(statement);
    return is_damaged;
}

/* Runs in the pool. */
static void check_run(uv_work_t *work)
{
    struct mirror_check *check = work->data;
    sqlite3 *database;
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;

    if (sqlite3_open_v2(check->path, &database, flags, NULL) == SQLITE_OK) {
        sqlite3_progress_handler(database, CHECK_STEPS_BETWEEN_LOOKS, check_look, check);
        check->is_damaged = check_finds_damage(database);
    }
    sqlite3_close(database);
}

static void check_on_done(uv_work_t *work, int status)
{
    struct mirror_check *check = work->data;

    (void)status;
    check->is_over = true;
    if (atomic_load(&check->is_stopped))
        free(check);
    else if (check->is_damaged)
        check->damaged(check->context);
}

struct mirror_check *mirror_check_start(struct io_loop *loop, const char *state_directory,
                                        void (*damaged)(void *context), void *context)
{
    struct mirror_check *check = memory_new(sizeof(*check));

    mirror_path(state_directory, check->path, sizeof(check->path));
    check->damaged = damaged;
    check->context = context;
    check->work.data = check;
    uv_queue_work(&loop->uv, &check->work, check_run, check_on_done);
    return check;
}

void mirror_check_stop(struct mirror_check *check)
{
    atomic_store(&check->is_stopped, true);
    if (check->is_over)
        free(check);
}
