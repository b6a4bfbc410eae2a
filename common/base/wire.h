/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoding of messages between our own processes: fixed-width integers in
 * host order and length-prefixed byte strings.  One machine, one build: it has
 * no version.  A reader that runs past the end is marked as failed and gives
 * zeros from then on, so that a decoder needs one check at its end.
 */
#ifndef MAILSTEAD_BASE_WIRE_H
#define MAILSTEAD_BASE_WIRE_H

#include "common/base/buffer.h"

/* Each appends one value; overflow is the buffer's mark. */
void wire_put_u8(struct buffer *target, uint8_t value);
void wire_put_u32(struct buffer *target, uint32_t value);
void wire_put_u64(struct buffer *target, uint64_t value);
void wire_put_span(struct buffer *target, struct span bytes);

struct wire_reader {
    struct span rest; /* what is not yet read */
    bool failed;
};

static inline struct wire_reader wire_reader_over(struct span message)
{
    return (struct wire_reader){ message, false };
}

/* Each takes one value off the front; a span points into the message. */
uint8_t wire_get_u8(struct wire_reader *reader);
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
struct span wire_get_span(struct wire_reader *reader);

/* wire_get_span into a NUL-terminated string; marks the reader when it does not fit. */
void wire_get_string(struct wire_reader *reader, char *target, size_t capacity);

/* True when every read succeeded and nothing is left over. */
static inline bool wire_reader_is_complete(const struct wire_reader *reader)
{
    return !reader->failed && reader->rest.length == 0;
}

#endif
