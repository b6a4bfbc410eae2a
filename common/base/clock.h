/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks: one that only goes forward, and one that has a date. */
#ifndef MAILSTEAD_BASE_CLOCK_H
#define MAILSTEAD_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since some moment; never goes back, the same in all processes of one machine. */
uint64_t clock_monotonic_ms(void);

/* The same in microseconds. */
uint64_t clock_monotonic_us(void);

/* Milliseconds since 1970-01-01 UTC; an administrator can set it. */
int64_t clock_wall_ms(void);

enum { CLOCK_RFC5322_SIZE = 40 };

/* `wall_ms` as an RFC 5322 section 3.3 date-time in UTC. */
void clock_format_rfc5322(int64_t wall_ms, char text[CLOCK_RFC5322_SIZE]);

#endif
