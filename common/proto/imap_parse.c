/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IMAP syntax.  A command is first framed (where does it end?) by its line ends
 * and the literals that they announce alone, and only then read, so that a command
 * that makes no sense still ends where its sender thinks it does.
 *
 * Never waits for more than IMAP_COMMAND_MAX bytes.
 */
#include "common/proto/imap_parse.h"

static bool is_digits(struct span span)
{
    for (size_t i = 0; i < span.length; i++)
        if (span.data[i] < '0' || span.data[i] > '9')
            return false;
    return span.length > 0;
}

bool imap_find_literal(struct span line, struct imap_literal *literal)
{
    size_t open = span_find_last(line, '{');
    struct span size;

    if (open == line.length || line.data[line.length - 1] != '}')
        return false;
    size = span_drop(span_take(line, line.length - 1), open + 1);
    literal->is_synchronizing = size.length == 0 || size.data[size.length - 1] != '+';
    if (!literal->is_synchronizing)
        size.length--;
    if (!is_digits(size))
        return false;
    if (!span_parse_u64(size, &literal->size))
        literal->size = UINT64_MAX;
    return true;
}

/* Takes the first `used` bytes of `*in`, which end with a line end, as the command. */
static enum imap_frame frame_end(struct span *in, size_t used, unsigned *continued,
                                 struct span *command, enum imap_frame frame)
{
    *command = span_take(*in, used - 1);
    if (command->length > 0 && command->data[command->length - 1] == '\r')
        command->length--;
    *in = span_drop(*in, used);
    *continued = 0;
    return frame;
}

enum imap_frame imap_take_command(struct span *in, unsigned *continued, struct span *command)
{
    unsigned synchronizing = 0;
    size_t used = 0;

    for (;;) {
        struct span rest = span_drop(*in, used), line;
        enum login_line found = login_take_line(&rest, IMAP_COMMAND_MAX - used, &line);
        struct imap_literal literal;

        if (found == LOGIN_LINE_NONE)
            return IMAP_FRAME_NONE;
        if (found == LOGIN_LINE_TOO_LONG)
            return IMAP_FRAME_FATAL;
        used = in->length - rest.length;
        if (found == LOGIN_LINE_BROKEN)
            return frame_end(in, used, continued, command, IMAP_FRAME_BROKEN);
        if (!imap_find_literal(line, &literal))
            return frame_end(in, used, continued, command, IMAP_FRAME_WHOLE);
        if (literal.size > IMAP_COMMAND_MAX - used) {
            if (!literal.is_synchronizing)
                return IMAP_FRAME_FATAL;
            return frame_end(in, used, continued, command, IMAP_FRAME_REFUSED);
        }
        if (literal.is_synchronizing && ++synchronizing > *continued) {
            *continued = synchronizing;
            return IMAP_FRAME_CONTINUE;
        }
        if (rest.length < literal.size)
            return IMAP_FRAME_NONE;
        used += literal.size;
    }
}

/* ATOM-CHAR of RFC 9051 section 9. */
static bool is_atom_byte(char byte)
{
    return byte > ' ' && byte < 0x7f && !strchr("(){%*\"\\]", byte);
}

/* Takes the run of atom bytes, and of ']' too when `with_bracket`. */
static struct span take_atom_run(struct span *text, bool with_bracket)
{
    struct span run = *text;
    size_t length = 0;

    while (length < run.length &&
           (is_atom_byte(run.data[length]) || (with_bracket && run.data[length] == ']')))
        length++;
    *text = span_drop(run, length);
    return span_take(run, length);
}

bool imap_take_byte(struct span *text, char byte)
{
    if (text->length == 0 || text->data[0] != byte)
        return false;
    *text = span_drop(*text, 1);
    return true;
}

bool imap_take_atom(struct span *text, struct span *atom)
{
    *atom = take_atom_run(text, false);
    return atom->length > 0;
}

bool imap_take_tag(struct span *text, char tag[IMAP_TAG_SIZE])
{
    struct span run = take_atom_run(text, true);

    return run.length > 0 && span_find(run, '+') == run.length &&
           span_copy_string(run, tag, IMAP_TAG_SIZE);
}

/* Ends a value as a string, if it may be one. */
static bool value_end(struct buffer *value)
{
    return !span_has_line_break_or_nul(buffer_span(value)) && buffer_append_byte(value, '\0');
}

/* Behind the opening quote.  RFC 9051: only quote and backslash are quoted by a backslash. */
static bool take_quoted(struct span *text, struct buffer *value)
{
    while (text->length > 0) {
        char byte = text->data[0];

        *text = span_drop(*text, 1);
        if (byte == '"')
            return value_end(value);
        if (byte == '\\') {
            if (text->length == 0 || (text->data[0] != '"' && text->data[0] != '\\'))
                return false;
            byte = text->data[0];
            *text = span_drop(*text, 1);
        }
        buffer_append_byte(value, byte);
    }
    return false;
}

/* The bytes that `*text` announces and holds, as the frame has checked. */
static bool take_literal(struct span *text, struct buffer *value)
{
    struct span line, rest = *text;
    struct imap_literal literal;

    /* The brace must open the announcement: "{x{5}" is none. */
    if (login_take_line(&rest, IMAP_COMMAND_MAX, &line) != LOGIN_LINE_WHOLE ||
        span_find_last(line, '{') != 0 || !imap_find_literal(line, &literal) ||
        literal.size > rest.length)
        return false;
    buffer_append(value, span_take(rest, literal.size));
    *text = span_drop(rest, literal.size);
    return value_end(value);
}

bool imap_take_string(struct span *text, char *target, size_t capacity)
{
    struct buffer value = buffer_over(target, capacity);

    if (text->length > 0 && text->data[0] == '{')
        return take_literal(text, &value);
    return imap_take_byte(text, '"') && take_quoted(text, &value);
}

bool imap_take_astring(struct span *text, char *target, size_t capacity)
{
    struct span run = take_atom_run(text, true);

    if (run.length > 0)
        return span_copy_string(run, target, capacity);
    return imap_take_string(text, target, capacity);
}

bool imap_is_quotable(const char *value)
{
    for (; *value; value++)
        if ((unsigned char)*value >= 0x80 || *value == '\r' || *value == '\n')
            return false;
    return true;
}

void imap_append_quoted(struct buffer *out, const char *value)
{
    buffer_append_byte(out, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, *value);
    }
    buffer_append_byte(out, '"');
}

struct span imap_capability_code(struct span text)
{
    struct span prefix = SPAN_LITERAL("[CAPABILITY ");
    size_t end = span_find(text, ']');

    if (!span_starts_with_ignore_case(text, prefix) || end == text.length)
        return SPAN_EMPTY;
    return span_drop(span_take(text, end), prefix.length);
}

bool imap_has_capability(struct span capabilities, const char *word)
{
    while (capabilities.length > 0)
        if (span_equals_ignore_case(span_split(&capabilities, ' '), span_from_string(word)))
            return true;
    return false;
}
