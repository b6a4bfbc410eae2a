/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns that any number of processes take together, in memory that they share: no more than so
 * many in a second.  One atomic number, no lock.  Zeroed, it is ready.
 */
#ifndef MAILSTEAD_BASE_TURNS_H
#define MAILSTEAD_BASE_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct turns {
    _Atomic uint64_t next_us; /* monotonic: when the next one is due */
};

/*
 * True when one thing may be done at `now_us`, and then the next one `interval_us` later.  Its
 * turns lag behind the clock by `lag_us` at most: what nobody used is not saved up, but whoever
 * comes late by less than that loses nothing.
 */
bool turns_take(struct turns *turns, uint64_t interval_us, uint64_t lag_us, uint64_t now_us)
    __attribute__((warn_unused_result));

#endif
