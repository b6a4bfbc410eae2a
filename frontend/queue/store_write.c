/* SPDX-License-Identifier: Apache-2.0 */
/* The store's changes.  Each false leaves the batch to be aborted by the caller. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "frontend/queue/store_private.h"

/* --- adding ------------------------------------------------------------------- */

static bool move_body(struct store *store, const char *name)
{
    if (!store_is_file_name(name)) {
        store_log_failure(store, "queue_store_failed", "not the name of an incoming file");
        return false;
    }
    if (store->system->rename(store->incoming_fd, name, store->bodies_fd, name) != 0) {
        store_log_failure(store, "queue_store_failed", strerror(errno));
        return false;
    }
    store_files_add(&store->moved, name);
    store->has_moved_bodies = true;
    return true;
}

static bool add_message(struct store *store, const struct store_message *message)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_ADD_MESSAGE);

    store_bind_span(statement, 1, message->session_id);
    store_bind_span(statement, 2, message->reverse_path);
    sqlite3_bind_int(statement, 3, message->body_8bit);
    sqlite3_bind_int(statement, 4, message->may_relay);
    sqlite3_bind_int64(statement, 5, (int64_t)message->size);
    sqlite3_bind_int64(statement, 6, message->arrival_ms);
    store_bind_string(statement, 7, message->body_file);
    if (!message->body_file)
        sqlite3_bind_blob64(statement, 8, message->body.data ? message->body.data : "",
                            message->body.length, SQLITE_STATIC);
    sqlite3_bind_int(statement, 9, message->is_utf8);
    sqlite3_bind_int(statement, 10, (int)message->ret);
    store_bind_span(statement, 11, message->envid);
    return store_run(store, statement);
}

static bool add_recipient(struct store *store, uint64_t row,
                          const struct store_recipient *recipient)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_ADD_RECIPIENT);

    sqlite3_bind_int64(statement, 1, (int64_t)row);
    sqlite3_bind_int(statement, 2, recipient->state);
    store_bind_string(statement, 3, recipient->destination);
    sqlite3_bind_int64(statement, 4, recipient->next_attempt_ms);
    sqlite3_bind_int64(statement, 5, recipient->not_before_ms);
    sqlite3_bind_int64(statement, 6, recipient->attempts);
    store_bind_span(statement, 7, recipient->address);
    store_bind_span(statement, 8, span_take(recipient->reply, QUEUE_TEXT_MAX));
    sqlite3_bind_int64(statement, 9, recipient->flags);
    sqlite3_bind_int64(statement, 10, recipient->notify);
    store_bind_span(statement, 11, recipient->orcpt);
    store->batch_counts.recipients++;
    store->batch_counts.held += recipient->state == STORE_HELD;
    store->batch_counts.set_aside += recipient->state == STORE_SET_ASIDE;
    return store_run(store, statement);
}

bool store_add(struct store *store, const struct store_message *message,
               const struct store_recipient *recipients, size_t count, bool is_answered,
               uint64_t *id)
{
    assert(count > 0 && count <= STORE_RECIPIENTS_MAX);
    if (message->body_file && !move_body(store, message->body_file))
        return false;
    if (!add_message(store, message))
        return false;
    *id = (uint64_t)sqlite3_last_insert_rowid(store->db);
    if (is_answered)
        store_ids_add(&store->added, *id);
    store->batch_counts.messages++;
    for (size_t i = 0; i < count; i++)
        if (!add_recipient(store, STORE_ROW(*id, i), &recipients[i]))
            return false;
    return true;
}

/* --- taking out --------------------------------------------------------------- */

/* The state of a row, or -1 when it is not there. */
static bool find_state(struct store *store, uint64_t row, int *state)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_STATE);
    int result;

    sqlite3_bind_int64(statement, 1, (int64_t)row);
    result = sqlite3_step(statement);
    *state = result == SQLITE_ROW ? sqlite3_column_int(statement, 0) : -1;
    return store_done(store, statement, result);
}

static void count_state(struct store *store, int state, int change)
{
    store->batch_counts.held += state == STORE_HELD ? change : 0;
    store->batch_counts.set_aside += state == STORE_SET_ASIDE ? change : 0;
}

bool store_remove_recipient(struct store *store, uint64_t row)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_REMOVE_RECIPIENT);
    int state;

    if (!find_state(store, row, &state))
        return false;
    if (state < 0)
        return true;
    sqlite3_bind_int64(statement, 1, (int64_t)row);
    store->batch_counts.recipients--;
    count_state(store, state, -1);
    return store_run(store, statement);
}

static bool has_recipient(struct store *store, uint64_t message, bool *has)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_HAS_RECIPIENT);
    int result;

    sqlite3_bind_int64(statement, 1, (int64_t)STORE_ROW(message, 0));
    sqlite3_bind_int64(statement, 2, (int64_t)STORE_ROW(message + 1, 0) - 1);
    result = sqlite3_step(statement);
    *has = result == SQLITE_ROW;
    return store_done(store, statement, result);
}

bool store_remove_finished(struct store *store, uint64_t message)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_REMOVE_MESSAGE);
    bool has;
    int result;

    if (!has_recipient(store, message, &has))
        return false;
    if (has)
        return true;
    sqlite3_bind_int64(statement, 1, (int64_t)message);
    result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
            store_files_add(&store->freed, (const char *)sqlite3_column_text(statement, 0));
        store->batch_counts.messages--;
        result = sqlite3_step(statement);
    }
    return store_done(store, statement, result);
}

bool store_remove_message(struct store *store, uint64_t message)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_REMOVE_RECIPIENTS);

    sqlite3_bind_int64(statement, 1, (int64_t)STORE_ROW(message, 0));
    sqlite3_bind_int64(statement, 2, (int64_t)STORE_ROW(message + 1, 0) - 1);
    if (!store_run(store, statement))
        return false;
    store->batch_counts.recipients -= sqlite3_changes(store->db);
    return store_remove_finished(store, message);
}

/* --- changing ----------------------------------------------------------------- */

bool store_defer(struct store *store, uint64_t row, int64_t next_attempt_ms, int64_t not_before_ms,
                 bool is_unknown, struct span reply)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_DEFER);

    sqlite3_bind_int64(statement, 1, (int64_t)row);
    sqlite3_bind_int64(statement, 2, next_attempt_ms);
    sqlite3_bind_int64(statement, 3, not_before_ms);
    store_bind_span(statement, 4, span_take(reply, QUEUE_TEXT_MAX));
    sqlite3_bind_int(statement, 5, is_unknown ? STORE_IS_UNKNOWN : 0);
    return store_run(store, statement);
}

bool store_move(struct store *store, uint64_t row, const char *destination, int64_t now_ms)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_MOVE);

    sqlite3_bind_int64(statement, 1, (int64_t)row);
    store_bind_string(statement, 2, destination);
    sqlite3_bind_int64(statement, 3, now_ms);
    return store_run(store, statement);
}

bool store_set_state(struct store *store, uint64_t row, enum store_state state, unsigned flags,
                     struct span reply)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_SET_STATE);
    int old;

    if (!find_state(store, row, &old))
        return false;
    if (old < 0)
        return true;
    count_state(store, old, -1);
    count_state(store, (int)state, 1);
    sqlite3_bind_int64(statement, 1, (int64_t)row);
    sqlite3_bind_int(statement, 2, state);
    sqlite3_bind_int64(statement, 3, flags);
    if (reply.data)
        store_bind_span(statement, 4, span_take(reply, QUEUE_TEXT_MAX));
    return store_run(store, statement);
}

bool store_release(struct store *store, uint64_t row, int64_t now_ms)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_RELEASE);
    int old;

    if (!find_state(store, row, &old))
        return false;
    if (old <= STORE_PENDING)
        return true;
    count_state(store, old, -1);
    sqlite3_bind_int64(statement, 1, (int64_t)row);
    sqlite3_bind_int64(statement, 2, now_ms);
    return store_run(store, statement);
}

bool store_release_for_relay(struct store *store, int64_t now_ms, size_t *count)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_RELEASE_FOR_RELAY);

    sqlite3_bind_int64(statement, 1, now_ms);
    if (!store_run(store, statement))
        return false;
    *count = (size_t)sqlite3_changes(store->db);
    store->batch_counts.held -= (int64_t)*count;
    return true;
}

bool store_make_due(struct store *store, uint64_t row, int64_t now_ms)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_MAKE_DUE);

    sqlite3_bind_int64(statement, 1, (int64_t)row);
    sqlite3_bind_int64(statement, 2, now_ms);
    return store_run(store, statement);
}

bool store_set_flag(struct store *store, uint64_t row, enum store_flag flag)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_SET_FLAG);

    sqlite3_bind_int64(statement, 1, (int64_t)row);
    sqlite3_bind_int64(statement, 2, flag);
    return store_run(store, statement);
}

bool store_probe(struct store *store)
{
    return store_note_adopted(store, "", 0) && store_forget_adopted(store, "");
}

/* Only when a quarter of the file and 16 MiB are free: otherwise the pages are used again soon. */
static bool has_many_free_pages(struct store *store, bool *has_many)
{
    sqlite3_stmt *statement = store_statement(store, STORE_SQL_FREE_PAGES);
    int result = sqlite3_step(statement);

    *has_many = result == SQLITE_ROW && sqlite3_column_int64(statement, 0) > 4096 &&
                sqlite3_column_int64(statement, 0) > sqlite3_column_int64(statement, 1) / 4;
    return store_done(store, statement, result);
}

bool store_trim(struct store *store, unsigned pages)
{
    char sql[64];
    bool has_many;

    if (!has_many_free_pages(store, &has_many))
        return false;
    if (!has_many)
        return true;
    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%u)", pages);
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    store_log_failure(store, "queue_store_failed", sqlite3_errmsg(store->db));
    return false;
}
