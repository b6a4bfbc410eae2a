/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers share. */
#ifndef MAILSTEAD_TESTS_FUZZ_H
#define MAILSTEAD_TESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "common/base/buffer.h"
#include "common/proto/machine.h"

/* Aborts, which is how a fuzzer fails, unless `condition` holds.  Not switched off by NDEBUG. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { FUZZ_INPUT_MAX = 1 << 16, FUZZ_TRACE_MAX = 1 << 20 };

/* The first byte of `*input`, taken off; 0 when there is none. */
static inline unsigned fuzz_take_byte(struct span *input)
{
    unsigned byte = input->length > 0 ? (unsigned char)input->data[0] : 0;

    *input = span_drop(*input, 1);
    return byte;
}

/* The entry that libFuzzer and replay_main.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
