/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the role "replica" at the hub:
 *
 *     replica-status   one line: node, peer, accounts, never, dirty, unsure, failing,
 *                      oldest_dirty_ms (age), lag_median_ms, lag_p99_ms, running, synced, failures,
 *                      trouble (a peer, or ""), told_age_ms (what the peer was told; -1: nothing);
 *                      then with "behind":true one line for each account that is not clean:
 *                      account, state (never, dirty, unsure, failing), dirty_age_ms, clean_age_ms,
 *                      attempts, why
 *                      With "server":S, another backend: what S told of its accounts here, the
 *                      same way: server, accounts, never, dirty, unsure, failing, behind (the sum
 * of these three), told_age_ms, is_complete; this works when S is off. replica-sync "account":A, or
 * "all":true with or without "server":S (those whose copies S has): now, and answers when all that
 * were behind are clean and, without S, the other side was told so; lines
 *                      {"event":"progress","left":N,"failed":N} come before
 *     metrics          common/service/metrics.h
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_ORDERS_H
#define MAILSTEAD_BACKEND_REPLICA_ORDERS_H

#include "backend/replica/scheduler.h"
#include "backend/replica/teller.h"
#include "common/service/control.h"

struct orders {
    struct child *child;
    struct ledger *ledger;
    struct scheduler *scheduler;
    struct teller *teller;
    struct resolver *resolver;
    struct list syncs;    /* replica-sync that wait */
    struct list listings; /* replica-status that go on */
    uv_timer_t timer;
    bool is_active;
    void (*stopped)(void *context);
    void *context;
};

extern const struct control_command orders_commands[]; /* their context is a struct orders */

/* The members above `syncs` are set. */
void orders_start(struct orders *orders);

/* What waits ends with an error. */
void orders_stop(struct orders *orders, void (*stopped)(void *context), void *context);

#endif
