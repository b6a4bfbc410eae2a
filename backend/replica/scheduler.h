/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which account is synchronised when: one at a time for each account, replica.at_a_time in all,
 * what was touched before what never was, that before what is in doubt.  Always two-way: a copy
 * that has diverged must not be overwritten.
 *
 * With whom: an account of this node that came from another (oldHostServer), with that one; one of
 * its own, with replica.to; one that another node has now, but that changed here before, with that.
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_SCHEDULER_H
#define MAILSTEAD_BACKEND_REPLICA_SCHEDULER_H

#include "backend/replica/doveadm_lane.h"
#include "backend/replica/ledger.h"
#include "common/session/resolver.h"

enum { SCHEDULER_LAGS = 1024 };

struct scheduler; /* on the heap; frees itself after scheduler_stop */

/* How long the last synchronisations of changed accounts came behind the oldest change. */
struct scheduler_lags {
    size_t count; /* of SCHEDULER_LAGS at most */
    int64_t median_ms, p99_ms;
    uint64_t synced, failed; /* in all, since the start */
};

struct scheduler_events {
    /* A try of `row` has ended, and was written; `was_known`: it was the same before, too. */
    void (*ended)(void *context, const struct ledger_row *row, bool was_known);
};

/* `ledger` and `resolver` outlive it. */
/* NULL, after a line in the log, when TLS cannot be had as configured. */
struct scheduler *scheduler_start(struct io_loop *loop, const struct config *config,
                                  struct ledger *ledger, struct resolver *resolver,
                                  const struct scheduler_events *events, void *context);
void scheduler_stop(struct scheduler *scheduler, void (*stopped)(void *context));

/* The account's mail changed. */
void scheduler_touch(struct scheduler *scheduler, const char *account);

/* The account is synchronised now, however it stands; anew when that is under way. */
void scheduler_touch_now(struct scheduler *scheduler, const char *account);

/* Any account may have changed. */
void scheduler_doubt_all(struct scheduler *scheduler, const char *why);

/* The ledger has something new that may be due. */
void scheduler_wake(struct scheduler *scheduler);

/* Nothing can be written: nothing is begun for `ms`. */
void scheduler_pause(struct scheduler *scheduler, uint64_t ms);

/* An order waits: nothing is held back, not even by a peer in trouble; once. */
void scheduler_hurry(struct scheduler *scheduler);

/* While orders wait, first synchronisations are not spread over time; calls come in pairs. */
void scheduler_begin_order(struct scheduler *scheduler);
void scheduler_end_order(struct scheduler *scheduler);

void scheduler_lags(const struct scheduler *scheduler, struct scheduler_lags *lags);

/* Synchronisations that run now. */
unsigned scheduler_running(const struct scheduler *scheduler);

/* The peer in trouble, "" for the own Dovecot; NULL: there is none. */
const char *scheduler_trouble(const struct scheduler *scheduler);

#endif
