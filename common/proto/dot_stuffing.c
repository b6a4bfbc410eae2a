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

/* Takes the dot that is to be put in, or else as much as `length_of` says. */
static struct span take_piece(struct dot_stuffer *stuffer, struct span *content,
                              size_t (*length_of)(const struct dot_stuffer *stuffer,
                                                  struct span content))
{
    struct span piece;

    if (content->length == 0)
        return SPAN_EMPTY;
    if (stuffer->position == AT_LINE_START && content->data[0] == '.') {
        stuffer->position = INSIDE_LINE;
        return SPAN_LITERAL(".");
    }
    piece = span_take(*content, length_of(stuffer, *content));
    stuffer->position = position_after(stuffer, piece);
    *content = span_drop(*content, piece.length);
    return piece;
}

struct span dot_stuffer_next(struct dot_stuffer *stuffer, struct span *content)
{
    return take_piece(stuffer, content, length_to_dot);
}

static size_t whole_length(const struct dot_stuffer *stuffer, struct span content)
{
    (void)stuffer;
    return content.length;
}

struct span dot_stuffer_next_scanned(struct dot_stuffer *stuffer, struct span *content)
{
    return take_piece(stuffer, content, whole_length);
}

struct span dot_stuffer_end(const struct dot_stuffer *stuffer)
{
    return stuffer->position == AT_LINE_START ? SPAN_LITERAL(".\r\n") : SPAN_LITERAL("\r\n.\r\n");
}
