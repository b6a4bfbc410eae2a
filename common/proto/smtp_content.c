/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan goes from line end to line end with memchr.  A CR that is the last byte of
 * the input and a dot whose next bytes are still missing stay in the input, so the
 * only thing to remember between two calls is whether a line has begun.
 */
#include "common/proto/smtp_content.h"

/*
 * Looks for a dot at the start of a line.  END when it ends the message, NEED_INPUT when that
 * cannot be told yet, else PIECE: a dot that was stuffed is taken.
 */
static enum smtp_content_progress take_dot(struct smtp_content *content, struct span *in)
{
    if (content->is_inside_line || in->length == 0 || in->data[0] != '.')
        return SMTP_CONTENT_PIECE;
    if (in->length == 1 || (in->length == 2 && in->data[1] == '\r'))
        return SMTP_CONTENT_NEED_INPUT;
    if (in->data[1] == '\r' && in->data[2] == '\n') {
        *in = span_drop(*in, 3);
        return SMTP_CONTENT_END;
    }
    *in = span_drop(*in, 1);
    content->is_inside_line = true;
    return SMTP_CONTENT_PIECE;
}

/* The length of what is content at the front of `in`: up to a dot that begins a line or a bare CR
 * or LF. */
static size_t plain_length(struct smtp_content *content, struct span in)
{
    const char *at = in.data, *end = in.data + in.length;

    while (at < end && (content->is_inside_line || *at != '.')) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = lf ? lf : end;
        const char *cr = memchr(at, '\r', (size_t)(line_end - at));

        if (!lf || cr != lf - 1) {
            const char *stop = cr ? cr : line_end;

            content->is_inside_line |= stop > at;
            return (size_t)(stop - in.data);
        }
        content->is_inside_line = false;
        at = lf + 1;
    }
    return (size_t)(at - in.data);
}

static bool is_lone_cr(struct span in)
{
    return in.length == 1 && in.data[0] == '\r';
}

enum smtp_content_progress smtp_content_next(struct smtp_content *content, struct span *in,
                                             struct span *piece)
{
    enum smtp_content_progress dot = take_dot(content, in);
    size_t length;

    if (dot != SMTP_CONTENT_PIECE)
        return dot;
    if (in->length == 0 || is_lone_cr(*in))
        return SMTP_CONTENT_NEED_INPUT;
    length = plain_length(content, *in);
    if (length == 0)
        return SMTP_CONTENT_BROKEN;
    *piece = span_take(*in, length);
    *in = span_drop(*in, length);
    return SMTP_CONTENT_PIECE;
}

enum smtp_content_progress smtp_content_skip(struct smtp_content *content, struct span *in)
{
    for (;;) {
        enum smtp_content_progress dot = take_dot(content, in);
        size_t lf = span_find(*in, '\n');

        if (dot != SMTP_CONTENT_PIECE)
            return dot;
        if (lf == in->length) {
            bool ends_in_cr = lf > 0 && in->data[lf - 1] == '\r';

            content->is_inside_line |= lf > (ends_in_cr ? 1 : 0);
            *in = span_drop(*in, ends_in_cr ? lf - 1 : lf);
            return SMTP_CONTENT_NEED_INPUT;
        }
        content->is_inside_line = lf == 0 || in->data[lf - 1] != '\r';
        *in = span_drop(*in, lf + 1);
    }
}
