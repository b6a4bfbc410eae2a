/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads accounts again about which the mirror may be wrong, and corrects it.  OpenLDAP tells a
 * change before it commits it: one that an aborted transaction or a server's death undid is a
 * phantom here, and nothing tells that it is.  So each change that was told is read again a moment
 * later.  It also settles what a comparison of the whole found (compare.h).
 *
 * A difference is believed at the second look only, since a commit may be under way; what was
 * corrected is looked at for half a minute more, since a long transaction may end after all.
 * A change that is told meanwhile begins anew, and what was being read then counts for nothing.
 *
 * It never removes an account that is held, and does nothing without a link.
 */
#ifndef MAILSTEAD_DIRECTORY_RECHECK_H
#define MAILSTEAD_DIRECTORY_RECHECK_H

#include "directory/account.h"
#include "directory/ldap_link.h"

struct recheck; /* on the heap; frees itself after recheck_stop */

/* What became of the accounts that a comparison asked about. */
struct recheck_tally {
    uint64_t open;      /* not yet judged */
    uint64_t same;      /* the mirror was right, or had come right */
    uint64_t corrected; /* changed or added in the mirror */
    uint64_t removed;
};

/*
 * Everything is borrowed until recheck_stop.  `overflowed` is called when more was told than can be
 * remembered: then only a comparison helps.
 */
struct recheck *recheck_start(struct io_loop *loop, const struct directory_config *config,
                              struct account_reader *reader, struct mirror_writer *writer,
                              void (*overflowed)(void *context), void *context);
void recheck_stop(struct recheck *recheck);

/*
 * The link to read on, which its owner commits after (ldap_link_events.turn), or NULL: what is
 * being read is forgotten and read again on the next one.
 */
void recheck_use(struct recheck *recheck, struct ldap_link *link);

/* A change of this entry was told. */
void recheck_note(struct recheck *recheck, const unsigned char uuid[MIRROR_UUID_SIZE]);

/* A comparison wonders about this entry: it is looked at soon, and counted. */
void recheck_wonder(struct recheck *recheck, const unsigned char uuid[MIRROR_UUID_SIZE]);

/* The counts since recheck_begin_tally; those that are open then no longer count. */
void recheck_begin_tally(struct recheck *recheck);
struct recheck_tally recheck_tally(const struct recheck *recheck);

#endif
