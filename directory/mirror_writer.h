/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one writer of the mirror.  Changes gather in a transaction until they are committed,
 * together with the cookie up to which they follow the directory.
 *
 * The content serves all the time: a refresh changes what differs, and only at
 * its end removes what it has not seen.  A file that is damaged or of a foreign schema is set
 * aside (*.damaged-1 to -3) and an empty one put in its place.
 *
 * Errors are remembered until the commit, which then is false: everything since the last
 * commit is lost, and the follower has to resume from mirror_writer_cookie.
 */
#ifndef MAILSTEAD_DIRECTORY_MIRROR_WRITER_H
#define MAILSTEAD_DIRECTORY_MIRROR_WRITER_H

#include "directory/mirror_record.h"
#include "directory/row_set.h"

struct mirror_writer;

struct mirror_key {
    struct span value; /* normalised, shorter than ROUTE_ADDRESS_SIZE */
    unsigned kinds;    /* set of enum mirror_kind; 0: a canonical name that is no key */
};

/* An account as the directory has it now; everything is borrowed. */
struct mirror_account {
    const unsigned char *uuid;     /* MIRROR_UUID_SIZE bytes */
    const struct mirror_key *keys; /* different values; the first is the canonical name */
    size_t key_count;              /* 1 to MIRROR_NAMES_MAX */
    struct span host;              /* empty: none; shorter than ROUTE_HOST_SIZE */
    struct span old_host;
    bool has_several_hosts;
    bool is_relayed;
};

/* Told after the commit that made it so. */
struct mirror_writer_events {
    /* The account is owned by `host` now, and was not; empty: it is gone.  New accounts are not
     * told. */
    void (*changed)(void *context, uint64_t revision, struct span account, struct span host);
    /* Instead of `changed`, when a commit changed too many to tell. */
    void (*changed_many)(void *context, uint64_t revision);
};

/*
 * Opens or makes the mirror in `state_directory`.  `source` says what the content is a
 * copy of (base, filter, attributes): when it differs from the file's, the cookie
 * is forgotten, so that the next refresh is a full one.  NULL, after a line in the log, when
 * the folder cannot be written.
 */
struct mirror_writer *mirror_writer_open(const char *state_directory, const char *source,
                                         const struct mirror_writer_events *events, void *context);

/* Drops what is not committed. */
void mirror_writer_close(struct mirror_writer *writer);

/* Adds the account or makes the one with its UUID equal to it; false when it was so already. */
bool mirror_writer_put(struct mirror_writer *writer, const struct mirror_account *account);

/* Removes the account with this UUID; false when there is none. */
bool mirror_writer_delete(struct mirror_writer *writer, const unsigned char uuid[MIRROR_UUID_SIZE]);

/* A refresh or a comparison begins: nothing has been seen.  What is put from now on has been. */
void mirror_writer_begin_refresh(struct mirror_writer *writer);

/* The account with this UUID is in the directory as it is in the mirror.  False when it is unknown
 * here. */
bool mirror_writer_see(struct mirror_writer *writer, const unsigned char uuid[MIRROR_UUID_SIZE]);

/* How many accounts have not been seen; and which rows have. */
uint64_t mirror_writer_unseen(const struct mirror_writer *writer);
const struct row_set *mirror_writer_seen(const struct mirror_writer *writer);

/* One account as a walk shows it; the spans are valid during the call. */
struct mirror_row {
    int64_t id; /* above 0 */
    const unsigned char *uuid;
    struct span account; /* the canonical name */
    bool is_held;
};

/*
 * Shows at most `limit` accounts with an id above `after`, in that order: the id of the last, or 0
 * at the end.  `visit` changes nothing.
 */
int64_t mirror_writer_walk(struct mirror_writer *writer, int64_t after, unsigned limit,
                           void (*visit)(void *context, const struct mirror_row *row),
                           void *context);

/*
 * The row of the account with this UUID, which then has been seen, and whether it is equal to
 * `account`; 0: there is none.
 */
int64_t mirror_writer_compare(struct mirror_writer *writer, const struct mirror_account *account,
                              bool *is_same);

/* The row with this UUID, 0: none; and whether it is held. */
int64_t mirror_writer_find(struct mirror_writer *writer, const unsigned char uuid[MIRROR_UUID_SIZE],
                           bool *is_held);

/*
 * The directory showed all that there is, and none of the rows that are not in `shown`: of the next
 * `limit` rows after `after` removes these, but for those of which `is_doubtful` (NULL: none is)
 * says so.  These are held: they stay and serve until the directory shows or deletes them, or
 * mirror_writer_accept_held.  Gives the id of the last row that it looked at, or 0 at the end.
 */
int64_t mirror_writer_sweep(struct mirror_writer *writer, int64_t after, unsigned limit,
                            const struct row_set *shown,
                            bool (*is_doubtful)(void *context, struct span account), void *context);

/* Holds one row. */
void mirror_writer_hold(struct mirror_writer *writer, int64_t row);

/* As mirror_writer_walk, over what is held. */
int64_t mirror_writer_walk_held(struct mirror_writer *writer, int64_t after, unsigned limit,
                                void (*visit)(void *context, const struct mirror_row *row),
                                void *context);

/* How many are held, since when (seconds since 1970), and whether somebody said that they stay. */
uint64_t mirror_writer_held(const struct mirror_writer *writer);
uint64_t mirror_writer_held_since_s(const struct mirror_writer *writer);
bool mirror_writer_is_held_kept(const struct mirror_writer *writer);

/* Removes up to `limit` of what is held; or says that it stays. */
void mirror_writer_accept_held(struct mirror_writer *writer, unsigned limit);
void mirror_writer_keep_held(struct mirror_writer *writer);

/* The refresh is over: from the next commit on the mirror may say that a key does not exist. */
void mirror_writer_end_refresh(struct mirror_writer *writer);

/*
 * Commits what was changed, and the cookie (NULL: as it was; empty: none).  False when
 * something failed since the last commit; the mirror then is as it was after that, or empty.
 */
bool mirror_writer_commit(struct mirror_writer *writer, const struct span *cookie)
    __attribute__((warn_unused_result));

/*
 * The file was found to be damaged: it is set aside, and the mirror is empty, as after a commit
 * that failed.
 */
void mirror_writer_discard(struct mirror_writer *writer);

/*
 * The backends that the directory lists, each by backend_put: what the mirror has, into `list`,
 * which is released first.  False when they were never put, or cannot be read.
 */
bool mirror_writer_read_backends(struct mirror_writer *writer, struct bytes *list);

/* They are these, from the next commit on. */
void mirror_writer_put_backends(struct mirror_writer *writer, struct span list);

/* The number of the host with this name; 0: none, or it cannot be read. */
int64_t mirror_writer_find_host(struct mirror_writer *writer, const char *host);

/* The name of the host with this number; "" when there is none, or it cannot be read. */
void mirror_writer_host_name(struct mirror_writer *writer, int64_t host, char *name, size_t size);

/*
 * Shows the numbers of hostServer and oldHostServer, 0: none, of the next `limit` accounts behind
 * `*after`; `*after` is then the last of them, or 0 at the end.  False when they cannot be read.
 */
bool mirror_writer_walk_hosts(struct mirror_writer *writer, int64_t *after, unsigned limit,
                              void (*visit)(void *context, int64_t host, int64_t old_host),
                              void *context);

/* True when something waits for a commit. */
bool mirror_writer_has_changes(const struct mirror_writer *writer);

/* The committed cookie; empty: none.  Valid until the next commit. */
struct span mirror_writer_cookie(const struct mirror_writer *writer);

/* The number of the last commit that changed content; 0 before the first. */
uint64_t mirror_writer_revision(const struct mirror_writer *writer);

/* Accounts, with those not yet committed. */
uint64_t mirror_writer_entries(const struct mirror_writer *writer);

/* True when a refresh was complete once: the mirror serves. */
bool mirror_writer_is_filled(const struct mirror_writer *writer);

#endif
