/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all workers of a daemon count together about strangers: sessions that are open, failures
 * that time forgives, blocks.  A table of fixed size on the board; its keys are hashes under a
 * random key, so that nobody can choose whose row he shares.  Only atomic operations, no lock, no
 * wait: what is lost in a race is one count, never a row of somebody else.
 *
 * A key has TALLY_WAYS places.  When all are taken the one goes whose last use is the longest ago,
 * but first those that nothing is known of any more: who connects from many addresses pushes out
 * his own rows.  One with open sessions or a block stays.  When all stay, there is no row: nothing
 * is counted.
 *
 * A process that was killed cannot take back the sessions that it had counted.  So the
 * supervisor begins a new epoch then (tally_begin_epoch); the counts of an older one are void, and
 * each worker counts its sessions again.
 */
#ifndef MAILSTEAD_SERVICE_TALLY_H
#define MAILSTEAD_SERVICE_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/siphash.h"

enum { TALLY_ROWS = 65536, TALLY_WAYS = 8 };

struct tally_row {
    _Atomic uint64_t key;              /* 0: free; 1: changes hands */
    _Atomic uint64_t used_ms;          /* monotonic */
    _Atomic uint64_t open;             /* the epoch in the high half, the sessions in the low one */
    _Atomic uint64_t failures;         /* thousandths in the high 24 bits, and when */
    _Atomic uint64_t blocked_until_ms; /* monotonic; 0: is not */
    _Atomic uint64_t wrong;            /* the last four wrong secrets, 16 bits of a hash of each */
    _Atomic uint64_t good;             /* 1 << 16, and 16 bits of the last good one; 0: none yet */
    uint64_t unused;
};

struct tally {
    unsigned char hash_key[SIPHASH_KEY_SIZE];
    _Atomic uint32_t epoch;
    _Alignas(64) struct tally_row rows[TALLY_ROWS];
};

/* Prepares zeroed memory. */
void tally_init(struct tally *tally);

/* The key of `name`, of the kind `kind` (one row each), at `place`; either may be empty. */
uint64_t tally_key(const struct tally *tally, char kind, struct span name, struct span place);

/* 16 bits that say whether a secret is the same as another time. */
uint16_t tally_mark(const struct tally *tally, struct span secret);

/* The row of `key`; NULL when there is none. */
struct tally_row *tally_find(struct tally *tally, uint64_t key);

/* The same, made when there is none; NULL when there is no place. */
struct tally_row *tally_take(struct tally *tally, uint64_t key, uint64_t now_ms);

/* --- sessions that are open --- */

/* A session that is counted; zeroed: is not. */
struct tally_open {
    uint64_t key;
    uint32_t row, epoch;
};

/* Counts a session under `key`; how many there are with it, 0 when it could not be counted. */
uint32_t tally_open(struct tally *tally, struct tally_open *open, uint64_t key, uint64_t now_ms);

/* Idempotent. */
void tally_close(struct tally *tally, struct tally_open *open);

/* A process has ended without taking back what it had counted. */
void tally_begin_epoch(struct tally *tally);

/* --- failures --- */

/*
 * Failures are counted in thousandths.  Time forgives `capacity` (1 to 16000) of them in
 * `window_ms`.
 *
 * Adds `amount`; false, and nothing has changed, when there would be more than `capacity` then.
 */
bool tally_charge(struct tally_row *row, uint32_t amount, unsigned capacity, uint64_t window_ms,
                  uint64_t now_ms);

/* Whether tally_charge would. */
bool tally_has_room(const struct tally_row *row, uint32_t amount, unsigned capacity,
                    uint64_t window_ms, uint64_t now_ms);

/* Takes `amount` back. */
void tally_refund(struct tally_row *row, uint32_t amount);

/* How many there are, in thousandths. */
uint32_t tally_failures(const struct tally_row *row, unsigned capacity, uint64_t window_ms,
                        uint64_t now_ms);

/* Forgives half of them. */
void tally_halve(struct tally_row *row);

#endif
