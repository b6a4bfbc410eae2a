/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backends that the directory lists are one value of the table meta: small, replaced as a
 * whole, and so never half of an old and half of a new list.
 */
#include "directory/mirror_writer_private.h"

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

bool mirror_writer_has_accounts_on(struct mirror_writer *writer, const char *host)
{
    sqlite3_stmt *statement = NULL;
    int result;

    if (!writer->database || sqlite3_prepare_v2(writer->database,
                                                "SELECT 1 FROM entry WHERE host ="
                                                " (SELECT id FROM host WHERE name = ?1) LIMIT 1",
                                                -1, &statement, NULL) != SQLITE_OK)
        return true;
    sqlite3_bind_text(statement, 1, host, -1, SQLITE_STATIC);
    result = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return result != SQLITE_DONE;
}
