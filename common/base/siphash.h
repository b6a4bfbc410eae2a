/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a hash of 64 bits that who does not know the key can
 * neither foresee nor make collide.  For tables whose keys strangers choose.
 */
#ifndef MAILSTEAD_BASE_SIPHASH_H
#define MAILSTEAD_BASE_SIPHASH_H

#include <stdint.h>

#include "common/base/span.h"

enum { SIPHASH_KEY_SIZE = 16 };

uint64_t siphash(const unsigned char key[SIPHASH_KEY_SIZE], struct span text);

#endif
