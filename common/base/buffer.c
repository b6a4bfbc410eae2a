/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/buffer.h"

#include <stdio.h>

bool buffer_append(struct buffer *buffer, struct span bytes)
{
    if (buffer->overflowed || bytes.length > buffer_room(buffer)) {
        buffer->overflowed = true;
        return false;
    }
    if (bytes.length > 0)
        memcpy(buffer->data + buffer->length, bytes.data, bytes.length);
    buffer->length += bytes.length;
    return true;
}

bool buffer_append_string(struct buffer *buffer, const char *string)
{
    return buffer_append(buffer, span_from_string(string));
}

bool buffer_append_byte(struct buffer *buffer, char byte)
{
    return buffer_append(buffer, span_of(&byte, 1));
}

bool buffer_append_integer(struct buffer *buffer, int64_t number)
{
    char digits[sizeof("-9223372036854775808")];
    char *const end = digits + sizeof(digits), *start = end;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    do
        *--start = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (number < 0)
        *--start = '-';
    return buffer_append(buffer, span_of(start, (size_t)(end - start)));
}

bool buffer_append_vformat(struct buffer *buffer, const char *format, va_list arguments)
{
    size_t room = buffer_room(buffer);
    char spare;
    int length;

    if (buffer->overflowed)
        return false;
    length = vsnprintf(room > 0 ? buffer->data + buffer->length : &spare, room > 0 ? room : 1,
                       format, arguments);
    /* vsnprintf needs a byte for its NUL, so text that fills the room exactly counts as too long.
     */
    if (length < 0 || (size_t)length >= room) {
        buffer->overflowed = true;
        return false;
    }
    buffer->length += (size_t)length;
    return true;
}

bool buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    bool fits;

    va_start(arguments, format);
    fits = buffer_append_vformat(buffer, format, arguments);
    va_end(arguments);
    return fits;
}
