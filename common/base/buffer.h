/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffer is a writer over memory of a fixed size that somebody else owns.
 * An append either fits whole or changes nothing and marks the buffer as
 * overflowed, so that a chain of appends needs one check at its end.
 */
#ifndef MAILSTEAD_BASE_BUFFER_H
#define MAILSTEAD_BASE_BUFFER_H

#include <stdarg.h>

#include "common/base/span.h"

struct buffer {
    char *data;      /* borrowed */
    size_t length;   /* bytes written */
    size_t capacity; /* bytes that fit in all */
    bool overflowed; /* an append did not fit; nothing later is appended */
};

/* An empty buffer over `memory` of `capacity` bytes. */
static inline struct buffer buffer_over(char *memory, size_t capacity)
{
    return (struct buffer){ memory, 0, capacity, false };
}

/* What has been written so far; valid until the next append or clear. */
static inline struct span buffer_span(const struct buffer *buffer)
{
    return span_of(buffer->data, buffer->length);
}

/* Bytes that still fit. */
static inline size_t buffer_room(const struct buffer *buffer)
{
    return buffer->capacity - buffer->length;
}

/* Forgets the content and the overflow mark. */
static inline void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    buffer->overflowed = false;
}

/* Each appends its argument whole; the result is !buffer->overflowed. */
bool buffer_append(struct buffer *buffer, struct span bytes);
bool buffer_append_string(struct buffer *buffer, const char *string);
bool buffer_append_byte(struct buffer *buffer, char byte);
bool buffer_append_integer(struct buffer *buffer, int64_t number); /* decimal */
bool buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool buffer_append_vformat(struct buffer *buffer, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

#endif
