/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FNV-1a, 64 bits: for short keys.  Its low bits are weak: mix what is cut down.  Not against
 * somebody who chooses the keys, unless `hash` begins with a secret (common/base/map.h).
 */
#ifndef MAILSTEAD_BASE_HASH_H
#define MAILSTEAD_BASE_HASH_H

#include <stdint.h>

#include "common/base/span.h"

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* Goes on with `hash`, HASH_START at first, over the bytes of `text`. */
static inline uint64_t hash_add(uint64_t hash, struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static inline uint64_t hash_string(const char *text)
{
    return hash_add(HASH_START, span_from_string(text));
}

#endif
