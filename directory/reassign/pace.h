/* SPDX-License-Identifier: Apache-2.0 */
/* How many entries may be changed now when only so many a second may be: pure. */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_PACE_H
#define MAILSTEAD_DIRECTORY_REASSIGN_PACE_H

#include <stddef.h>
#include <stdint.h>

struct pace {
    unsigned rate;    /* a second; 0: no bound */
    uint64_t next_us; /* before that moment none */
};

/*
 * How many of `wanted` (above 0) may start at `now_ms`, a time that never goes back: a fifth of a
 * second's worth at most, so that a small rate means small steps, and one at least.  0 and
 * `*wait_ms` above 0 when it is too early.
 */
size_t pace_take(struct pace *pace, uint64_t now_ms, size_t wanted, unsigned *wait_ms);

#endif
