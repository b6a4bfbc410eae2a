/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this node's copies are worth must be known where they are, since this node may be off when
 * it is asked for.  So it is written there, by the other backend's own Dovecot, into a dictionary
 * (replica.state_dict):
 *
 *     shared/NODE/known.N   the accounts of a bucket that were ever synchronised: a list of names
 *     shared/NODE/behind    {"at":wall ms, "is_complete":bool,
 *                            "behind":[[name, state, since when in ms], ...]}
 *
 * `behind` is told a second after it changed, and every TELLER_BEAT_MS: so old it is at most when
 * this node dies.  `known` comes later, which errs on the safe side.  A failover waits for neither:
 * teller_hurry.
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_TELLER_H
#define MAILSTEAD_BACKEND_REPLICA_TELLER_H

#include "backend/replica/doveadm_lane.h"
#include "backend/replica/ledger.h"
#include "common/service/config.h"

enum { TELLER_BEAT_MS = 10000, TELLER_KEY_SIZE = 512, TELLER_TIMEOUT_MS = 10000 };

struct teller; /* on the heap; frees itself after teller_stop */

/* NULL, after a line in the log, when TLS cannot be had as configured. */
struct teller *teller_start(struct io_loop *loop, const struct config *config,
                            struct ledger *ledger);
void teller_stop(struct teller *teller, void (*stopped)(void *context), void *context);

/* Some account is behind that was not, or the other way round. */
void teller_changed(struct teller *teller);

/* Another account of this bucket was ever synchronised. */
void teller_knows(struct teller *teller, unsigned bucket);

/* What is to be told does not wait. */
void teller_hurry(struct teller *teller);

/* The other side knows how things were at `since_ms`, of the wall clock, or later. */
bool teller_has_told(const struct teller *teller, int64_t since_ms);

/* How long ago `behind` was told, in ms; -1: not since the start. */
int64_t teller_age_ms(const struct teller *teller);

/* The dictionary's key of what `node` tells; `what` is "behind", or "known" with a bucket. */
void teller_key(const char *node, const char *what, int bucket, char key[TELLER_KEY_SIZE]);

#endif
