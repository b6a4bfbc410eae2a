/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/ramp.h"

enum { RAMP_DOUBLINGS = 10 };

static const uint64_t ramp_armed = UINT64_MAX;

void ramp_arm(struct ramp *ramp)
{
    atomic_store(&ramp->began_us, ramp_armed);
}

bool ramp_is_steep(const struct ramp *ramp, const struct ramp_rules *rules, uint64_t now_us)
{
    uint64_t began_us = atomic_load(&ramp->began_us);

    if (began_us == 0 || rules->length_us == 0)
        return false;
    return began_us == ramp_armed || now_us < began_us + rules->length_us;
}

uint64_t ramp_interval_us(const struct ramp_rules *rules, uint64_t age_us)
{
    uint64_t step_us = rules->length_us / RAMP_DOUBLINGS + 1;
    uint64_t per_s = (uint64_t)rules->first_per_s << (age_us / step_us);

    per_s += per_s * (age_us % step_us) / step_us;
    return per_s < 1000000 ? 1000000 / per_s : 1;
}

bool ramp_take(struct ramp *ramp, const struct ramp_rules *rules, uint64_t now_us)
{
    uint64_t began_us = ramp_armed;

    if (!ramp_is_steep(ramp, rules, now_us))
        return true;
    if (atomic_compare_exchange_strong(&ramp->began_us, &began_us, now_us))
        began_us = now_us;
    return turns_take(&ramp->turns,
                      ramp_interval_us(rules, now_us > began_us ? now_us - began_us : 0),
                      RAMP_LAG_US, now_us);
}

bool ramp_take_of_crowd(struct ramp *ramp, const struct ramp_rules *rules, uint64_t now_us)
{
    uint64_t due_us = atomic_load(&ramp->turns.next_us);

    if (due_us + RAMP_CROWD_LEFT_US < now_us)
        atomic_store(&ramp->began_us, now_us);
    if (ramp_is_steep(ramp, rules, now_us))
        return ramp_take(ramp, rules, now_us);
    atomic_store(&ramp->turns.next_us, now_us);
    return true;
}
