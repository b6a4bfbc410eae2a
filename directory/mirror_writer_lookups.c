/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leads to a row: the table `lookup`, by the hashes of its UUID and its keys, and the ids of
 * hosts.
 *
 * Lookups that are to be inserted gather in memory and are written in the order of their hashes:
 * one by one they would touch a page each of a table that may be larger than all caches.
 */
#include <stdio.h>

#include "directory/mirror_record.h"
#include "directory/mirror_writer_private.h"

/* --- lookups ---------------------------------------------------------------------- */

/* One statement for many rows costs half. */
static void writer_insert_row_of_lookups(struct mirror_writer *writer,
                                         const struct lookup_pair *pairs)
{
    sqlite3_stmt *statement = writer->statements[WRITER_LOOKUP_INSERT_ROW];

    for (int i = 0; i < WRITER_LOOKUPS_AT_ONCE; i++) {
        sqlite3_bind_int64(statement, 2 * i + 1, pairs[i].hash);
        sqlite3_bind_int64(statement, 2 * i + 2, pairs[i].entry);
    }
    writer_run(writer, WRITER_LOOKUP_INSERT_ROW);
}

void writer_flush_lookups(struct mirror_writer *writer)
{
    struct lookup_batch *batch = &writer->lookups;
    size_t i = 0;

    lookup_batch_sort(batch);
    for (; i + WRITER_LOOKUPS_AT_ONCE <= batch->count; i += WRITER_LOOKUPS_AT_ONCE)
        writer_insert_row_of_lookups(writer, &batch->pairs[i]);
    for (; i < batch->count; i++)
        writer_run_pair(writer, WRITER_LOOKUP_INSERT, batch->pairs[i].hash, batch->pairs[i].entry);
    lookup_batch_clear(batch);
}

static void writer_add_lookup(struct mirror_writer *writer, struct span key, int64_t id)
{
    if (writer->lookups.count == LOOKUP_BATCH_MAX)
        writer_flush_lookups(writer);
    lookup_batch_add(&writer->lookups, mirror_hash(key), id);
}

void writer_add_lookups(struct mirror_writer *writer, const struct writer_row *row)
{
    struct mirror_unpacker name = mirror_unpacker_over(row->names);

    writer_add_lookup(writer, row->uuid, row->id);
    while (mirror_unpacker_next(&name))
        if (name.kinds)
            writer_add_lookup(writer, span_of(name.name, name.length), row->id);
}

void writer_remove_lookups(struct mirror_writer *writer, const struct writer_row *row)
{
    struct mirror_unpacker name = mirror_unpacker_over(row->names);

    writer_flush_lookups(writer);
    writer_run_pair(writer, WRITER_LOOKUP_DELETE, mirror_hash(row->uuid), row->id);
    while (mirror_unpacker_next(&name))
        if (name.kinds)
            writer_run_pair(writer, WRITER_LOOKUP_DELETE,
                            mirror_hash(span_of(name.name, name.length)), row->id);
}

/* --- rows by their UUID --------------------------------------------------------------- */

/* Among those whose lookups are not yet written. */
static bool writer_find_new(struct mirror_writer *writer, struct span uuid, struct writer_row *row)
{
    const struct lookup_pair *pair = NULL;

    while ((pair = lookup_batch_find(&writer->lookups, mirror_hash(uuid), pair))) {
        if (!writer_find_by_id(writer, pair->entry, row))
            continue;
        if (span_equals(row->uuid, uuid))
            return true;
        sqlite3_reset(row->statement);
    }
    return false;
}

static bool writer_find_written(struct mirror_writer *writer, struct span uuid,
                                struct writer_row *row)
{
    sqlite3_stmt *statement = writer->statements[WRITER_FIND];
    int result;

    sqlite3_bind_int64(statement, 1, mirror_hash(uuid));
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        writer_take_row(statement, row);
        if (span_equals(row->uuid, uuid))
            return true;
    }
    writer_check(writer, result);
    sqlite3_reset(statement);
    return false;
}

bool writer_find(struct mirror_writer *writer, const unsigned char *uuid, struct writer_row *row)
{
    struct span key = span_of((const char *)uuid, MIRROR_UUID_SIZE);

    return writer_find_new(writer, key, row) || writer_find_written(writer, key, row);
}

/* --- hosts ------------------------------------------------------------------------------ */

static struct writer_host *writer_host_slot(struct mirror_writer *writer, struct span name)
{
    return &writer->hosts[(uint32_t)mirror_hash(name) % WRITER_HOSTS_KEPT];
}

static int64_t writer_read_host(struct mirror_writer *writer, struct span name)
{
    sqlite3_stmt *statement = writer->statements[WRITER_HOST_FIND];
    int64_t id = 0;

    sqlite3_bind_text(statement, 1, name.data, (int)name.length, SQLITE_STATIC);
    if (writer_check(writer, sqlite3_step(statement)))
        id = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return id;
}

/* Remembers what is not 0 and gives it. */
static int64_t writer_keep_host(struct mirror_writer *writer, struct span name, int64_t id)
{
    struct writer_host *slot = writer_host_slot(writer, name);

    if (id > 0 && span_copy_string(name, slot->name, sizeof(slot->name)))
        slot->id = id;
    return id;
}

int64_t writer_find_host(struct mirror_writer *writer, struct span name)
{
    const struct writer_host *slot = writer_host_slot(writer, name);
    int64_t id;

    if (name.length == 0)
        return 0;
    if (slot->id > 0 && span_equals(name, span_from_string(slot->name)))
        return slot->id;
    id = writer_keep_host(writer, name, writer_read_host(writer, name));
    return id > 0 ? id : -1;
}

int64_t writer_intern_host(struct mirror_writer *writer, struct span name)
{
    sqlite3_stmt *statement = writer->statements[WRITER_HOST_INSERT];
    int64_t id = writer_find_host(writer, name);

    if (id >= 0)
        return id;
    sqlite3_bind_text(statement, 1, name.data, (int)name.length, SQLITE_STATIC);
    writer_run(writer, WRITER_HOST_INSERT);
    if (writer->error != SQLITE_OK)
        return 0;
    return writer_keep_host(writer, name, sqlite3_last_insert_rowid(writer->database));
}
