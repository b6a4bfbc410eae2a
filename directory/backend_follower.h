/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows the entries of backends (RFC 4533, refreshAndPersist) on the link that the follower of
 * the accounts keeps, and keeps their list in the mirror, so that it outlives the directory.  Each
 * link begins with a full refresh, since they are few.
 *
 * What is wrong changes nothing: an entry that cannot be read leaves the values that it had, and
 * of two entries with one name the one that was there first counts.
 *
 * A backend whose entry is gone stays for BACKEND_GRACE_MS of quiet.  When then more have gone than
 * are left, and accounts are still on one of them, they are held: they stay as they were, with an
 * alarm, until their entries are back or their accounts are elsewhere.
 */
#ifndef MAILSTEAD_DIRECTORY_BACKEND_FOLLOWER_H
#define MAILSTEAD_DIRECTORY_BACKEND_FOLLOWER_H

#include "common/service/backend_set.h"
#include "directory/ldap_link.h"
#include "directory/mirror_writer.h"

enum { BACKEND_GRACE_MS = 3000 };

struct backend_follower_events {
    /* The mirror has another list, committed. */
    void (*changed)(void *context);
    /* The list could not be committed, and with it what else waited to be. */
    void (*failed)(void *context);
};

struct backend_follower_status {
    bool is_synchronised; /* the list is what the directory says, on the present link */
    const char *trouble;  /* why not, or what is held; "" when there is nothing */
};

struct backend_follower;

/*
 * Starts with the list that the mirror has.  All that is given is borrowed until the stop.  Without
 * a base in the configuration it only empties the list.
 */
struct backend_follower *backend_follower_start(struct io_loop *loop, const struct config *config,
                                                struct mirror_writer *writer,
                                                const struct backend_follower_events *events,
                                                void *context);

/* Ends it; nothing is called or touched from then on. */
void backend_follower_stop(struct backend_follower *follower);

/* The link to be used, which is ready; NULL: the last one ends.  Repeated calls are harmless. */
void backend_follower_use(struct backend_follower *follower, struct ldap_link *link);

/* The backends that there are, the configuration's too. */
const struct backend_set *backend_follower_set(const struct backend_follower *follower);

struct backend_follower_status backend_follower_status(const struct backend_follower *follower);

#endif
