/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ramp: what all would begin at once begins slowly, and then faster and faster.  In the first
 * moment `first_per_s` things a second, twice as many after each tenth of `length_us`, and as many
 * as there are behind it.  Any number of processes keep one together, in memory that they share.
 * Zeroed, it is level: nothing is held back.
 */
#ifndef MAILSTEAD_BASE_RAMP_H
#define MAILSTEAD_BASE_RAMP_H

#include "common/base/turns.h"

struct ramp_rules {
    unsigned first_per_s; /* 1 or more */
    uint64_t length_us;   /* 0: there are no ramps */
};

struct ramp {
    _Atomic uint64_t began_us; /* monotonic; 0: level, UINT64_MAX: with whoever asks next */
    struct turns turns;
};

enum {
    RAMP_LAG_US = 250000, /* how late whoever waits for his turn may ask again: see turns_take */
    RAMP_CROWD_LEFT_US = 1000000 /* nobody of a crowd takes what is due for so long: it is gone */
};

/* The ramp begins with whoever asks next. */
void ramp_arm(struct ramp *ramp);

/* True while it holds anything back, or will with whoever asks next. */
bool ramp_is_steep(const struct ramp *ramp, const struct ramp_rules *rules, uint64_t now_us);

/* True when one more thing may begin at `now_us`, which is counted. */
bool ramp_take(struct ramp *ramp, const struct ramp_rules *rules, uint64_t now_us)
    __attribute__((warn_unused_result));

/*
 * The same for a ramp that nobody arms.  It begins anew with each crowd, be the one before long
 * over or not: when nobody took what was due for RAMP_CROWD_LEFT_US.  Who waits asks more often.
 */
bool ramp_take_of_crowd(struct ramp *ramp, const struct ramp_rules *rules, uint64_t now_us)
    __attribute__((warn_unused_result));

/* The time between two things at the age `age_us` of a ramp, which is less than its length. */
uint64_t ramp_interval_us(const struct ramp_rules *rules, uint64_t age_us);

#endif
