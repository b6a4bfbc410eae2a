/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"

/* What is small may hold a password, and must not stay behind where it was. */
enum { BYTES_WIPED_MAX = 16384 };

static void bytes_grow(struct bytes *bytes, size_t capacity)
{
    char *grown;

    if (bytes->capacity > BYTES_WIPED_MAX) {
        grown = memory_resize(bytes->data, capacity);
    } else {
        grown = memory_new(capacity);
        if (bytes->data) {
            memcpy(grown, bytes->data, bytes->length);
            explicit_bzero(bytes->data, bytes->capacity);
        }
        free(bytes->data);
    }
    bytes->data = grown;
    bytes->capacity = capacity;
}

static bool bytes_reserve(struct bytes *bytes, size_t more)
{
    size_t needed = bytes->length + more;
    size_t capacity = bytes->capacity > 0 ? bytes->capacity : 256;

    if (more > bytes->limit - bytes->length)
        return false;
    if (needed <= bytes->capacity)
        return true;
    while (capacity < needed)
        capacity *= 2;
    bytes_grow(bytes, capacity);
    return true;
}

bool bytes_append(struct bytes *bytes, struct span more)
{
    if (!bytes_reserve(bytes, more.length))
        return false;
    if (more.length > 0)
        memcpy(bytes->data + bytes->length, more.data, more.length);
    bytes->length += more.length;
    return true;
}

bool bytes_append_format(struct bytes *bytes, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    bool fits;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        memory_exhausted();
    fits = bytes_append(bytes, span_of(text, (size_t)length));
    free(text);
    return fits;
}

void bytes_consume(struct bytes *bytes, size_t count)
{
    assert(count <= bytes->length);
    if (count == bytes->length) {
        bytes_release(bytes);
        return;
    }
    memmove(bytes->data, bytes->data + count, bytes->length - count);
    bytes->length -= count;
}

void bytes_release(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = bytes_empty(bytes->limit);
}

void bytes_wipe(struct bytes *bytes)
{
    if (bytes->data)
        explicit_bzero(bytes->data, bytes->capacity);
    bytes_release(bytes);
}
