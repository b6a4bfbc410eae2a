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

/* Adds the account or makes the one with its UUID equal to it. */
void mirror_writer_put(struct mirror_writer *writer, const struct mirror_account *account);

/* Removes the account with this UUID, if there is one. */
void mirror_writer_delete(struct mirror_writer *writer, const unsigned char uuid[MIRROR_UUID_SIZE]);

/* A refresh begins: nothing has been seen.  What is put from now on has been. */
void mirror_writer_begin_refresh(struct mirror_writer *writer);

/* The account with this UUID is in the directory as it is in the mirror.  False when it is unknown
 * here. */
bool mirror_writer_see(struct mirror_writer *writer, const unsigned char uuid[MIRROR_UUID_SIZE]);

/* The accounts that the refresh has not seen: as many as mirror_writer_sweep would remove. */
uint64_t mirror_writer_unseen(const struct mirror_writer *writer);

/* The refresh showed all that there is: removes what it has not shown. */
void mirror_writer_sweep(struct mirror_writer *writer);

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
