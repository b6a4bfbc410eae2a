/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking and comparing the mirror's rows, and the rows that are held: those that a complete
 * reading of the directory did not show although too many of their domain would go with them.
 *
 * What is held is a bit a row, stored with the commit that held it, so that a restart, which
 * resumes after that reading, still knows.
 */
#include <string.h>
#include <time.h>

#include "directory/mirror_writer_private.h"

enum { HELD_MAP_MAX = 64 * 1024 * 1024, WALK_MAX = 1000 };

/* --- looking ---------------------------------------------------------------------- */

static void writer_show_row(struct mirror_writer *writer, sqlite3_stmt *statement,
                            void (*visit)(void *context, const struct mirror_row *row),
                            void *context)
{
    struct span uuid = writer_column(statement, 1);
    struct mirror_unpacker name = mirror_unpacker_over(writer_column(statement, 2));
    struct mirror_row row = { .id = sqlite3_column_int64(statement, 0),
                              .uuid = (const unsigned char *)uuid.data };

    if (uuid.length != MIRROR_UUID_SIZE || !mirror_unpacker_next(&name)) {
        writer_check(writer, SQLITE_CORRUPT);
        return;
    }
    row.account = span_of(name.name, name.length);
    row.is_held = row_set_has(&writer->held, row.id);
    visit(context, &row);
}

int64_t mirror_writer_walk(struct mirror_writer *writer, int64_t after, unsigned limit,
                           void (*visit)(void *context, const struct mirror_row *row),
                           void *context)
{
    sqlite3_stmt *statement = writer->statements[WRITER_WALK];
    int64_t last = 0;
    int result = SQLITE_DONE;

    if (writer->error != SQLITE_OK || !writer->database)
        return 0;
    sqlite3_bind_int64(statement, 1, after);
    sqlite3_bind_int64(statement, 2, limit);
    while (writer->error == SQLITE_OK && (result = sqlite3_step(statement)) == SQLITE_ROW) {
        last = sqlite3_column_int64(statement, 0);
        writer_show_row(writer, statement, visit, context);
    }
    writer_check(writer, result);
    sqlite3_reset(statement);
    return writer->error == SQLITE_OK ? last : 0;
}

int64_t mirror_writer_walk_held(struct mirror_writer *writer, int64_t after, unsigned limit,
                                void (*visit)(void *context, const struct mirror_row *row),
                                void *context)
{
    const struct row_set *held = &writer->held;
    struct writer_row row;

    for (int64_t id = row_set_next(held, after); id > 0 && limit > 0; id = row_set_next(held, id))
        if (writer_find_by_id(writer, id, &row)) {
            writer_show_row(writer, row.statement, visit, context);
            sqlite3_reset(row.statement);
            after = id;
            limit--;
        }
    return limit > 0 ? 0 : after;
}

int64_t mirror_writer_compare(struct mirror_writer *writer, const struct mirror_account *account,
                              bool *is_same)
{
    struct mirror_packer packer;
    struct writer_row old, row;
    int64_t id = 0;

    *is_same = false;
    if (!writer->database || writer->error != SQLITE_OK)
        return 0;
    writer_pack_row(account, &packer, &row);
    row.host = writer_find_host(writer, account->host);
    row.old_host = writer_find_host(writer, account->old_host);
    if (writer_find(writer, account->uuid, &old)) {
        *is_same = writer_row_equals(&old, &row);
        id = old.id;
        row_set_add(&writer->seen, id);
        sqlite3_reset(old.statement);
    }
    mirror_packer_fini(&packer);
    return id;
}

int64_t mirror_writer_find(struct mirror_writer *writer, const unsigned char uuid[MIRROR_UUID_SIZE],
                           bool *is_held)
{
    struct writer_row row;

    *is_held = false;
    if (!writer->database || writer->error != SQLITE_OK || !writer_find(writer, uuid, &row))
        return 0;
    sqlite3_reset(row.statement);
    *is_held = row_set_has(&writer->held, row.id);
    return row.id;
}

/* --- removing or holding ------------------------------------------------------------ */

struct writer_sweep {
    struct mirror_writer *writer;
    const struct row_set *shown;
    bool (*is_doubtful)(void *context, struct span account);
    void *context;
    int64_t doomed[WALK_MAX];
    size_t count;
};

void mirror_writer_hold(struct mirror_writer *writer, int64_t id)
{
    if (row_set_has(&writer->held, id) || !writer_begin(writer))
        return;
    if (writer->held.count == 0)
        writer->held_since_s = (uint64_t)time(NULL);
    row_set_add(&writer->held, id);
    writer->is_held_kept = false;
    writer->is_held_changed = true;
}

void writer_unhold(struct mirror_writer *writer, int64_t id)
{
    if (!row_set_has(&writer->held, id))
        return;
    row_set_remove(&writer->held, id);
    writer->is_held_changed = true;
    (void)writer_begin(writer);
}

static void writer_judge_row(void *context, const struct mirror_row *row)
{
    struct writer_sweep *sweep = context;

    if (row_set_has(sweep->shown, row->id))
        return;
    if (sweep->is_doubtful && sweep->is_doubtful(sweep->context, row->account))
        mirror_writer_hold(sweep->writer, row->id);
    else
        sweep->doomed[sweep->count++] = row->id;
}

static void writer_remove_doomed(struct writer_sweep *sweep)
{
    struct mirror_writer *writer = sweep->writer;
    struct writer_row row;

    for (size_t i = 0; i < sweep->count && writer->error == SQLITE_OK; i++)
        if (writer_find_by_id(writer, sweep->doomed[i], &row))
            writer_remove_row(writer, &row);
}

int64_t mirror_writer_sweep(struct mirror_writer *writer, int64_t after, unsigned limit,
                            const struct row_set *shown,
                            bool (*is_doubtful)(void *context, struct span account), void *context)
{
    struct writer_sweep sweep = {
        .writer = writer, .shown = shown, .is_doubtful = is_doubtful, .context = context
    };

    if (!writer_begin(writer))
        return 0;
    after = mirror_writer_walk(writer, after, limit < WALK_MAX ? limit : WALK_MAX, writer_judge_row,
                               &sweep);
    writer_remove_doomed(&sweep);
    return after;
}

/* --- what is held --------------------------------------------------------------------- */

uint64_t mirror_writer_held(const struct mirror_writer *writer)
{
    return writer->held.count;
}

uint64_t mirror_writer_held_since_s(const struct mirror_writer *writer)
{
    return writer->held_since_s;
}

bool mirror_writer_is_held_kept(const struct mirror_writer *writer)
{
    return writer->is_held_kept;
}

static void writer_doom_row(void *context, const struct mirror_row *row)
{
    struct writer_sweep *sweep = context;

    sweep->doomed[sweep->count++] = row->id;
}

void mirror_writer_accept_held(struct mirror_writer *writer, unsigned limit)
{
    struct writer_sweep sweep = { .writer = writer };

    if (writer->held.count == 0 || !writer_begin(writer))
        return;
    (void)mirror_writer_walk_held(writer, 0, limit < WALK_MAX ? limit : WALK_MAX, writer_doom_row,
                                  &sweep);
    writer_remove_doomed(&sweep);
}

void mirror_writer_keep_held(struct mirror_writer *writer)
{
    if (writer->held.count == 0 || !writer_begin(writer))
        return;
    writer->is_held_kept = true;
    writer->is_held_changed = true;
}

/* --- in the file ------------------------------------------------------------------------ */

void writer_write_held(struct mirror_writer *writer)
{
    const struct row_set *held = &writer->held;
    struct span map = held->count == 0 ? SPAN_EMPTY
                                       : span_of((const char *)held->words,
                                                 held->word_count * sizeof(*held->words));

    if (!writer->is_held_changed)
        return;
    writer_write_bytes(writer, "held", map);
    writer_write_number(writer, "held_since", writer->held_since_s);
    writer_write_number(writer, "held_kept", writer->is_held_kept);
}

/* The map is of the same commit as the rows: what it names is there. */
static void writer_take_map(struct mirror_writer *writer, struct span map)
{
    uint64_t word;

    for (size_t at = 0; at + sizeof(word) <= map.length; at += sizeof(word)) {
        memcpy(&word, map.data + at, sizeof(word));
        for (int64_t id = (int64_t)at * 8; word; id++, word >>= 1)
            if (word & 1)
                row_set_add(&writer->held, id);
    }
}

void writer_load_held(struct mirror_writer *writer)
{
    struct bytes map = bytes_empty(HELD_MAP_MAX);

    row_set_clear(&writer->held);
    writer->is_held_changed = false;
    writer->held_since_s = writer_read_number(writer, "held_since");
    writer->is_held_kept = writer_read_number(writer, "held_kept") != 0;
    writer_read_bytes(writer, "held", &map);
    writer_take_map(writer, bytes_span(&map));
    bytes_release(&map);
}
