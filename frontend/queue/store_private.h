/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share; for them alone. */
#ifndef MAILSTEAD_FRONTEND_QUEUE_STORE_PRIVATE_H
#define MAILSTEAD_FRONTEND_QUEUE_STORE_PRIVATE_H

#include <sqlite3.h>

#include "frontend/queue/messages.h"
#include "frontend/queue/store.h"

enum store_statement {
    STORE_SQL_BEGIN,
    STORE_SQL_COMMIT,
    STORE_SQL_ADD_MESSAGE,
    STORE_SQL_ADD_RECIPIENT,
    STORE_SQL_REMOVE_RECIPIENT,
    STORE_SQL_HAS_RECIPIENT,
    STORE_SQL_STATE,
    STORE_SQL_REMOVE_MESSAGE,
    STORE_SQL_REMOVE_RECIPIENTS,
    STORE_SQL_DEFER,
    STORE_SQL_MOVE,
    STORE_SQL_SET_STATE,
    STORE_SQL_RELEASE,
    STORE_SQL_RELEASE_FOR_RELAY,
    STORE_SQL_MAKE_DUE,
    STORE_SQL_SET_FLAG,
    STORE_SQL_DUE,
    STORE_SQL_NEXT_DUE,
    STORE_SQL_MESSAGE,
    STORE_SQL_SCAN,
    STORE_SQL_LOOK,
    STORE_SQL_ARRIVAL,
    STORE_SQL_OLD,
    STORE_SQL_PULL_BACK,
    STORE_SQL_DESTINATIONS,
    STORE_SQL_COUNT_DESTINATIONS,
    STORE_SQL_OLDEST,
    STORE_SQL_NOTE_ADOPTED,
    STORE_SQL_FIND_ADOPTED,
    STORE_SQL_FORGET_ADOPTED,
    STORE_SQL_NAMES_FILE,
    STORE_SQL_FREE_PAGES,
    STORE_SQL_STATEMENTS
};

/* A body file's name, kept until the batch ends. */
struct store_file {
    struct list node;
    char name[QUEUE_FILE_NAME_SIZE];
};

struct store_ids {
    uint64_t *items; /* owned */
    size_t count, capacity;
};

struct store {
    sqlite3 *db; /* NULL: to be opened anew */
    sqlite3_stmt *statements[STORE_SQL_STATEMENTS];
    const struct store_system *system;
    char *directory;
    int directory_fd; /* carries the lock */
    int incoming_fd, bodies_fd;
    bool is_suspect;       /* a write or sync failed: the WAL is written anew before it is opened */
    bool is_damaged;       /* what was read makes no sense: it is set aside before the next batch */
    bool is_foreign;       /* being adopted: stays where it is whatever is wrong with it */
    char set_aside[64];    /* the folder of the last one that was; empty: none since the start */
    bool has_moved_bodies; /* in this batch: bodies/ is synced before the commit */
    int wal_frames;        /* after the last commit */
    struct list freed;     /* body files to remove after the commit */
    struct list spent;     /* incoming files to remove after the commit */
    struct list moved;     /* body files that this batch brought */
    struct list orphaned;  /* body files of failed batches, removed after the next opening */
    struct store_ids added;   /* in this batch, each with a client that waits */
    struct store_ids refused; /* answered with a failure; taken out at the next opening */
    struct store_counts counts, batch_counts;
};

/* A statement with its parameters cleared; the caller binds, steps and calls store_done. */
sqlite3_stmt *store_statement(struct store *store, enum store_statement which);

/* Binds text; a span over nothing is the empty text, not NULL. */
void store_bind_span(sqlite3_stmt *statement, int index, struct span text);
/* Binds a string or, for NULL, NULL. */
void store_bind_string(sqlite3_stmt *statement, int index, const char *text);

/* Steps a statement that gives no rows, and resets it; false is logged. */
bool store_run(struct store *store, sqlite3_stmt *statement);

/* Resets after the last step gave `result`; true when that was SQLITE_DONE or SQLITE_ROW. */
bool store_done(struct store *store, sqlite3_stmt *statement, int result);

/* The text of a column; valid until the next step. */
struct span store_column(sqlite3_stmt *statement, int column);

/* Logs a failed call of the store. */
void store_log_failure(const struct store *store, const char *event, const char *reason);

/* Says who has the folder `fd`, which could not be locked (store_holder.c). */
void store_tell_holder(const char *directory, int fd, char error[STORE_ERROR_SIZE]);

/* A store of `directory` that is not open yet; store_free it. */
struct store *store_new(const char *directory, const struct store_system *system);
void store_free(struct store *store);
/* Opens and locks the folder, with incoming/ and bodies/ in it. */
bool store_open_folders(struct store *store, char error[STORE_ERROR_SIZE]);

/* True when another queue has adopted this one, and `error` says so. */
bool store_is_adopted(const struct store *store, char error[STORE_ERROR_SIZE]);

enum store_schema_result {
    STORE_SCHEMA_READY,
    STORE_SCHEMA_NEWER,
    STORE_SCHEMA_UNREADABLE,
    STORE_SCHEMA_FAILED
};
/* Opens store->db and brings its schema to STORE_SCHEMA_VERSION; prepares the statements. */
enum store_schema_result store_schema_open(struct store *store, char error[STORE_ERROR_SIZE]);
/* Finalises and closes; with `checkpoint` the WAL is copied back first. */
void store_schema_close(struct store *store, bool checkpoint);

/* Writes the WAL anew and syncs the copy; true also when there is none. */
bool store_wal_renew(struct store *store);
/* Moves the database and bodies/ into a new folder "set-aside-..."; false is logged. */
bool store_set_aside_all(struct store *store);

/* Keeps a copy of `name` in `list`. */
void store_files_add(struct list *list, const char *name);
/* Removes the named files from a folder; failures are logged (the next start cleans up). */
void store_files_remove(struct store *store, int folder, struct list *list);
/* The same for bodies that failed batches left, unless a message names them after all. */
bool store_files_remove_orphans(struct store *store);
/* A name that a worker made: nothing that could leave the folder. */
bool store_is_file_name(const char *name);
/* Copies what follows in one file to another; false and errno. */
bool store_copy_bytes(int from, int to);
void store_files_forget(struct list *list);
void store_files_move(struct list *from, struct list *to);
void store_ids_add(struct store_ids *ids, uint64_t id);

#endif
