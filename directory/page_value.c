/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/page_value.h"

enum { PAGE_INTEGER = 0x02, PAGE_SIZE_BYTES = 3 };

struct span page_read(struct span value)
{
    struct span sequence, size, cookie;

    if (!ber_take_tagged(&value, BER_SEQUENCE, &sequence) ||
        !ber_take_tagged(&sequence, PAGE_INTEGER, &size) ||
        !ber_take_tagged(&sequence, BER_OCTETS, &cookie) || cookie.length > PAGE_COOKIE_MAX)
        return SPAN_EMPTY;
    return cookie;
}

void page_write_request(struct buffer *target, unsigned size, struct span cookie)
{
    char memory[PAGE_REQUEST_SIZE];
    struct buffer content = buffer_over(memory, sizeof(memory));

    ber_put_head(&content, PAGE_INTEGER, PAGE_SIZE_BYTES);
    buffer_append_byte(&content, (char)(size >> 16 & 0x7f));
    buffer_append_byte(&content, (char)(size >> 8 & 0xff));
    buffer_append_byte(&content, (char)(size & 0xff));
    ber_put_head(&content, BER_OCTETS, cookie.length);
    buffer_append(&content, cookie);
    ber_put_head(target, BER_SEQUENCE, content.length);
    buffer_append(target, buffer_span(&content));
}
