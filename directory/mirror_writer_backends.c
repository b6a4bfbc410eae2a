/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backends that the directory lists are one value of the table meta: small, replaced as a
 * whole, and so never half of an old and half of a new list.
 */
#include "directory/mirror_writer_private.h"

#include <stdio.h>

bool mirror_writer_read_backends(struct mirror_writer *writer, struct bytes *list)
{
    sqlite3_stmt *statement = writer->statements[WRITER_META_READ];
    bool is_there = false;

    bytes_release(list);
    if (!writer->database || writer->error != SQLITE_OK)
        return false;
    sqlite3_bind_text(statement, 1, MIRROR_META_BACKENDS, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW)
        is_there = bytes_append(list, span_of(sqlite3_column_blob(statement, 0),
                                              (size_t)sqlite3_column_bytes(statement, 0)));
    sqlite3_reset(statement);
    return is_there;
}

void mirror_writer_put_backends(struct mirror_writer *writer, struct span list)
{
    if (!writer_begin(writer))
        return;
    writer_write_bytes(writer, MIRROR_META_BACKENDS, list);
    writer->has_changed = true; /* what waits for a backend looks again at each revision */
}

int64_t mirror_writer_find_host(struct mirror_writer *writer, const char *host)
{
    int64_t id;

    if (!writer->database || writer->error != SQLITE_OK)
        return 0;
    id = writer_find_host(writer, span_from_string(host));
    return id > 0 ? id : 0;
}

void mirror_writer_host_name(struct mirror_writer *writer, int64_t host, char *name, size_t size)
{
    sqlite3_stmt *statement = writer->statements[WRITER_HOST_NAME];
    int result;

    snprintf(name, size, "%s", "");
    if (!writer->database || writer->error != SQLITE_OK || host <= 0)
        return;
    sqlite3_bind_int64(statement, 1, host);
    result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        (void)!span_copy_string(writer_column(statement, 0), name, size);
    writer_check(writer, result);
    sqlite3_reset(statement);
}

bool mirror_writer_walk_hosts(struct mirror_writer *writer, int64_t *after, unsigned limit,
                              void (*visit)(void *context, int64_t host, int64_t old_host),
                              void *context)
{
    sqlite3_stmt *statement = writer->statements[WRITER_WALK_HOSTS];
    int64_t last = 0;
    int result = SQLITE_DONE;

    if (!writer->database || writer->error != SQLITE_OK)
        return false;
    sqlite3_bind_int64(statement, 1, *after);
    sqlite3_bind_int64(statement, 2, limit);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        last = sqlite3_column_int64(statement, 0);
        visit(context, sqlite3_column_int64(statement, 1), sqlite3_column_int64(statement, 2));
    }
    writer_check(writer, result);
    sqlite3_reset(statement);
    *after = last;
    return writer->error == SQLITE_OK;
}
