/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span is a borrowed, read-only run of bytes.  It owns nothing, is never
 * NUL-terminated, and is valid as long as the memory that it points into.
 */
#ifndef MAILSTEAD_BASE_SPAN_H
#define MAILSTEAD_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *data; /* may be NULL only when length is 0 */
    size_t length;    /* bytes */
};

#define SPAN_EMPTY ((struct span){ NULL, 0 })
/* A span over a string literal, without its NUL. */
#define SPAN_LITERAL(text) ((struct span){ (text), sizeof(text) - 1 })
/* For printf's "%.*s".  Not for the log, which escapes spans by itself. */
#define SPAN_PRINTF(span) (int)(span).length, (span).data ? (span).data : ""

static inline struct span span_of(const char *data, size_t length)
{
    return (struct span){ data, length };
}

/* The span over `string` without its NUL; NULL gives the empty span. */
static inline struct span span_from_string(const char *string)
{
    return (struct span){ string, string ? strlen(string) : 0 };
}

/* The first `count` bytes of `span`, or all of it when it is shorter. */
static inline struct span span_take(struct span span, size_t count)
{
    return span_of(span.data, count < span.length ? count : span.length);
}

/* What follows the first `count` bytes of `span`; empty when it is shorter. */
static inline struct span span_drop(struct span span, size_t count)
{
    if (count >= span.length)
        return span_of(span.data ? span.data + span.length : NULL, 0);
    return span_of(span.data + count, span.length - count);
}

/* True when both hold the same bytes. */
bool span_equals(struct span a, struct span b);

/* True when both hold the same bytes but for the case of ASCII letters. */
bool span_equals_ignore_case(struct span a, struct span b);

/* True when `span` starts with `prefix`, ASCII case ignored. */
bool span_starts_with_ignore_case(struct span span, struct span prefix);

/* The index of the first `byte` in `span`, or span.length when it has none. */
size_t span_find(struct span span, char byte);

/* The index of the last `byte` in `span`, or span.length when it has none. */
size_t span_find_last(struct span span, char byte);

/* True when `span` holds any of CR, LF or NUL. */
bool span_has_line_break_or_nul(struct span span);

/* True when every byte is below 0x80. */
bool span_is_ascii(struct span span);

/* True when it is UTF-8 as RFC 3629 has it: nothing overlong, no surrogate, nothing cut. */
bool span_is_utf8(struct span span);

/* `span` without spaces and tabs at either end. */
struct span span_trim(struct span span);

/*
 * Takes the leading run of bytes that are not `separator` off `*span`, and
 * the one separator behind it.  The whole span when it has no separator.
 */
struct span span_split(struct span *span, char separator);

/*
 * Copies `span` with a terminating NUL to `target` of `capacity` bytes.
 * False, and `target` untouched, when it does not fit or holds a NUL.
 */
bool span_copy_string(struct span span, char *target, size_t capacity)
    __attribute__((warn_unused_result));

/*
 * Reads `span` as an unsigned decimal number of digits only.
 * False, and `*value` untouched, when it is empty, has another byte, or overflows.
 */
bool span_parse_u64(struct span span, uint64_t *value) __attribute__((warn_unused_result));

/* Lower-cases the ASCII letters of `text`, which is NUL-terminated, in place. */
void string_to_lower(char *text);

#endif
