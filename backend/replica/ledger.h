/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the replica process knows of each account's copy, in replica.db: when it was last the same,
 * since when it is behind, when it is to be tried next.  What is written is on disk, for a crash of
 * ours, behind ledger_commit; a crash of the machine may take the last of it, which ledger_open
 * finds out.
 *
 * Times are of the wall clock, in ms; 0: never.
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_LEDGER_H
#define MAILSTEAD_BACKEND_REPLICA_LEDGER_H

#include <jansson.h>

#include "directory/route.h"

enum { LEDGER_WHY_SIZE = 96, LEDGER_BUCKETS = 16 };

/* Why an account is to be synchronised; of several reasons, the first. */
enum ledger_reason {
    LEDGER_TOUCHED, /* its mail changed, or somebody ordered it */
    LEDGER_FIRST,   /* it never was */
    LEDGER_UNSURE,  /* changes may have been missed */
    LEDGER_SWEEP,   /* nothing was heard of it for long */
    LEDGER_AWAY     /* it is another node's: it is not */
};

struct ledger_row {
    char account[ROUTE_ADDRESS_SIZE];
    char peer[ROUTE_HOST_SIZE]; /* with whom it was the same; empty: with nobody */
    enum ledger_reason reason;
    int64_t clean_ms; /* all changes before are in the copy */
    int64_t dirty_ms; /* of the oldest change that is not; 0: none is known */
    int64_t due_ms;
    unsigned attempts; /* that failed in a row */
    unsigned timeouts; /* of them in a row that took too long */
    char why[LEDGER_WHY_SIZE];
};

struct ledger;

/*
 * Opens replica.db in `state_directory`.  `wrote` is called when something is written that no
 * ledger_commit has followed yet.  `run` names this run of the daemon: when the last one
 * ended without ledger_close(is_whole), all accounts are unsure.  NULL, after a line in the log,
 * when the system refuses.
 */
struct ledger *ledger_open(const char *state_directory, const char *run,
                           void (*wrote)(void *context), void *context);

/* `is_whole`: whoever could have told of changes has left in order. */
void ledger_close(struct ledger *ledger, bool is_whole);

/* False, after a line in the log, when it cannot be written: what was not is forgotten. */
bool ledger_commit(struct ledger *ledger);

/* The account changed at `now_ms`; it is due at `due_ms`, or later while it fails. */
void ledger_touch(struct ledger *ledger, const char *account, int64_t now_ms, int64_t due_ms);

/* It is this node's: true when it is new or was away, and so is due now. */
bool ledger_add(struct ledger *ledger, const char *account, int64_t now_ms);

/* Any account may have changed. */
void ledger_doubt_all(struct ledger *ledger, int64_t now_ms);

/* `row` is written; it was tried at `now_ms`, 0: it was not. */
void ledger_write(struct ledger *ledger, const struct ledger_row *row, int64_t now_ms);

/* It is another node's, and nothing of it is left to do; or it exists no more. */
void ledger_set_away(struct ledger *ledger, const char *account);
void ledger_remove(struct ledger *ledger, const char *account);

/* False when it is not there. */
bool ledger_read(struct ledger *ledger, const char *account, struct ledger_row *row);

/*
 * Gives up to `limit` rows that are due at `now_ms` for this reason, the first to be due first,
 * until `visit` says false.
 */
void ledger_each_due(struct ledger *ledger, enum ledger_reason reason, int64_t now_ms,
                     unsigned limit, bool (*visit)(void *context, const struct ledger_row *row),
                     void *context);

/* When the next is due for this reason; INT64_MAX: none. */
int64_t ledger_next_due_ms(struct ledger *ledger, enum ledger_reason reason);

/* All that are not clean are due now; with `peer`, those last synchronised with it or nobody. */
void ledger_hurry(struct ledger *ledger, const char *peer);

/* The account is due now, however it stands. */
void ledger_touch_now(struct ledger *ledger, const char *account);

/* How the accounts of this node stand. */
struct ledger_counts {
    int64_t accounts, never, dirty, unsure, failing, oldest_dirty_ms;
};
void ledger_count(struct ledger *ledger, struct ledger_counts *counts);

/* Of those that were behind at `since_ms` and still are: how many were not tried since, how many in
 * vain. */
void ledger_count_left(struct ledger *ledger, const char *peer, int64_t since_ms, int64_t *untried,
                       int64_t *failed);

/*
 * Gives up to `limit` rows of accounts of this node that are behind, by name, behind `after`: their
 * count.
 */
unsigned ledger_each_behind(struct ledger *ledger, const char *after, unsigned limit,
                            void (*visit)(void *context, const struct ledger_row *row),
                            void *context);

/* In which of the LEDGER_BUCKETS an account is. */
unsigned ledger_bucket(const char *account);

/* The names of a bucket's accounts that were ever synchronised with `peer`. */
json_t *ledger_known(struct ledger *ledger, unsigned bucket, const char *peer);

/* "never", "dirty", "unsure", "failing" or "clean". */
const char *ledger_state(const struct ledger_row *row);

#endif
