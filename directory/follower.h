/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows the directory by content synchronisation (RFC 4533, refreshAndPersist) and keeps
 * the mirror: reconnects for ever, over all configured URIs, resumes by cookie, and falls
 * back to a full refresh, during which the mirror's content goes on serving.
 *
 * A refresh after which more than half of the accounts would be gone is not believed: a
 * resumed one is done again in full, a full one is held (an alarm, and another
 * attempt after FOLLOWER_HELD_MS); nothing is removed.
 */
#ifndef MAILSTEAD_DIRECTORY_FOLLOWER_H
#define MAILSTEAD_DIRECTORY_FOLLOWER_H

#include "common/io/loop.h"
#include "common/service/config.h"
#include "directory/account.h"
#include "directory/mirror_writer.h"

enum { FOLLOWER_HELD_MS = 60000 };

struct follower_status {
    bool is_connected;
    bool is_synchronised; /* a refresh was complete since the start */
    const char *state;    /* "waiting", "connecting", "refreshing", "following" */
    const char *uri;      /* the server that is followed or tried */
    const char *trouble;  /* why the last connection ended; "" when there was none since */
};

struct follower;

/*
 * Starts.  Everything given is borrowed until follower_stop; `changed` is called when the
 * status is another, or the mirror has been committed.
 */
struct follower *follower_start(struct io_loop *loop, const struct directory_config *config,
                                struct account_reader *reader, struct mirror_writer *writer,
                                void (*changed)(void *context), void *context);

/* Ends it; what is not committed is dropped.  Nothing is called or touched from then on. */
void follower_stop(struct follower *follower);

/* The mirror was found to be damaged: it is set aside and filled anew. */
void follower_rebuild(struct follower *follower);

struct follower_status follower_status(const struct follower *follower);

#endif
