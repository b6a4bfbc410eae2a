/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/span.h"

#include <strings.h>

static char ascii_lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

bool span_equals(struct span a, struct span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool span_equals_ignore_case(struct span a, struct span b)
{
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

bool span_starts_with_ignore_case(struct span span, struct span prefix)
{
    return span.length >= prefix.length &&
           span_equals_ignore_case(span_take(span, prefix.length), prefix);
}

size_t span_find(struct span span, char byte)
{
    const char *found = span.length > 0 ? memchr(span.data, byte, span.length) : NULL;

    return found ? (size_t)(found - span.data) : span.length;
}

size_t span_find_last(struct span span, char byte)
{
    const char *found = span.length > 0 ? memrchr(span.data, byte, span.length) : NULL;

    return found ? (size_t)(found - span.data) : span.length;
}

bool span_has_line_break_or_nul(struct span span)
{
    return span_find(span, '\r') < span.length || span_find(span, '\n') < span.length ||
           span_find(span, '\0') < span.length;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct span span_trim(struct span span)
{
    while (span.length > 0 && is_blank(span.data[0]))
        span = span_drop(span, 1);
    while (span.length > 0 && is_blank(span.data[span.length - 1]))
        span.length--;
    return span;
}

struct span span_split(struct span *span, char separator)
{
    size_t at = span_find(*span, separator);
    struct span head = span_take(*span, at);

    *span = span_drop(*span, at < span->length ? at + 1 : at);
    return head;
}

bool span_copy_string(struct span span, char *target, size_t capacity)
{
    if (span.length >= capacity || span_find(span, '\0') < span.length)
        return false;
    if (span.length > 0)
        memcpy(target, span.data, span.length);
    target[span.length] = '\0';
    return true;
}

bool span_parse_u64(struct span span, uint64_t *value)
{
    uint64_t number = 0;

    if (span.length == 0)
        return false;
    for (size_t i = 0; i < span.length; i++) {
        unsigned digit = (unsigned)(unsigned char)span.data[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return false;
    }
    *value = number;
    return true;
}

void string_to_lower(char *text)
{
    for (; *text; text++)
        *text = ascii_lower(*text);
}
