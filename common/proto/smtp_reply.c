/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing of replies.  A peer's reply is bounded in the length of its
 * lines and in their number; of its text only what fits a struct mail_reply is kept.
 */
#include "common/proto/smtp_reply.h"

#include <assert.h>

enum {
    LINE_MAX_BYTES = 4096, /* RFC 5321 section 4.5.3.1.5 asks 512 */
    LINES_MAX = 128,
    WRITTEN_TEXT_MAX = 480 /* of one line: 512 with code, enhanced code and CRLF */
};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Where to break text that is too long for a line: behind its last space, or in a word. */
static size_t first_line_length(struct span text)
{
    size_t space;

    if (text.length <= WRITTEN_TEXT_MAX)
        return text.length;
    space = span_find_last(span_take(text, WRITTEN_TEXT_MAX), ' ');
    return space < WRITTEN_TEXT_MAX ? space + 1 : WRITTEN_TEXT_MAX;
}

void smtp_reply_write(const struct mail_reply *reply, struct buffer *out)
{
    struct span text = span_from_string(reply->text);

    assert(reply->code >= 200 && reply->code <= 599);
    do {
        struct span line = span_take(text, first_line_length(text));

        text = span_drop(text, line.length);
        buffer_append_format(out, "%d%c%s%s", reply->code, text.length > 0 ? '-' : ' ',
                             reply->enhanced, reply->enhanced[0] ? " " : "");
        buffer_append(out, line);
        buffer_append(out, SPAN_LITERAL("\r\n"));
    } while (text.length > 0);
}

/* The length of "C.N.N" at the front of `text`, its class being that of `code`; 0 when there is
 * none. */
static size_t enhanced_length(struct span text, int code)
{
    size_t length = 0;

    for (unsigned part = 0; part < 3; part++) {
        size_t digits = 0;

        while (length < text.length && digits < 3 && is_digit(text.data[length])) {
            length++;
            digits++;
        }
        if (digits == 0 || (part == 0 && (digits > 1 || text.data[0] - '0' != code / 100)))
            return 0;
        if (part < 2 && (length >= text.length || text.data[length++] != '.'))
            return 0;
    }
    return length == text.length || text.data[length] == ' ' ? length : 0;
}

/* Takes the code and what separates it off `*line`. */
static bool take_code(struct span *line, int *code, bool *is_last)
{
    if (line->length < 3 || line->data[0] < '2' || line->data[0] > '5' ||
        !is_digit(line->data[1]) || !is_digit(line->data[2]))
        return false;
    if (line->length > 3 && line->data[3] != ' ' && line->data[3] != '-')
        return false;
    *code = (line->data[0] - '0') * 100 + (line->data[1] - '0') * 10 + (line->data[2] - '0');
    *is_last = line->length == 3 || line->data[3] == ' ';
    *line = span_drop(*line, 4);
    return true;
}

/* Adds one line's words to the folded text; the enhanced code is that of the last line with one. */
static void keep_text(struct mail_reply *reply, struct span line)
{
    size_t length = enhanced_length(line, reply->code);

    if (length > 0) {
        memcpy(reply->enhanced, line.data, length);
        reply->enhanced[length] = '\0';
    }
    mail_reply_append_text(reply, span_trim(span_drop(line, length)));
}

enum smtp_reply_progress smtp_reply_read(struct smtp_reply_reader *reader, struct span *in)
{
    struct span rest = *in, line;
    bool is_last;
    int code;

    if (span_find(span_take(rest, LINE_MAX_BYTES), '\n') >= LINE_MAX_BYTES)
        return SMTP_REPLY_BROKEN;
    if (!machine_take_line(&rest, &line))
        return SMTP_REPLY_NEED_INPUT;
    if (reader->is_whole)
        *reader = (struct smtp_reply_reader){ .lines = 0 };
    if (span_has_line_break_or_nul(line) || !take_code(&line, &code, &is_last) ||
        (reader->lines > 0 && code != reader->reply.code) || reader->lines >= LINES_MAX)
        return SMTP_REPLY_BROKEN;
    reader->reply.code = code;
    reader->line = line;
    reader->lines++;
    reader->is_whole = is_last;
    keep_text(&reader->reply, line);
    *in = rest;
    return is_last ? SMTP_REPLY_LAST : SMTP_REPLY_LINE;
}
