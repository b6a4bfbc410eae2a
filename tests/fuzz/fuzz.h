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

enum {
    FUZZ_INPUT_MAX = 1 << 16,
    FUZZ_TRACE_MAX = 1 << 20,
    FUZZ_BYTEWISE_MAX = 4096 /* a longer input is not tried byte by byte */
};

/* The first byte of `*input`, taken off; 0 when there is none. */
static inline unsigned fuzz_take_byte(struct span *input)
{
    unsigned byte = input->length > 0 ? (unsigned char)input->data[0] : 0;

    *input = span_drop(*input, 1);
    return byte;
}

/*
 * Runs a machine over `input`, given up to the position `cut`, then `step` bytes at a time; the
 * trace of all that it did is written to `trace` (FUZZ_TRACE_MAX bytes).
 */
typedef struct span fuzz_run(unsigned options, struct span input, size_t cut, size_t step,
                             char *trace);

/*
 * `bytes` is a byte of options, two bytes of a position, and the machine's input: checks that all
 * is the same whether it comes whole, cut at that position or (when it is short) byte by byte.
 */
static inline void fuzz_compare_cuts(const uint8_t *bytes, size_t size, fuzz_run *run)
{
    static char whole_memory[FUZZ_TRACE_MAX], pieces_memory[FUZZ_TRACE_MAX];
    struct span input = span_of((const char *)bytes, size);
    unsigned options = fuzz_take_byte(&input);
    unsigned high = fuzz_take_byte(&input), low = fuzz_take_byte(&input);
    struct span whole;

    input = span_take(input, FUZZ_INPUT_MAX / 4);
    whole = run(options, input, input.length, 1, whole_memory);
    FUZZ_CHECK(span_equals(
        whole, run(options, input, (size_t)high * 256 + low, FUZZ_INPUT_MAX, pieces_memory)));
    if (input.length <= FUZZ_BYTEWISE_MAX)
        FUZZ_CHECK(span_equals(whole, run(options, input, 1, 1, pieces_memory)));
}

/* The entry that libFuzzer and replay_main.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
