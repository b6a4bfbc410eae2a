/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of the mirror.  It owns the only writing connection.  Between two commits
 * the first error makes all further changes void; the commit then rolls back, sets a
 * damaged file aside, opens again and says false.
 *
 * What a refresh has seen is a bit a row in memory, so that a refresh that changes nothing writes
 * nothing.
 */
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/wire.h"
#include "directory/mirror_file.h"
#include "directory/mirror_writer_private.h"

enum {
    MIRROR_CHANGES_MAX = 1000, /* told one by one after a commit */
    MIRROR_CHANGE_SIZE = 2 * (ROUTE_ADDRESS_SIZE + 8)
};

/* --- life ------------------------------------------------------------------------ */

struct mirror_writer *mirror_writer_open(const char *state_directory, const char *source,
                                         const struct mirror_writer_events *events, void *context)
{
    struct mirror_writer *writer = memory_new(sizeof(*writer));

    mirror_path(state_directory, writer->path, sizeof(writer->path));
    writer->source = memory_copy_string(source);
    writer->events = events;
    writer->context = context;
    writer->cookie = bytes_empty(MIRROR_COOKIE_MAX);
    writer->changes = bytes_empty((size_t)MIRROR_CHANGES_MAX * MIRROR_CHANGE_SIZE);
    if (writer_open_file(writer)) {
        mirror_file_remove_older(state_directory);
        return writer;
    }
    mirror_writer_close(writer);
    return NULL;
}

void mirror_writer_close(struct mirror_writer *writer)
{
    writer_shut(writer);
    bytes_release(&writer->cookie);
    bytes_release(&writer->changes);
    free(writer->source);
    row_set_fini(&writer->seen);
    row_set_fini(&writer->held);
    lookup_batch_fini(&writer->lookups);
    free(writer);
}

/* --- rows ------------------------------------------------------------------------ */

struct span writer_column(sqlite3_stmt *statement, int column)
{
    const char *bytes = sqlite3_column_blob(statement, column);

    return span_of(bytes, (size_t)sqlite3_column_bytes(statement, column));
}

void writer_take_row(sqlite3_stmt *statement, struct writer_row *row)
{
    *row = (struct writer_row){
        .statement = statement,
        .id = sqlite3_column_int64(statement, 0),
        .uuid = writer_column(statement, 1),
        .names = writer_column(statement, 2),
        .host = sqlite3_column_int64(statement, 3),
        .old_host = sqlite3_column_int64(statement, 4),
        .flags = sqlite3_column_int(statement, 5),
    };
}

bool writer_find_by_id(struct mirror_writer *writer, int64_t id, struct writer_row *row)
{
    sqlite3_stmt *statement = writer->statements[WRITER_FIND_BY_ID];
    int result;

    sqlite3_bind_int64(statement, 1, id);
    result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        writer_take_row(statement, row);
        return true;
    }
    writer_check(writer, result);
    sqlite3_reset(statement);
    return false;
}

static void writer_bind_host(sqlite3_stmt *statement, int column, int64_t host)
{
    if (host)
        sqlite3_bind_int64(statement, column, host);
    else
        sqlite3_bind_null(statement, column);
}

/* Writes a row by WRITER_INSERT or WRITER_UPDATE. */
static void writer_write_row(struct mirror_writer *writer, enum writer_statement which,
                             const struct writer_row *row)
{
    sqlite3_stmt *statement = writer->statements[which];

    if (which == WRITER_UPDATE)
        sqlite3_bind_int64(statement, 1, row->id);
    sqlite3_bind_blob(statement, 2, row->uuid.data, (int)row->uuid.length, SQLITE_STATIC);
    sqlite3_bind_blob(statement, 3, row->names.data, (int)row->names.length, SQLITE_STATIC);
    writer_bind_host(statement, 4, row->host);
    writer_bind_host(statement, 5, row->old_host);
    sqlite3_bind_int(statement, 6, row->flags);
    writer_run(writer, which);
    writer->has_changed = true;
}

/* --- changes to be told ------------------------------------------------------------ */

/* Remembers that `account`'s owner is now `host` (empty: it is gone). */
static void writer_note_change(struct mirror_writer *writer, struct span account, struct span host)
{
    char memory[MIRROR_CHANGE_SIZE];
    struct buffer change = buffer_over(memory, sizeof(memory));

    if (writer->change_count++ >= MIRROR_CHANGES_MAX)
        return;
    wire_put_span(&change, account);
    wire_put_span(&change, host);
    if (!bytes_append(&writer->changes, buffer_span(&change)))
        abort(); /* the limit is that of the count */
}

static void writer_forget_changes(struct mirror_writer *writer)
{
    bytes_release(&writer->changes);
    writer->change_count = 0;
}

static void writer_tell_each(struct mirror_writer *writer)
{
    struct wire_reader reader = wire_reader_over(bytes_span(&writer->changes));

    while (reader.rest.length > 0) {
        struct span account = wire_get_span(&reader);
        struct span host = wire_get_span(&reader);

        writer->events->changed(writer->context, writer->revision, account, host);
    }
}

static void writer_tell_changes(struct mirror_writer *writer)
{
    if (writer->change_count > MIRROR_CHANGES_MAX)
        writer->events->changed_many(writer->context, writer->revision);
    else
        writer_tell_each(writer);
    writer_forget_changes(writer);
}

/* --- changing ------------------------------------------------------------------------ */

static void writer_insert(struct mirror_writer *writer, struct writer_row *row)
{
    writer_write_row(writer, WRITER_INSERT, row);
    if (writer->error != SQLITE_OK)
        return;
    row->id = sqlite3_last_insert_rowid(writer->database);
    writer_add_lookups(writer, row);
    row_set_add(&writer->seen, row->id);
    writer->entries++;
}

static void writer_note_update(struct mirror_writer *writer, const struct writer_row *old,
                               const struct writer_row *row, const struct mirror_account *account)
{
    struct mirror_unpacker old_name = mirror_unpacker_over(old->names);
    struct span name = account->keys[0].value;

    if (mirror_unpacker_next(&old_name) &&
        !span_equals(span_of(old_name.name, old_name.length), name))
        writer_note_change(writer, span_of(old_name.name, old_name.length), SPAN_EMPTY);
    else if (row->host != 0 && row->host != old->host)
        writer_note_change(writer, name, account->host);
}

/* False when nothing differs. */
static bool writer_update(struct mirror_writer *writer, const struct writer_row *old,
                          struct writer_row *row, const struct mirror_account *account)
{
    bool has_names = span_equals(old->names, row->names);

    row->id = old->id;
    row_set_add(&writer->seen, row->id);
    writer_unhold(writer, row->id);
    if (writer_row_equals(old, row))
        return false;
    writer_note_update(writer, old, row, account);
    if (!has_names)
        writer_remove_lookups(writer, old);
    writer_write_row(writer, WRITER_UPDATE, row);
    if (!has_names)
        writer_add_lookups(writer, row);
    return true;
}

bool writer_row_equals(const struct writer_row *first, const struct writer_row *second)
{
    return span_equals(first->names, second->names) && first->host == second->host &&
           first->old_host == second->old_host && first->flags == second->flags;
}

void writer_pack_row(const struct mirror_account *account, struct mirror_packer *packer,
                     struct writer_row *row)
{
    mirror_packer_init(packer);
    for (size_t i = 0; i < account->key_count; i++)
        mirror_packer_add(packer, account->keys[i].value, account->keys[i].kinds);
    *row = (struct writer_row){
        .uuid = span_of((const char *)account->uuid, MIRROR_UUID_SIZE),
        .names = bytes_span(&packer->packed),
        .flags = (account->has_several_hosts ? MIRROR_FLAG_SEVERAL_HOSTS : 0) |
                 (account->is_relayed ? MIRROR_FLAG_RELAYED : 0),
    };
}

bool mirror_writer_put(struct mirror_writer *writer, const struct mirror_account *account)
{
    struct mirror_packer packer;
    struct writer_row old, row;
    bool is_changed = false;

    if (!writer_begin(writer))
        return false;
    writer_pack_row(account, &packer, &row);
    row.host = writer_intern_host(writer, account->host);
    row.old_host = writer_intern_host(writer, account->old_host);
    if (writer_find(writer, account->uuid, &old)) {
        is_changed = writer_update(writer, &old, &row, account);
        sqlite3_reset(old.statement);
    } else if (writer->error == SQLITE_OK) {
        writer_insert(writer, &row);
        is_changed = true;
    }
    mirror_packer_fini(&packer);
    return is_changed;
}

void writer_remove_row(struct mirror_writer *writer, const struct writer_row *row)
{
    struct mirror_unpacker name = mirror_unpacker_over(row->names);

    if (mirror_unpacker_next(&name))
        writer_note_change(writer, span_of(name.name, name.length), SPAN_EMPTY);
    writer_remove_lookups(writer, row);
    sqlite3_bind_int64(writer->statements[WRITER_DELETE], 1, row->id);
    writer_run(writer, WRITER_DELETE);
    sqlite3_reset(row->statement);
    row_set_remove(&writer->seen, row->id);
    writer_unhold(writer, row->id);
    writer->entries--;
    writer->has_changed = true;
}

bool mirror_writer_delete(struct mirror_writer *writer, const unsigned char uuid[MIRROR_UUID_SIZE])
{
    struct writer_row row;

    if (!writer_begin(writer) || !writer_find(writer, uuid, &row))
        return false;
    writer_remove_row(writer, &row);
    return true;
}

/* --- refresh ------------------------------------------------------------------------- */

void mirror_writer_begin_refresh(struct mirror_writer *writer)
{
    row_set_clear(&writer->seen);
}

bool mirror_writer_see(struct mirror_writer *writer, const unsigned char uuid[MIRROR_UUID_SIZE])
{
    struct writer_row row;

    if (!writer_begin(writer) || !writer_find(writer, uuid, &row))
        return false;
    sqlite3_reset(row.statement);
    row_set_add(&writer->seen, row.id);
    writer_unhold(writer, row.id);
    return true;
}

uint64_t mirror_writer_unseen(const struct mirror_writer *writer)
{
    return writer->entries - writer->seen.count;
}

const struct row_set *mirror_writer_seen(const struct mirror_writer *writer)
{
    return &writer->seen;
}

void mirror_writer_end_refresh(struct mirror_writer *writer)
{
    if (writer->is_filled || !writer_begin(writer))
        return;
    writer->is_filled = true;
    writer->has_changed = true;
    writer->change_count = MIRROR_CHANGES_MAX + 1; /* readers saw nothing before: all is new */
}

/* --- commit ---------------------------------------------------------------------------- */

static void writer_write_meta(struct mirror_writer *writer, const struct span *cookie)
{
    writer_write_number(writer, "revision", writer->revision + (writer->has_changed ? 1 : 0));
    writer_write_number(writer, "entries", writer->entries);
    writer_write_number(writer, "filled", writer->is_filled);
    writer_write_held(writer);
    if (cookie)
        writer_write_bytes(writer, "cookie", *cookie);
}

/* After a failure: the file as it was at the last commit, or an empty one. */
static void writer_recover(struct mirror_writer *writer)
{
    int error = writer->error;

    writer_shut(writer);
    writer_forget_changes(writer);
    bytes_release(&writer->cookie);
    mirror_writer_begin_refresh(writer);
    if (mirror_file_is_damage(error))
        mirror_file_set_aside(writer->path, sqlite3_errstr(error));
    (void)writer_open_file(writer); /* when it fails, the next commit tries again */
}

static void writer_keep_cookie(struct mirror_writer *writer, struct span cookie)
{
    bytes_release(&writer->cookie);
    if (!bytes_append(&writer->cookie, cookie))
        bytes_release(&writer->cookie); /* too long to resume from: a full refresh next time */
}

bool mirror_writer_commit(struct mirror_writer *writer, const struct span *cookie)
{
    if (cookie && span_equals(*cookie, bytes_span(&writer->cookie)))
        cookie = NULL;
    if (!writer->is_in_transaction && !cookie && writer->error == SQLITE_OK && writer->database)
        return true;
    if (writer_begin(writer)) {
        writer_flush_lookups(writer);
        writer_write_meta(writer, cookie);
        writer_execute(writer, "COMMIT");
    }
    if (writer->error != SQLITE_OK) {
        writer_recover(writer);
        return false;
    }
    writer->is_in_transaction = false;
    writer->revision += writer->has_changed ? 1 : 0;
    writer->has_changed = false;
    writer->is_held_changed = false;
    if (cookie)
        writer_keep_cookie(writer, *cookie);
    writer_tell_changes(writer);
    return true;
}

void mirror_writer_discard(struct mirror_writer *writer)
{
    writer->error = SQLITE_CORRUPT;
    writer_recover(writer);
}

bool mirror_writer_has_changes(const struct mirror_writer *writer)
{
    return writer->is_in_transaction;
}

struct span mirror_writer_cookie(const struct mirror_writer *writer)
{
    return bytes_span(&writer->cookie);
}

uint64_t mirror_writer_revision(const struct mirror_writer *writer)
{
    return writer->revision;
}

uint64_t mirror_writer_entries(const struct mirror_writer *writer)
{
    return writer->entries;
}

bool mirror_writer_is_filled(const struct mirror_writer *writer)
{
    return writer->is_filled;
}
