/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the mirror's writer (mirror_writer*.c) share; for them alone. */
#ifndef MAILSTEAD_DIRECTORY_MIRROR_WRITER_PRIVATE_H
#define MAILSTEAD_DIRECTORY_MIRROR_WRITER_PRIVATE_H

#include <sqlite3.h>

#include "directory/mirror.h"
#include "directory/mirror_writer.h"
#include "directory/row_set.h"

enum { MIRROR_COOKIE_MAX = 16384 };

enum writer_statement {
    WRITER_FIND,
    WRITER_FIND_BY_ID,
    WRITER_INSERT,
    WRITER_UPDATE,
    WRITER_DELETE,
    WRITER_LOOKUP_INSERT,
    WRITER_LOOKUP_DELETE,
    WRITER_HOST_FIND,
    WRITER_HOST_INSERT,
    WRITER_META_READ,
    WRITER_META_WRITE,
    WRITER_LIST,
    WRITER_STATEMENTS
};

struct mirror_writer {
    char path[MIRROR_PATH_SIZE];
    char *source;
    const struct mirror_writer_events *events;
    void *context;
    sqlite3 *database; /* NULL: could not be opened again */
    sqlite3_stmt *statements[WRITER_STATEMENTS];
    int error; /* the first sqlite result that failed since the last commit */
    bool is_in_transaction;
    bool has_changed; /* content, so that the revision goes on */
    uint64_t revision, entries;
    bool is_filled;
    struct bytes cookie;
    struct bytes changes; /* account and host of each change to be told, wire-encoded */
    size_t change_count;
    struct row_set seen; /* since the refresh began */
};

/* Opens the file; one that turns out to be damaged only now is set aside. */
bool writer_open_file(struct mirror_writer *writer);
/* Closes it; what was not committed is gone. */
void writer_shut(struct mirror_writer *writer);

/* Remembers the first failure; true when `result` is none. */
bool writer_check(struct mirror_writer *writer, int result);
void writer_execute(struct mirror_writer *writer, const char *sql);
/* Runs a statement that gives no rows. */
void writer_run(struct mirror_writer *writer, enum writer_statement which);
void writer_run_pair(struct mirror_writer *writer, enum writer_statement which, int64_t first,
                     int64_t second);
/* False, and nothing may be changed, after an error. */
bool writer_begin(struct mirror_writer *writer);

/* Rows of the table meta. */
void writer_write_number(struct mirror_writer *writer, const char *name, uint64_t number);
void writer_write_bytes(struct mirror_writer *writer, const char *name, struct span value);

#endif
