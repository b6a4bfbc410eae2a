/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second process that keeps connections open for a while when this one is killed, and does
 * nothing else: OpenLDAP dies of a connection that ends while its transaction is being
 * committed (lane.c says why).  It waits until the server has answered the end of a transaction
 * that was under way, and until nothing more arrives.
 *
 * It never writes to a connection, and what comes is thrown away.  It has a session of its own, and
 * so survives a Ctrl-C, and what ends the session of a terminal.  Where it cannot be started
 * everything goes on without it.
 */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_GUARD_H
#define MAILSTEAD_DIRECTORY_REASSIGN_GUARD_H

#include <stdbool.h>

enum { GUARD_CONNECTIONS_MAX = 8 };

struct guard;

/* One connection that is kept. */
struct guarded;

/* Forks; on the heap, guard_stop ends it.  NULL: there is none. */
struct guard *guard_start(void);

/* All is well: nothing more is to be kept.  Waits for the process; `guard` may be NULL. */
void guard_stop(struct guard *guard);

/*
 * Keeps the connection `fd` from now on, which stays the caller's.  NULL: it is not kept.  Valid as
 * long as the guard; there is room for GUARD_CONNECTIONS_MAX in its life.
 */
struct guarded *guard_keep(struct guard *guard, int fd);

/* Notes that the end of a transaction is under way, or not any more; `guarded` may be NULL. */
void guard_mark(struct guarded *guarded, bool is_ending);

#endif
