/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue's database: one row a message, one row a recipient, small bodies in
 * the row and large ones as files beside it.  Synchronous; it is used by one thread at
 * a time (the committer's), and knows neither clock nor routing.
 *
 * Everything happens inside a batch: store_begin, operations, store_commit.  A
 * message exists from the moment store_commit returns true, and not before.  When
 * anything returns false the whole batch has failed: store_abort, answer with
 * failures, and the next store_begin opens the database anew.
 *
 * Times are milliseconds since 1970 by the caller's clock.  A destination is the
 * value of hostServer, "" for the relay host, NULL for a recipient that has none yet.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_STORE_H
#define MAILSTEAD_FRONTEND_QUEUE_STORE_H

#include "common/base/list.h"
#include "common/base/span.h"
#include "common/proto/mail.h"

enum {
    STORE_ERROR_SIZE = 256,
    STORE_SCHEMA_VERSION = 3,
    STORE_RECIPIENTS_MAX = 1 << 20 /* of one message */
};

struct store;

/* The calls outside sqlite whose failure matters; a test counts and fails them. */
struct store_system {
    int (*sync)(int fd);
    int (*rename)(int from_folder, const char *from, int to_folder, const char *to);
};
extern const struct store_system store_system_real;

enum store_state {
    STORE_PENDING,  /* is attempted when due */
    STORE_HELD,     /* waits for the administrator */
    STORE_SET_ASIDE /* cannot be read; kept and reported, never deleted */
};

/* What else is known of a recipient, as bits. */
enum store_flag {
    STORE_IS_UNKNOWN = 1 << 0,    /* the reply to its last attempt was lost: it may be delivered */
    STORE_DELAY_IS_TOLD = 1 << 1, /* its sender knows that it waits */
    STORE_NEEDS_RELAY = 1 << 2    /* held until a relay host is configured */
};

/* A message's recipients have the row numbers from STORE_ROW(message, 0) on. */
#define STORE_ROW(message, ordinal) ((uint64_t)(message) << 20 | (uint64_t)(ordinal))
#define STORE_ROW_MESSAGE(row) ((uint64_t)(row) >> 20)

/* Orders row numbers or message ids, for qsort and bsearch. */
int store_compare_ids(const void *a, const void *b);

struct store_recipient {
    struct span address;
    enum store_state state;
    const char *destination;
    int64_t next_attempt_ms;
    int64_t
        not_before_ms; /* a move to another destination does not make it due earlier than this */
    struct span reply; /* the last one; may be empty */
    unsigned attempts; /* that failed */
    unsigned flags;    /* of enum store_flag */
    unsigned notify;   /* of enum mail_notify */
    struct span orcpt; /* as xtext; may be empty */
};

struct store_message {
    struct span session_id;
    struct span reverse_path; /* empty: the null sender */
    bool body_8bit;
    bool is_utf8; /* SMTPUTF8 */
    enum mail_return ret;
    struct span envid; /* as xtext; may be empty */
    bool may_relay;
    uint64_t size;
    int64_t arrival_ms;
    struct span body;      /* when body_file is NULL */
    const char *body_file; /* a name under incoming/ when added, under bodies/ when read */
};

/* --- life ------------------------------------------------------------------- */

/*
 * Opens or makes the database in `directory`, with the folders incoming/ and bodies/;
 * one process at a time (flock).  A queue that another one has adopted is refused.  A database that
 * cannot be read is moved into a folder "set-aside-TIME" with its bodies, logged, and a new one
 * begun.  NULL and `error`: the folder cannot be used, is in use, or the database was written by a
 * newer program; nothing was changed then.
 */
struct store *store_open(const char *directory, const struct store_system *system,
                         char error[STORE_ERROR_SIZE]);

/* Whether another process uses the queue in `directory` now; `error` then says which. */
bool store_is_held(const char *directory, char error[STORE_ERROR_SIZE]);

/* Closes it; a batch that is open is rolled back.  Frees the store. */
void store_close(struct store *store);

/*
 * Starts a batch.  After a failed one this opens the database anew: what may have been written
 * but not synced is written anew elsewhere and synced there, since a failed sync says nothing when
 * repeated; messages that were answered with a failure are taken out again.  One in which
 * something made no sense is set aside as store_open does.
 */
bool store_begin(struct store *store) __attribute__((warn_unused_result));

/*
 * The folder, in the queue's, into which a database that cannot be read was moved last since
 * store_open began; empty: none was.  While no batch is open.
 */
const char *store_set_aside_folder(const struct store *store);

/* Makes the batch durable.  False: nothing of it may be counted on; store_abort follows. */
bool store_commit(struct store *store) __attribute__((warn_unused_result));

/* Ends a batch in which something returned false. */
void store_abort(struct store *store);

/*
 * Ends a batch of which nothing is durable for certain, since no commit was tried: body files are
 * in incoming/ again, so that the same can be added once more.
 */
void store_rewind(struct store *store);

/* --- writing ---------------------------------------------------------------- */

/*
 * Adds a message with its recipients (1 .. STORE_RECIPIENTS_MAX).  A body file is moved from
 * incoming/ to bodies/.  With `is_answered` a client waits for the answer: when the batch fails the
 * message must not exist, whatever reached the disk.
 */
bool store_add(struct store *store, const struct store_message *message,
               const struct store_recipient *recipients, size_t count, bool is_answered,
               uint64_t *id) __attribute__((warn_unused_result));

/* Takes a recipient out (delivered or reported); one that is not there is fine. */
bool store_remove_recipient(struct store *store, uint64_t row) __attribute__((warn_unused_result));

/* Takes the message out when no recipient is left; a body file is removed after the commit. */
bool store_remove_finished(struct store *store, uint64_t message)
    __attribute__((warn_unused_result));

/* Notes a failed attempt of a pending recipient; `is_unknown`: its reply was lost. */
bool store_defer(struct store *store, uint64_t row, int64_t next_attempt_ms, int64_t not_before_ms,
                 bool is_unknown, struct span reply) __attribute__((warn_unused_result));

/* Gives a pending recipient another destination; it is due at `now_ms` or its not_before. */
bool store_move(struct store *store, uint64_t row, const char *destination, int64_t now_ms)
    __attribute__((warn_unused_result));

/*
 * Changes a recipient's state; `reply` says why, one without bytes (NULL) leaves the last one.
 * Sets `flags` beside what is set.
 */
bool store_set_state(struct store *store, uint64_t row, enum store_state state, unsigned flags,
                     struct span reply) __attribute__((warn_unused_result));

/* A recipient that is held or set aside is pending again, and due now or at its not_before. */
bool store_release(struct store *store, uint64_t row, int64_t now_ms)
    __attribute__((warn_unused_result));

/* The same for all with STORE_NEEDS_RELAY; `*count` of them. */
bool store_release_for_relay(struct store *store, int64_t now_ms, size_t *count)
    __attribute__((warn_unused_result));

/* Makes a pending recipient due now, also before its not_before. */
bool store_make_due(struct store *store, uint64_t row, int64_t now_ms)
    __attribute__((warn_unused_result));

/* Sets a flag of a recipient. */
bool store_set_flag(struct store *store, uint64_t row, enum store_flag flag)
    __attribute__((warn_unused_result));

/* Gives pages that deletions left to the file system, up to `pages` of them, when there are many.
 */
bool store_trim(struct store *store, unsigned pages) __attribute__((warn_unused_result));

/* Writes something that changes nothing: whether the batch can be committed says it all. */
bool store_probe(struct store *store) __attribute__((warn_unused_result));

/* --- reading ---------------------------------------------------------------- */

/* Due recipients of one message at one destination, with the message. */
struct store_job_row {
    uint64_t row;
    struct span address, orcpt; /* into `memory` */
    unsigned notify;            /* of enum mail_notify */
    char *memory;
};
struct store_job {
    struct list node; /* the caller's */
    uint64_t message;
    struct store_message content; /* spans into content_memory */
    char *content_memory;
    size_t memory_bytes; /* of all this, about */
    size_t row_count;
    struct store_job_row rows[];
};
void store_job_free(struct store_job *job);

struct store_due {
    const char *destination;
    int64_t now_ms;
    uint64_t message_before;   /* only messages with smaller ids; UINT64_MAX: all */
    const uint64_t *skip_rows; /* ascending: already in hand */
    size_t skip_count;
    size_t jobs_max, rows_max; /* jobs; rows of one job */
    size_t bytes_max;          /* stops after the job that passes it */
};

/*
 * Appends the due jobs of a destination to `jobs`, the longest due first.
 * `*next_due_ms`: when there is more: now_ms if the limits were reached, else the earliest later
 * one, INT64_MAX if none.  A message that cannot be read is set aside and logged.
 */
bool store_fetch_due(struct store *store, const struct store_due *due, struct list *jobs,
                     int64_t *next_due_ms) __attribute__((warn_unused_result));

/*
 * A job without rows: the envelope and the first `body_max` bytes of a body that is in the row.
 * `*job` is NULL when there is no such message or it cannot be read.
 */
bool store_read_message(struct store *store, uint64_t id, size_t body_max, struct store_job **job)
    __attribute__((warn_unused_result));

/* One recipient with its row, as stored; spans are valid until the callback returns. */
struct store_view {
    uint64_t row;
    struct store_recipient recipient;
    /* Only from store_look: of its message; a message that is not there has no arrival. */
    struct span session_id, reverse_path;
    uint64_t size;
    int64_t arrival_ms; /* 0: it is not there */
    /* And only when they are asked for. */
    bool is_utf8;
    enum mail_return ret;
    struct span envid;
};
typedef void store_visit(void *context, const struct store_view *view);

/*
 * Visits up to `limit` recipients after row `after`, ascending, up to row `last`; with
 * `pending_only` those in state PENDING.
 */
bool store_scan(struct store *store, uint64_t after, uint64_t last, size_t limit, bool pending_only,
                store_visit *visit, void *context) __attribute__((warn_unused_result));

/*
 * Visits recipients in any state in the same way, each with what its message says; and
 * `with_parameters` of MAIL, which cost a look at what lies behind its body.
 */
bool store_look(struct store *store, uint64_t after, uint64_t last, size_t limit,
                bool with_parameters, store_visit *visit, void *context)
    __attribute__((warn_unused_result));

/* An id above those of all messages that arrived before `arrival_ms`. */
bool store_find_arrival(struct store *store, int64_t arrival_ms, uint64_t *message)
    __attribute__((warn_unused_result));

/* A message by its age. */
struct store_age {
    int64_t arrival_ms;
    uint64_t message;
};
/* The next messages after `*after`, by arrival, that arrived before `before_ms`, at most `limit`.
 */
bool store_find_old(struct store *store, const struct store_age *after, int64_t before_ms,
                    struct store_age *ages, size_t limit, size_t *count)
    __attribute__((warn_unused_result));

/*
 * Visits each destination with pending recipients: the view has it and their earliest
 * next_attempt_ms.  Recipients due after `latest_ms` (the clock was set back since) become due at
 * `now_ms` first.  For the start: it reads the whole index.
 */
bool store_visit_destinations(struct store *store, int64_t now_ms, int64_t latest_ms,
                              store_visit *visit, void *context)
    __attribute__((warn_unused_result));

/* Visits each destination with pending recipients: how many, and when the first is due. */
typedef void store_visit_count(void *context, const char *destination, int64_t recipients,
                               int64_t next_attempt_ms);
bool store_count_destinations(struct store *store, store_visit_count *visit, void *context)
    __attribute__((warn_unused_result));

/* When the oldest message came; 0: there is none. */
bool store_find_oldest(struct store *store, int64_t *arrival_ms)
    __attribute__((warn_unused_result));

/* The room on its file system; false and errno when that cannot be asked. */
bool store_find_room(const struct store *store, uint64_t *free_bytes)
    __attribute__((warn_unused_result));

/* Opens a body file for reading: a descriptor, or -1 and errno.  From any thread. */
int store_open_body(const struct store *store, const char *body_file);

/* The same for a file that a worker left in incoming/. */
int store_open_incoming(const struct store *store, const char *name);

/* Has a file in incoming/ removed after the commit of this batch: nothing needs it. */
void store_discard_incoming(struct store *store, const char *name);

/*
 * Removes files that nobody owns: in bodies/ those that no message names, in incoming/ those
 * last written before `started_s` (seconds since 1970: the start of the daemon, whose workers may
 * still write there).
 */
bool store_clean_files(struct store *store, int64_t started_s) __attribute__((warn_unused_result));

/* --- adopting ----------------------------------------------------------------- */

enum { STORE_SOURCE_SIZE = 32 };

/*
 * Opens the queue of a frontend that is dead, to be emptied into that of `adopter` (a host name).
 * The lock proves that nobody uses it.  Before this returns it is marked as adopted, durably:
 * store_open refuses it from then on, and so does this for another adopter.  `source` names it
 * in store_note_adopted.  NULL and `error`: there is no queue, or it cannot be had; then nothing
 * was changed.
 */
struct store *store_open_adopted(const char *directory, const char *adopter,
                                 const struct store_system *system, char source[STORE_SOURCE_SIZE],
                                 char error[STORE_ERROR_SIZE]);

/* Copies a body of `from` to a new file in incoming/ of `to`, synced; false and errno.  From any
 * thread. */
bool store_copy_body(const struct store *from, const char *body_file, const struct store *to,
                     const char *name) __attribute__((warn_unused_result));

/* Takes a message with all its recipients out; one that is not there is fine. */
bool store_remove_message(struct store *store, uint64_t message)
    __attribute__((warn_unused_result));

/* Notes that message `message` of `source` is in this queue now, and may still be in the other. */
bool store_note_adopted(struct store *store, const char *source, uint64_t message)
    __attribute__((warn_unused_result));

/* Visits what is noted of `source`, at most `limit`; `ids` has room for them. */
bool store_find_adopted(struct store *store, const char *source, uint64_t *ids, size_t limit,
                        size_t *count) __attribute__((warn_unused_result));

/* Forgets what is noted of `source`: it is taken out there. */
bool store_forget_adopted(struct store *store, const char *source)
    __attribute__((warn_unused_result));

struct store_counts {
    int64_t messages, recipients, held, set_aside;
};
/* As of the last commit; from the committer's thread, or another while no batch is open. */
struct store_counts store_counts(const struct store *store);

#endif
