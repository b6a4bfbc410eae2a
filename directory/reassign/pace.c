/* SPDX-License-Identifier: Apache-2.0 */
/* What was not used for lack of time is made up for within one step, and then forgotten. */
#include "directory/reassign/pace.h"

enum { PACE_STEPS = 5 /* a second */, PACE_SECOND_US = 1000000, PACE_STEP_US = 200000 };

size_t pace_take(struct pace *pace, uint64_t now_ms, size_t wanted, unsigned *wait_ms)
{
    uint64_t now_us = now_ms * 1000;
    size_t step = pace->rate / PACE_STEPS ? pace->rate / PACE_STEPS : 1;

    *wait_ms = 0;
    if (pace->rate == 0)
        return wanted;
    if (now_us < pace->next_us) {
        *wait_ms = (unsigned)((pace->next_us - now_us + 999) / 1000);
        return 0;
    }
    if (wanted > step)
        wanted = step;
    if (pace->next_us + PACE_STEP_US < now_us)
        pace->next_us = now_us;
    pace->next_us += (uint64_t)wanted * PACE_SECOND_US / pace->rate;
    return wanted;
}
