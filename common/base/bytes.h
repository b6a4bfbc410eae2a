/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on the heap that grow up to a limit which the owner sets before the
 * first append.  For what a peer sends piecewise and for text that we compose.
 */
#ifndef MAILSTEAD_BASE_BYTES_H
#define MAILSTEAD_BASE_BYTES_H

#include "common/base/span.h"

struct bytes {
    char *data; /* owned; NULL while nothing is held */
    size_t length;
    size_t capacity;
    size_t limit; /* length never passes it */
};

/* Empty bytes that may grow to `limit`; owns no memory yet. */
static inline struct bytes bytes_empty(size_t limit)
{
    return (struct bytes){ NULL, 0, 0, limit };
}

/* What is held; valid until the next change. */
static inline struct span bytes_span(const struct bytes *bytes)
{
    return span_of(bytes->data, bytes->length);
}

/* Appends all of `more`, or nothing and false when the limit would be passed. */
bool bytes_append(struct bytes *bytes, struct span more) __attribute__((warn_unused_result));

/* Appends formatted text whole, or nothing and false when the limit would be passed. */
bool bytes_append_format(struct bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/* Drops the first `count` (at most length) bytes; frees the memory when none is left. */
void bytes_consume(struct bytes *bytes, size_t count);

/* Frees the memory and leaves empty bytes of the same limit. */
void bytes_release(struct bytes *bytes);

/* As bytes_release, after wiping all that was held. */
void bytes_wipe(struct bytes *bytes);

#endif
