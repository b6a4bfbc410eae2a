/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the mirror's writer (mirror_writer*.c) share; for them alone. */
#ifndef MAILSTEAD_DIRECTORY_MIRROR_WRITER_PRIVATE_H
#define MAILSTEAD_DIRECTORY_MIRROR_WRITER_PRIVATE_H

#include <sqlite3.h>

#include "directory/lookup_batch.h"
#include "directory/mirror.h"
#include "directory/mirror_writer.h"
#include "directory/row_set.h"

enum { MIRROR_COOKIE_MAX = 16384, WRITER_HOSTS_KEPT = 64, WRITER_LOOKUPS_AT_ONCE = 16 };

enum writer_statement {
    WRITER_FIND,
    WRITER_FIND_BY_ID,
    WRITER_INSERT,
    WRITER_UPDATE,
    WRITER_DELETE,
    WRITER_LOOKUP_INSERT,
    WRITER_LOOKUP_INSERT_ROW, /* WRITER_LOOKUPS_AT_ONCE of them */
    WRITER_LOOKUP_DELETE,
    WRITER_HOST_FIND,
    WRITER_HOST_INSERT,
    WRITER_META_READ,
    WRITER_META_WRITE,
    WRITER_WALK,
    WRITER_WALK_HOSTS,
    WRITER_HOST_NAME,
    WRITER_STATEMENTS
};

/* A row of the table `host`; all zero: none. */
struct writer_host {
    int64_t id;
    char name[ROUTE_HOST_SIZE];
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
    struct lookup_batch lookups; /* that are to be inserted with the commit, or before */
    struct writer_host hosts[WRITER_HOSTS_KEPT]; /* by the hash of the name */
    struct row_set seen;                         /* since the refresh began */
    struct row_set held; /* rows that a refresh did not show, and that stay until that is settled */
    bool is_held_changed; /* since the last commit */
    bool is_held_kept;    /* somebody said that they stay */
    uint64_t held_since_s;
};

/* One row of `entry`; the spans are valid until its statement is reset. */
struct writer_row {
    sqlite3_stmt *statement;
    int64_t id;
    struct span uuid, names;
    int64_t host, old_host; /* 0: none */
    int flags;
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

/* A column that is bytes; valid until the statement is reset. */
struct span writer_column(sqlite3_stmt *statement, int column);

/* The row that the statement stands on. */
void writer_take_row(sqlite3_stmt *statement, struct writer_row *row);

/* The row with this UUID, or id; when true, the caller resets row->statement. */
bool writer_find(struct mirror_writer *writer, const unsigned char *uuid, struct writer_row *row);
bool writer_find_by_id(struct mirror_writer *writer, int64_t id, struct writer_row *row);

/*
 * mirror_writer_lookups.c: what leads to a row, by its UUID and by all its keys.  What is added
 * gathers, is found by writer_find, and is written by writer_flush_lookups at the latest.
 */
void writer_add_lookups(struct mirror_writer *writer, const struct writer_row *row);
void writer_remove_lookups(struct mirror_writer *writer, const struct writer_row *row);
void writer_flush_lookups(struct mirror_writer *writer);

/* The row id of a host's name: 0 for the empty name, -1 for one that is not there yet. */
int64_t writer_find_host(struct mirror_writer *writer, struct span name);
/* As writer_find_host, and makes the row when there is none. */
int64_t writer_intern_host(struct mirror_writer *writer, struct span name);

/* Fills `row` but for its id and hosts; `packer`, which the caller then frees, holds its names. */
void writer_pack_row(const struct mirror_account *account, struct mirror_packer *packer,
                     struct writer_row *row);
bool writer_row_equals(const struct writer_row *first, const struct writer_row *second);

/* Removes the row, whose statement is reset. */
void writer_remove_row(struct mirror_writer *writer, const struct writer_row *row);

/* mirror_writer_held.c: reads what is held; writes it when it changed; drops one row of it. */
void writer_load_held(struct mirror_writer *writer);
void writer_write_held(struct mirror_writer *writer);
void writer_unhold(struct mirror_writer *writer, int64_t id);

/* Rows of the table meta. */
uint64_t writer_read_number(struct mirror_writer *writer, const char *name);
/* Reads into `target`; none when there are none or too many. */
void writer_read_bytes(struct mirror_writer *writer, const char *name, struct bytes *target);
void writer_write_number(struct mirror_writer *writer, const char *name, uint64_t number);
void writer_write_bytes(struct mirror_writer *writer, const char *name, struct span value);

#endif
