/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/xtext.h"

/* The value of an upper-case hexadecimal digit; -1: it is none. */
static int hex_value(char digit)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *at = digit != '\0' ? strchr(digits, digit) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Takes one byte, in either form, off `*text`; -1: it is no xtext. */
static int take_byte(struct span *text)
{
    unsigned char byte = (unsigned char)text->data[0];
    int high, low;

    if (byte != '+') {
        *text = span_drop(*text, 1);
        return byte > ' ' && byte != 0x7f && byte != '=' ? byte : -1;
    }
    if (text->length < 3)
        return -1;
    high = hex_value(text->data[1]);
    low = hex_value(text->data[2]);
    *text = span_drop(*text, 3);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool xtext_decode(struct span text, bool may_utf8, struct buffer *decoded)
{
    while (text.length > 0) {
        bool is_plain = text.data[0] != '+';
        int byte = take_byte(&text);

        if (byte < 0 || (byte < ' ' && byte != '\t') || byte == 0x7f ||
            (byte >= 0x80 && !(may_utf8 && is_plain)))
            return false;
        buffer_append_byte(decoded, (char)byte);
    }
    return !decoded->overflowed;
}

bool xtext_encode(struct span text, struct buffer *encoded)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];

        if (byte <= ' ' || byte == 0x7f || byte == '+' || byte == '=')
            buffer_append_format(encoded, "+%02X", byte);
        else
            buffer_append_byte(encoded, (char)byte);
    }
    return !encoded->overflowed;
}
