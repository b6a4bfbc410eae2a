/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/ber.h"

enum { BER_LENGTH_BYTES_MAX = 4, BER_LONG_LENGTH = 0x80, BER_LONG_TAG = 0x1f };

/* Reads a length; the bytes that it took, or 0 when it is cut, indefinite or too long. */
static size_t ber_read_length(struct span bytes, size_t *length)
{
    const unsigned char *byte = (const unsigned char *)bytes.data;
    size_t count;

    if (bytes.length == 0)
        return 0;
    if (byte[0] < BER_LONG_LENGTH) {
        *length = byte[0];
        return 1;
    }
    count = byte[0] & ~(unsigned)BER_LONG_LENGTH;
    if (count == 0 || count > BER_LENGTH_BYTES_MAX || bytes.length <= count)
        return 0;
    *length = 0;
    for (size_t i = 1; i <= count; i++)
        *length = *length << 8 | byte[i];
    return count + 1;
}

bool ber_take(struct span *rest, unsigned *tag, struct span *content)
{
    size_t length, head;
    struct span body;

    if (rest->length < 2 || ((unsigned char)rest->data[0] & BER_LONG_TAG) == BER_LONG_TAG)
        return false;
    head = ber_read_length(span_drop(*rest, 1), &length);
    if (head == 0)
        return false;
    body = span_drop(*rest, 1 + head);
    if (length > body.length)
        return false;
    *tag = (unsigned char)rest->data[0];
    *content = span_take(body, length);
    *rest = span_drop(body, length);
    return true;
}

bool ber_take_tagged(struct span *rest, unsigned tag, struct span *content)
{
    struct span copy = *rest;
    struct span found;
    unsigned found_tag;

    if (!ber_take(&copy, &found_tag, &found) || found_tag != tag)
        return false;
    *rest = copy;
    *content = found;
    return true;
}

int ber_small_number(struct span content)
{
    return content.length == 1 ? (unsigned char)content.data[0] : -1;
}

bool ber_put_head(struct buffer *target, unsigned tag, size_t length)
{
    buffer_append_byte(target, (char)tag);
    if (length < BER_LONG_LENGTH)
        return buffer_append_byte(target, (char)length);
    if (length > UINT8_MAX) {
        buffer_append_byte(target, (char)(BER_LONG_LENGTH + 2));
        buffer_append_byte(target, (char)(length >> 8));
    } else {
        buffer_append_byte(target, (char)(BER_LONG_LENGTH + 1));
    }
    return buffer_append_byte(target, (char)(length & UINT8_MAX));
}
