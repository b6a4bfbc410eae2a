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

bool span_is_ascii(struct span span)
{
    for (size_t i = 0; i < span.length; i++)
        if ((unsigned char)span.data[i] >= 0x80)
            return false;
    return true;
}

/* The bytes of the character that `text` (not empty) begins with; 0 when it is none, RFC 3629. */
static size_t utf8_length(struct span text)
{
    static const struct {
        unsigned char first, last, second_min, second_max;
        size_t length;
    } rows[] = {
        { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    const unsigned char *bytes = (const unsigned char *)text.data;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t length = rows[i].length;

        if (bytes[0] < rows[i].first || bytes[0] > rows[i].last || length > text.length)
            continue;
        if (length > 1 && (bytes[1] < rows[i].second_min || bytes[1] > rows[i].second_max))
            return 0;
        for (size_t at = 2; at < length; at++)
            if ((bytes[at] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

bool span_is_utf8(struct span span)
{
    while (span.length > 0) {
        size_t length = utf8_length(span);

        if (length == 0)
            return false;
        span = span_drop(span, length);
    }
    return true;
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
