/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness from the kernel, and identifiers made of it. */
#ifndef MAILSTEAD_BASE_RANDOM_H
#define MAILSTEAD_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills `target` with `size` unpredictable bytes; aborts when the kernel gives none. */
void random_bytes(void *target, size_t size);

/* 64 unpredictable bits. */
uint64_t random_u64(void);

/* A number from 0 to `limit` - 1; `limit` is above 0.  For jitter: the bias is not corrected. */
uint64_t random_below(uint64_t limit);

enum { RANDOM_ID_SIZE = 14 }; /* 13 characters and a NUL */

/* A unique identifier of 64 bits in lower-case base 32, for sessions and messages. */
void random_id(char id[RANDOM_ID_SIZE]);

#endif
