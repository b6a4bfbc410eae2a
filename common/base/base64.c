/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/base64.h"

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_encode(struct span bytes, struct buffer *target)
{
    const unsigned char *in = (const unsigned char *)bytes.data;

    if (BASE64_ENCODED_LENGTH(bytes.length) > buffer_room(target)) {
        target->overflowed = true;
        return false;
    }
    for (size_t i = 0; i < bytes.length; i += 3) {
        size_t left = bytes.length - i;
        uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? in[i + 2] : 0);

        buffer_append_byte(target, base64_digits[group >> 18]);
        buffer_append_byte(target, base64_digits[group >> 12 & 63]);
        buffer_append_byte(target, left > 1 ? base64_digits[group >> 6 & 63] : '=');
        buffer_append_byte(target, left > 2 ? base64_digits[group & 63] : '=');
    }
    return !target->overflowed;
}

static int base64_value(char digit)
{
    const char *at = digit ? strchr(base64_digits, digit) : NULL;

    return at ? (int)(at - base64_digits) : -1;
}

/* Decodes one group of four; `last` allows padding. The count of bytes, or -1. */
static int base64_decode_group(const char *text, bool last, char bytes[3])
{
    int padding = last && text[3] == '=' ? (text[2] == '=' ? 2 : 1) : 0;
    uint32_t group = 0;

    for (int i = 0; i < 4; i++) {
        int value = i >= 4 - padding ? 0 : base64_value(text[i]);

        if (value < 0)
            return -1;
        group = group << 6 | (uint32_t)value;
    }
    if ((padding == 1 && (group & 0xff)) || (padding == 2 && (group & 0xffff)))
        return -1;
    bytes[0] = (char)(group >> 16);
    bytes[1] = (char)(group >> 8);
    bytes[2] = (char)group;
    return 3 - padding;
}

bool base64_decode(struct span text, struct buffer *target)
{
    struct buffer before = *target;

    if (text.length % 4 != 0)
        return false;
    for (size_t i = 0; i < text.length; i += 4) {
        char bytes[3];
        int count = base64_decode_group(text.data + i, i + 4 == text.length, bytes);

        if (count < 0 || !buffer_append(target, span_of(bytes, (size_t)count))) {
            *target = before;
            return false;
        }
    }
    return true;
}
