/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each of many names has used of an hourly allowance, in memory shared by processes.  Only
 * atomics, no lock.  An allowance is there as a whole at first and comes back little by little,
 * evenly over the hour.
 *
 * The table is bounded: a name that owes nothing has no row.  When a name finds no row, it takes
 * that of whoever owes least near its place, who is then forgiven.  Two processes at that same
 * moment may charge a name for another: an error of that size is allowed.
 */
#ifndef MAILSTEAD_SERVICE_METER_H
#define MAILSTEAD_SERVICE_METER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"

enum { METER_ROWS = 16384, METER_HOUR_S = 3600 };

struct meter_row {
    _Atomic uint64_t key;     /* 0: free */
    _Atomic uint64_t even_us; /* when it will owe nothing, by the monotonic clock */
};

/* Zeroed memory is an empty one. */
struct meter {
    struct meter_row rows[METER_ROWS];
};

/*
 * Charges `name` for one of `per_hour` (above 0, at most 1000000); false, and nothing is charged,
 * when its allowance is used up.  `now_us` is monotonic and above 0.
 */
bool meter_charge(struct meter *meter, struct span name, unsigned per_hour, uint64_t now_us)
    __attribute__((warn_unused_result));

/* Takes one charge back. */
void meter_refund(struct meter *meter, struct span name, unsigned per_hour);

#endif
