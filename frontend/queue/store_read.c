/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's questions.  A message that cannot be read fails alone: its recipients
 * are set aside and all others go on.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/base/log.h"
#include "frontend/queue/store_private.h"

/* --- jobs --------------------------------------------------------------------- */

void store_job_free(struct store_job *job)
{
    for (size_t i = 0; i < job->row_count; i++)
        free(job->rows[i].memory);
    free(job->content_memory);
    free(job);
}

static struct store_job *job_new(uint64_t message, size_t rows_max)
{
    struct store_job *job = memory_new(sizeof(*job) + rows_max * sizeof(job->rows[0]));

    job->message = message;
    job->memory_bytes = sizeof(*job) + rows_max * sizeof(job->rows[0]);
    return job;
}

/* Copies `from` to `*target`, which moves on behind the copy and its NUL. */
static struct span keep(char **target, struct span from)
{
    char *copy = *target;

    if (from.length > 0)
        memcpy(copy, from.data, from.length);
    copy[from.length] = '\0';
    *target += from.length + 1;
    return span_of(copy, from.length);
}

/* A row of STORE_SQL_DUE. */
static void job_add_row(struct store_job *job, sqlite3_stmt *statement)
{
    struct span address = store_column(statement, 1), orcpt = store_column(statement, 3);
    struct store_job_row *row = &job->rows[job->row_count++];
    char *target = row->memory = memory_new(address.length + orcpt.length + 2);

    row->row = (uint64_t)sqlite3_column_int64(statement, 0);
    row->address = keep(&target, address);
    row->notify = (unsigned)sqlite3_column_int(statement, 2);
    row->orcpt = keep(&target, orcpt);
    job->memory_bytes += address.length + orcpt.length + 2;
}

static void job_take_content(struct store_job *job, sqlite3_stmt *statement)
{
    struct span session_id = store_column(statement, 0), reverse_path = store_column(statement, 1);
    struct span body_file = store_column(statement, 6), body = store_column(statement, 8);
    struct span envid = store_column(statement, 11);
    size_t size =
        session_id.length + reverse_path.length + body_file.length + body.length + envid.length + 5;
    char *target = job->content_memory = memory_new(size);

    job->memory_bytes += size;
    job->content.session_id = keep(&target, session_id);
    job->content.reverse_path = keep(&target, reverse_path);
    job->content.body_8bit = sqlite3_column_int(statement, 2) != 0;
    job->content.may_relay = sqlite3_column_int(statement, 3) != 0;
    job->content.size = (uint64_t)sqlite3_column_int64(statement, 4);
    job->content.arrival_ms = sqlite3_column_int64(statement, 5);
    if (body_file.length > 0)
        job->content.body_file = keep(&target, body_file).data;
    job->content.body = keep(&target, body);
    job->content.is_utf8 = sqlite3_column_int(statement, 9) != 0;
    job->content.ret = (enum mail_return)sqlite3_column_int(statement, 10);
    job->content.envid = keep(&target, envid);
}

/* A body in the row has its length there; a file must have the size of the message. */
static bool content_is_whole(struct store *store, const struct store_job *job, int64_t body_length)
{
    struct stat status;

    if (!job->content.body_file)
        return body_length == (int64_t)job->content.size;
    return fstatat(store->bodies_fd, job->content.body_file, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_size == (off_t)job->content.size;
}

/* True for errors that concern one row and not the disk: the database goes on. */
static bool is_damage(int result)
{
    return (result & 0xff) == SQLITE_CORRUPT;
}

/* Reads a message into `job`; `*is_whole` false: it cannot be read. */
static bool load_content(struct store *store, struct store_job *job, size_t body_max,
                         bool *is_whole)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_MESSAGE);
    int result;

    *is_whole = false;
    sqlite3_bind_int64(statement, 1, (int64_t)job->message);
    sqlite3_bind_int64(statement, 2, body_max < INT32_MAX ? (int64_t)body_max : INT32_MAX);
    result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        job_take_content(job, statement);
        *is_whole = content_is_whole(store, job, sqlite3_column_int64(statement, 7));
    }
    if (store_done(store, statement, result))
        return true;
    if (is_damage(result))
        store->is_damaged = false; /* this message is set aside alone */
    return is_damage(result);
}

bool store_read_message(struct store *store, uint64_t id, size_t body_max, struct store_job **job)
{
    struct store_job *read = job_new(id, 0);
    bool is_whole, is_good = load_content(store, read, body_max, &is_whole);

    if (is_good && is_whole) {
        *job = read;
        return true;
    }
    store_job_free(read);
    *job = NULL;
    return is_good;
}

/* --- what is due -------------------------------------------------------------- */

struct fetch {
    struct store *store;
    const struct store_due *due;
    struct list *jobs;
    struct list unreadable;
    size_t job_count, bytes;
    struct store_job *open; /* whose rows are being collected */
};

int store_compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static bool is_in_hand(const struct store_due *due, uint64_t row)
{
    return due->skip_count > 0 &&
           bsearch(&row, due->skip_rows, due->skip_count, sizeof(row), store_compare_ids);
}

static bool fetch_is_full(const struct fetch *fetch)
{
    return fetch->job_count >= fetch->due->jobs_max || fetch->bytes >= fetch->due->bytes_max;
}

/* Ends the open job: its message is read, or its rows are to be set aside. */
static bool fetch_end_job(struct fetch *fetch)
{
    struct store_job *job = fetch->open;
    bool is_whole;

    fetch->open = NULL;
    if (!job)
        return true;
    list_append(&fetch->unreadable, &job->node);
    if (!load_content(fetch->store, job, SIZE_MAX, &is_whole))
        return false;
    if (is_whole) {
        list_remove(&job->node);
        list_append(fetch->jobs, &job->node);
        fetch->job_count++;
        fetch->bytes += job->memory_bytes;
    }
    return true;
}

static bool fetch_take_row(struct fetch *fetch, sqlite3_stmt *statement)
{
    uint64_t row = (uint64_t)sqlite3_column_int64(statement, 0);

    if (is_in_hand(fetch->due, row))
        return true;
    if (fetch->open &&
        (fetch->open->message != STORE_ROW_MESSAGE(row) ||
         fetch->open->row_count >= fetch->due->rows_max) &&
        !fetch_end_job(fetch))
        return false;
    if (fetch_is_full(fetch))
        return true;
    if (!fetch->open)
        fetch->open = job_new(STORE_ROW_MESSAGE(row), fetch->due->rows_max);
    job_add_row(fetch->open, statement);
    return true;
}

static bool fetch_rows(struct fetch *fetch)
{
    sqlite3_stmt *statement = store_statement(fetch->store, STORE_SQL_DUE);
    int result;
    bool is_good = true;

    store_bind_string(statement, 1, fetch->due->destination);
    sqlite3_bind_int64(statement, 2, fetch->due->now_ms);
    sqlite3_bind_int64(statement, 3,
                       fetch->due->message_before < STORE_ROW_MESSAGE(INT64_MAX)
                           ? (int64_t)STORE_ROW(fetch->due->message_before, 0)
                           : INT64_MAX);
    do {
        result = sqlite3_step(statement);
        if (result == SQLITE_ROW)
            is_good = fetch_take_row(fetch, statement);
    } while (result == SQLITE_ROW && is_good && !fetch_is_full(fetch));
    is_good = store_done(fetch->store, statement, result) && is_good;
    return fetch_end_job(fetch) && is_good;
}

static bool set_job_aside(struct store *store, const struct store_job *job)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_message_unreadable",
              LOG_INTEGER("message", job->message), LOG_INTEGER("recipients", job->row_count));
    for (size_t i = 0; i < job->row_count; i++)
        if (!store_set_state(store, job->rows[i].row, STORE_SET_ASIDE, 0,
                             SPAN_LITERAL("the message cannot be read")))
            return false;
    return true;
}

static bool fetch_set_aside(struct fetch *fetch, bool is_good)
{
    LIST_EACH (item, &fetch->unreadable) {
        struct store_job *job = LIST_ELEMENT(item, struct store_job, node);

        is_good = is_good && set_job_aside(fetch->store, job);
        list_remove(item);
        store_job_free(job);
    }
    return is_good;
}

static bool find_next_due(struct store *store, const struct store_due *due, int64_t *next_due_ms)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_NEXT_DUE);
    int result;

    store_bind_string(statement, 1, due->destination);
    sqlite3_bind_int64(statement, 2, due->now_ms);
    result = sqlite3_step(statement);
    *next_due_ms = result == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL
                       ? sqlite3_column_int64(statement, 0)
                       : INT64_MAX;
    return store_done(store, statement, result);
}

bool store_fetch_due(struct store *store, const struct store_due *due, struct list *jobs,
                     int64_t *next_due_ms)
{
    struct fetch fetch = { .store = store, .due = due, .jobs = jobs };
    bool is_good;

    assert(due->jobs_max > 0 && due->rows_max > 0 && due->bytes_max > 0);
    list_init(&fetch.unreadable);
    is_good = fetch_rows(&fetch);
    if (!fetch_set_aside(&fetch, is_good))
        return false;
    *next_due_ms = due->now_ms;
    return fetch_is_full(&fetch) || find_next_due(store, due, next_due_ms);
}

/* --- looking around ----------------------------------------------------------- */

/* A destination's column: column_text ends in a NUL; an empty name stays apart from NULL. */
static const char *column_destination(sqlite3_stmt *statement, int column)
{
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return NULL;
    return (const char *)sqlite3_column_text(statement, column);
}

static struct store_view row_view(sqlite3_stmt *statement)
{
    return (struct store_view){
        .row = (uint64_t)sqlite3_column_int64(statement, 0),
        .recipient = { .address = store_column(statement, 6),
                       .state = (enum store_state)sqlite3_column_int(statement, 1),
                       .destination = column_destination(statement, 2),
                       .next_attempt_ms = sqlite3_column_int64(statement, 3),
                       .not_before_ms = sqlite3_column_int64(statement, 4),
                       .reply = store_column(statement, 7),
                       .attempts = (unsigned)sqlite3_column_int64(statement, 5),
                       .flags = (unsigned)sqlite3_column_int64(statement, 8),
                       .notify = (unsigned)sqlite3_column_int64(statement, 9),
                       .orcpt = store_column(statement, 10) },
    };
}

/* Binds the bounds of a range of rows, after the first and up to the second. */
static void bind_range(sqlite3_stmt *statement, uint64_t after, uint64_t last)
{
    sqlite3_bind_int64(statement, 1, (int64_t)after);
    sqlite3_bind_int64(statement, 2, last < INT64_MAX ? (int64_t)last : INT64_MAX);
}

bool store_scan(struct store *store, uint64_t after, uint64_t last, size_t limit, bool pending_only,
                store_visit *visit, void *context)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_SCAN);
    int result;

    bind_range(statement, after, last);
    sqlite3_bind_int(statement, 3, pending_only);
    sqlite3_bind_int64(statement, 4, (int64_t)limit);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        struct store_view view = row_view(statement);

        visit(context, &view);
    }
    return store_done(store, statement, result);
}

bool store_look(struct store *store, uint64_t after, uint64_t last, size_t limit,
                bool with_parameters, store_visit *visit, void *context)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_LOOK);
    int result;

    bind_range(statement, after, last);
    sqlite3_bind_int64(statement, 3, (int64_t)limit);
    sqlite3_bind_int(statement, 4, with_parameters);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        struct store_view view = row_view(statement);

        view.session_id = store_column(statement, 11);
        view.reverse_path = store_column(statement, 12);
        view.size = (uint64_t)sqlite3_column_int64(statement, 13);
        view.arrival_ms = sqlite3_column_int64(statement, 14);
        view.is_utf8 = sqlite3_column_int(statement, 15) != 0;
        view.ret = (enum mail_return)sqlite3_column_int(statement, 16);
        view.envid = store_column(statement, 17);
        visit(context, &view);
    }
    return store_done(store, statement, result);
}

bool store_find_arrival(struct store *store, int64_t arrival_ms, uint64_t *message)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_ARRIVAL);
    int result;

    sqlite3_bind_int64(statement, 1, arrival_ms);
    result = sqlite3_step(statement);
    *message = result == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) + 1 : 0;
    return store_done(store, statement, result);
}

bool store_find_old(struct store *store, const struct store_age *after, int64_t before_ms,
                    struct store_age *ages, size_t limit, size_t *count)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_OLD);
    int result;

    *count = 0;
    sqlite3_bind_int64(statement, 1, after->arrival_ms);
    sqlite3_bind_int64(statement, 2, (int64_t)after->message);
    sqlite3_bind_int64(statement, 3, before_ms);
    sqlite3_bind_int64(statement, 4, (int64_t)limit);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        ages[(*count)++] =
            (struct store_age){ .arrival_ms = sqlite3_column_int64(statement, 0),
                                .message = (uint64_t)sqlite3_column_int64(statement, 1) };
    return store_done(store, statement, result);
}

bool store_visit_destinations(struct store *store, int64_t now_ms, int64_t latest_ms,
                              store_visit *visit, void *context)
{
    sqlite3_stmt *pull = store_statement(store, STORE_SQL_PULL_BACK);
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_DESTINATIONS);
    int result;

    sqlite3_bind_int64(pull, 1, now_ms);
    sqlite3_bind_int64(pull, 2, latest_ms);
    if (!store_run(store, pull))
        return false;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        struct store_view view = { .row = 0 };

        view.recipient.destination = column_destination(statement, 0);
        view.recipient.next_attempt_ms = sqlite3_column_int64(statement, 1);
        visit(context, &view);
    }
    return store_done(store, statement, result);
}

bool store_count_destinations(struct store *store, store_visit_count *visit, void *context)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_COUNT_DESTINATIONS);
    int result;

    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        visit(context, column_destination(statement, 0), sqlite3_column_int64(statement, 1),
              sqlite3_column_int64(statement, 2));
    return store_done(store, statement, result);
}

bool store_find_oldest(struct store *store, int64_t *arrival_ms)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_OLDEST);
    int result;

    *arrival_ms = 0;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        *arrival_ms = sqlite3_column_int64(statement, 0);
    return store_done(store, statement, result);
}

bool store_find_room(const struct store *store, uint64_t *free_bytes)
{
    struct statvfs room;

    if (fstatvfs(store->directory_fd, &room) != 0)
        return false;
    *free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    return true;
}
