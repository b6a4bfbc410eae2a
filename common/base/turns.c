/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/turns.h"

bool turns_take(struct turns *turns, uint64_t interval_us, uint64_t lag_us, uint64_t now_us)
{
    uint64_t next_us = atomic_load(&turns->next_us), from_us;

    do {
        from_us = next_us + lag_us < now_us ? now_us - lag_us : next_us;
        if (from_us > now_us)
            return false;
    } while (!atomic_compare_exchange_weak(&turns->next_us, &next_us, from_us + interval_us));
    return true;
}
