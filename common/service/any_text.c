/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/any_text.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/memory.h"

json_t *json_any_text(const char *text)
{
    json_t *value = json_string(text);
    size_t size = 3 * strlen(text) + 1;
    struct buffer escaped = { .capacity = size };

    if (value)
        return value;
    escaped.data = memory_new(size);
    for (; *text; text++)
        if ((unsigned char)*text < 0x80)
            buffer_append_byte(&escaped, *text);
        else
            buffer_append_format(&escaped, "\\%02X", (unsigned char)*text);
    value = json_stringn(escaped.data, escaped.length);
    free(escaped.data);
    return value;
}

void text_end_whole(char *text)
{
    size_t length = strlen(text), back = 0;

    while (back < 3 && back < length && ((unsigned char)text[length - 1 - back] & 0xC0) == 0x80)
        back++;
    if (back < length && ((unsigned char)text[length - 1 - back] & 0xC0) == 0xC0 &&
        !span_is_utf8(span_of(text + length - 1 - back, back + 1)))
        text[length - 1 - back] = '\0';
}
