/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan runs over chunks in which there is nothing but whole line ends and no dot that begins a
 * line, and goes from line end to line end with memchr where there is more.  A CR that is the last
 * byte of the input and a dot whose next bytes are still missing stay in the input, so the
 * only thing to remember between two calls is whether a line has begun.
 */
#include "common/proto/smtp_content.h"

enum { CONTENT_CHUNK = 64 };

/* Bytes that are compared at once; the compiler has the instructions of each processor for it. */
typedef unsigned char content_lane __attribute__((vector_size(16)));

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

static content_lane load_lane(const char *at)
{
    content_lane lane;

    memcpy(&lane, at, sizeof(lane));
    return lane;
}

/* Whether each LF of the chunk follows a CR, each CR before its last byte is followed by an LF, and
 * no line in it begins with a dot.  The byte before the chunk counts as what precedes it. */
static bool chunk_is_plain(const char *at)
{
    content_lane odd = { 0 };
    uint64_t words[sizeof(odd) / sizeof(uint64_t)];

    for (unsigned i = 0; i < CONTENT_CHUNK; i += sizeof(odd)) {
        content_lane now = load_lane(at + i), before = load_lane(at + i - 1);

        odd |= (content_lane)((now == '\n') ^ (before == '\r'));
        odd |= (content_lane)((now == '.') & (before == '\n'));
    }
    memcpy(words, &odd, sizeof(words));
    return (words[0] | words[1]) == 0;
}

/* Over as many plain chunks as there are from `at`, which follows a line end; the begin of what is
 * to be looked at closer, and whether that is inside a line. */
static const char *skip_plain_chunks(const char *at, const char *end, bool *is_inside_line)
{
    while (end - at >= CONTENT_CHUNK && chunk_is_plain(at))
        at += CONTENT_CHUNK;
    if (at[-1] == '\r')
        at--;
    *is_inside_line = at[-1] != '\n';
    return at;
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
        at = skip_plain_chunks(lf + 1, end, &content->is_inside_line);
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
    if (length == 0 && !content->converts)
        return SMTP_CONTENT_BROKEN;
    if (length == 0) {
        *in = span_drop(*in, 1);
        *piece = SPAN_LITERAL("\r\n");
        content->is_inside_line = true;
        return SMTP_CONTENT_PIECE;
    }
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
