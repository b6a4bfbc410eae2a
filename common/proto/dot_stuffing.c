/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/dot_stuffing.h"

enum { AT_LINE_START, AFTER_CR, INSIDE_LINE };

void dot_stuffer_init(struct dot_stuffer *stuffer)
{
    stuffer->position = AT_LINE_START;
}

/* The length of `content` up to its first line that begins with a dot; only CRLF ends a line. */
static size_t length_to_dot(const struct dot_stuffer *stuffer, struct span content)
{
    const char *at = content.data, *end = content.data + content.length;

    while ((at = memchr(at, '\n', (size_t)(end - at)))) {
        bool after_cr = at == content.data ? stuffer->position == AFTER_CR : at[-1] == '\r';

        if (++at == end)
            break;
        if (after_cr && *at == '.')
            return (size_t)(at - content.data);
    }
    return content.length;
}

/* Where a line is behind `piece`, which is not empty. */
static unsigned position_after(const struct dot_stuffer *stuffer, struct span piece)
{
    char last = piece.data[piece.length - 1];
    bool after_cr =
        piece.length == 1 ? stuffer->position == AFTER_CR : piece.data[piece.length - 2] == '\r';

    if (last == '\r')
        return AFTER_CR;
    return last == '\n' && after_cr ? AT_LINE_START : INSIDE_LINE;
}

struct span dot_stuffer_next(struct dot_stuffer *stuffer, struct span *content)
{
    struct span piece;

    if (content->length == 0)
        return SPAN_EMPTY;
    if (stuffer->position == AT_LINE_START && content->data[0] == '.') {
        stuffer->position = INSIDE_LINE;
        return SPAN_LITERAL(".");
    }
    piece = span_take(*content, length_to_dot(stuffer, *content));
    stuffer->position = position_after(stuffer, piece);
    *content = span_drop(*content, piece.length);
    return piece;
}

struct span dot_stuffer_end(const struct dot_stuffer *stuffer)
{
    return stuffer->position == AT_LINE_START ? SPAN_LITERAL(".\r\n") : SPAN_LITERAL("\r\n.\r\n");
}
