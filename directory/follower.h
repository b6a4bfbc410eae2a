/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows the directory by content synchronisation (RFC 4533, refreshAndPersist) and keeps
 * the mirror: reconnects for ever, over all configured URIs, resumes by cookie, and falls
 * back to a full refresh, during which the mirror's content goes on serving.
 *
 * A refresh that would remove unusually many accounts of a domain, or of all, is not believed
 * (hold_accounts, hold_percent): a resumed one is done again in full.  Then the changes are taken,
 * the others that are gone are removed, and those of the doubtful domains are held: they stay and
 * serve, with an alarm, until the directory shows or deletes them singly, or a person decides.
 *
 * While another server than the first is followed, the first is tried again now and then.
 */
#ifndef MAILSTEAD_DIRECTORY_FOLLOWER_H
#define MAILSTEAD_DIRECTORY_FOLLOWER_H

#include "common/io/loop.h"
#include "common/service/config.h"
#include "directory/account.h"
#include "directory/compare.h"
#include "directory/mirror_writer.h"

struct follower_status {
    bool is_connected;
    /* A refresh was complete since the start, and did not seem to have lost most accounts. */
    bool is_synchronised;
    const char *state;   /* "waiting", "connecting", "refreshing", "sweeping", "following" */
    const char *uri;     /* the server that is followed or tried */
    const char *trouble; /* why the last connection ended; "" when there was none since */
};

struct follower;
struct ldap_link;

/*
 * Starts.  Everything given is borrowed until follower_stop; `changed` is called when the
 * status is another, or the mirror has been committed.
 */
struct follower *follower_start(struct io_loop *loop, const struct directory_config *config,
                                struct account_reader *reader, struct mirror_writer *writer,
                                void (*changed)(void *context), void *context);

/*
 * `use` is given each link once it is ready, and NULL before it ends: others may search on it, too.
 * With the context of follower_start.
 */
void follower_lend(struct follower *follower, void (*use)(void *context, struct ldap_link *link));

/* A commit of somebody else failed: the link ends, the next one resumes from what the mirror has.
 */
void follower_mirror_failed(struct follower *follower);

/* Ends it; what is not committed is dropped.  Nothing is called or touched from then on. */
void follower_stop(struct follower *follower);

/* The mirror was found to be damaged: it is set aside and filled anew. */
void follower_rebuild(struct follower *follower);

/* Compares the mirror with the directory now; see compare_now. */
bool follower_compare(struct follower *follower, const struct compare_events *events,
                      void *context);

/*
 * What is held was really removed: it goes now.  Or it was not: it stays, without an alarm, until
 * the directory shows or deletes it.  Both give the count of accounts.
 */
uint64_t follower_accept_held(struct follower *follower);
uint64_t follower_keep_held(struct follower *follower);

struct follower_status follower_status(const struct follower *follower);

#endif
