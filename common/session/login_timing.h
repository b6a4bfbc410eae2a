/* SPDX-License-Identifier: Apache-2.0 */
/* How long credentials wait, for a login that is relayed and for one that is only verified. */
#ifndef MAILSTEAD_SESSION_LOGIN_TIMING_H
#define MAILSTEAD_SESSION_LOGIN_TIMING_H

#include <stdint.h>

#include "common/base/random.h"

enum {
    /* More than stores take to say that a password is wrong: Dovecot 2 to 2.5 seconds. */
    LOGIN_REFUSAL_DELAY_MS = 3000,
    LOGIN_HOLD_TICK_MS = 250,
    LOGIN_ELSEWHERE_DOUBLINGS = 8, /* of a millisecond, up to the usual */
    LOGIN_REFUSALS_MAX = 3         /* of one session, which then ends */
};

/* When credentials of this age are refused, `more_ms` later than usual, in ms from now: never 0. */
static inline uint64_t login_refusal_after_ms(uint64_t age_ms, uint64_t more_ms)
{
    uint64_t delay_ms = LOGIN_REFUSAL_DELAY_MS + more_ms;

    return age_ms < delay_ms ? delay_ms - age_ms : 1;
}

/* When what is held is tried again, in ms from now. */
static inline uint64_t login_hold_after_ms(void)
{
    return LOGIN_HOLD_TICK_MS + random_below(LOGIN_HOLD_TICK_MS);
}

/*
 * When a login is tried again after a node has said for the `times`th time (from 1) that another
 * has the account: at once, and if it and we still do not know the same, later and later.
 */
static inline uint64_t login_elsewhere_after_ms(unsigned times)
{
    return times <= LOGIN_ELSEWHERE_DOUBLINGS ? UINT64_C(1) << (times - 1) : login_hold_after_ms();
}

#endif
