/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/wire.h"

void wire_put_u8(struct buffer *target, uint8_t value)
{
    buffer_append(target, span_of((const char *)&value, sizeof(value)));
}

void wire_put_u32(struct buffer *target, uint32_t value)
{
    buffer_append(target, span_of((const char *)&value, sizeof(value)));
}

void wire_put_u64(struct buffer *target, uint64_t value)
{
    buffer_append(target, span_of((const char *)&value, sizeof(value)));
}

void wire_put_span(struct buffer *target, struct span bytes)
{
    wire_put_u32(target, (uint32_t)bytes.length);
    buffer_append(target, bytes);
}

static struct span wire_take(struct wire_reader *reader, size_t count)
{
    struct span taken = span_take(reader->rest, count);

    if (reader->failed || taken.length < count) {
        reader->failed = true;
        return SPAN_EMPTY;
    }
    reader->rest = span_drop(reader->rest, count);
    return taken;
}

static void wire_get(struct wire_reader *reader, void *value, size_t size)
{
    struct span taken = wire_take(reader, size);

    memset(value, 0, size);
    if (taken.length == size)
        memcpy(value, taken.data, size);
}

uint8_t wire_get_u8(struct wire_reader *reader)
{
    uint8_t value;

    wire_get(reader, &value, sizeof(value));
    return value;
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
    uint32_t value;

    wire_get(reader, &value, sizeof(value));
    return value;
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
    uint64_t value;

    wire_get(reader, &value, sizeof(value));
    return value;
}

struct span wire_get_span(struct wire_reader *reader)
{
    uint32_t length = wire_get_u32(reader);

    return wire_take(reader, length);
}

void wire_get_string(struct wire_reader *reader, char *target, size_t capacity)
{
    target[0] = '\0';
    if (!span_copy_string(wire_get_span(reader), target, capacity))
        reader->failed = true;
}
