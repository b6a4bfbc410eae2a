/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths and parameters of MAIL and RCPT.  Each take_... function takes one element of the
 * grammar off the front of a span and fails without a trace in its results; nothing
 * here is lenient, except for spaces before the opening bracket, which many clients send.
 */
#include "common/proto/smtp_path.h"

/* RFC 5321 section 4.5.3.1.2. */
enum { DOMAIN_MAX = 255 };

static bool is_letter_or_digit(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9');
}

/* Of a character outside of ASCII; that these are whole ones is looked at once for a whole path. */
static bool is_utf8_byte(char byte)
{
    return (unsigned char)byte >= 0x80;
}

/* RFC 5322 section 3.2.3, RFC 6531 section 3.3. */
static bool is_atext(char byte)
{
    return byte != '\0' &&
           (is_letter_or_digit(byte) || is_utf8_byte(byte) || strchr("!#$%&'*+-/=?^_`{|}~", byte));
}

static bool is_domain_byte(char byte)
{
    return is_letter_or_digit(byte) || is_utf8_byte(byte) || byte == '-' || byte == '_';
}

static bool is_graphic(char byte)
{
    return byte > ' ' && byte <= '~';
}

/* Takes `byte` off the front of `*span`, if it is there. */
static bool take_byte(struct span *span, char byte)
{
    if (span->length == 0 || span->data[0] != byte)
        return false;
    *span = span_drop(*span, 1);
    return true;
}

/* The length of the leading run of labels separated by single dots; 0 when there is none. */
static size_t dotted_length(struct span span, bool (*is_label_byte)(char))
{
    size_t length = 0;

    while (length < span.length) {
        bool is_dot = span.data[length] == '.';

        if (!is_dot && !is_label_byte(span.data[length]))
            break;
        if (is_dot && (length == 0 || span.data[length - 1] == '.'))
            return 0;
        length++;
    }
    return length > 0 && span.data[length - 1] == '.' ? 0 : length;
}

/* The bytes that a quoted string stands for, RFC 5321's Quoted-string. */
static bool take_quoted(struct span *span, struct buffer *local)
{
    struct span rest = span_drop(*span, 1);

    while (rest.length > 0 && rest.data[0] != '"') {
        if (rest.data[0] == '\\')
            rest = span_drop(rest, 1);
        if (rest.length == 0 ||
            (!is_utf8_byte(rest.data[0]) && (rest.data[0] < ' ' || rest.data[0] > '~')))
            return false;
        buffer_append_byte(local, rest.data[0]);
        rest = span_drop(rest, 1);
    }
    *span = rest;
    return take_byte(span, '"') && !local->overflowed;
}

/* Writes a local-part in its shortest form. */
static void write_local_part(struct span local, struct buffer *path)
{
    if (local.length > 0 && dotted_length(local, is_atext) == local.length) {
        buffer_append(path, local);
        return;
    }
    buffer_append_byte(path, '"');
    for (size_t i = 0; i < local.length; i++) {
        if (local.data[i] == '"' || local.data[i] == '\\')
            buffer_append_byte(path, '\\');
        buffer_append_byte(path, local.data[i]);
    }
    buffer_append_byte(path, '"');
}

static bool take_local_part(struct span *span, struct buffer *path)
{
    char memory[MAIL_PATH_SIZE];
    struct buffer local = buffer_over(memory, sizeof(memory));

    if (span->length > 0 && span->data[0] == '"') {
        if (!take_quoted(span, &local))
            return false;
    } else {
        size_t length = dotted_length(*span, is_atext);

        if (length == 0 || !buffer_append(&local, span_take(*span, length)))
            return false;
        *span = span_drop(*span, length);
    }
    write_local_part(buffer_span(&local), path);
    return !path->overflowed;
}

/* The length of an address literal: "[", bytes that are none of "[\]", "]"; 0 when there is none.
 */
static size_t literal_length(struct span span)
{
    size_t length = 1;

    if (span.length == 0 || span.data[0] != '[')
        return 0;
    while (length < span.length && is_graphic(span.data[length]) &&
           !strchr("[\\]", span.data[length]))
        length++;
    return length > 1 && length < span.length && span.data[length] == ']' ? length + 1 : 0;
}

static bool take_domain(struct span *span, struct buffer *path)
{
    size_t length = literal_length(*span);

    if (length == 0)
        length = dotted_length(*span, is_domain_byte);
    if (length == 0 || length > DOMAIN_MAX)
        return false;
    buffer_append(path, span_take(*span, length));
    *span = span_drop(*span, length);
    return !path->overflowed;
}

/* Drops a source route, "@a,@b:", which RFC 5321 section 4.1.1.3 lets a server ignore. */
static bool skip_source_route(struct span *span)
{
    char memory[MAIL_PATH_SIZE];
    bool found = false;

    while (take_byte(span, '@')) {
        struct buffer ignored = buffer_over(memory, sizeof(memory));

        if (!take_domain(span, &ignored))
            return false;
        found = true;
        if (!take_byte(span, ','))
            break;
    }
    return !found || take_byte(span, ':');
}

static bool take_mailbox(struct span *span, enum smtp_path_kind kind, struct buffer *path)
{
    if (!skip_source_route(span) || !take_local_part(span, path))
        return false;
    if (take_byte(span, '@'))
        return buffer_append_byte(path, '@') && take_domain(span, path);
    return kind == SMTP_PATH_FORWARD &&
           span_equals_ignore_case(buffer_span(path), SPAN_LITERAL("postmaster"));
}

bool smtp_path_take(struct span *arguments, enum smtp_path_kind kind, char path[MAIL_PATH_SIZE])
{
    char memory[MAIL_PATH_SIZE];
    struct buffer mailbox = buffer_over(memory, sizeof(memory));
    struct span rest = *arguments;
    bool is_null;

    while (take_byte(&rest, ' '))
        ;
    if (!take_byte(&rest, '<'))
        return false;
    is_null = kind == SMTP_PATH_REVERSE && rest.length > 0 && rest.data[0] == '>';
    if (!is_null && !take_mailbox(&rest, kind, &mailbox))
        return false;
    if (!take_byte(&rest, '>') || (rest.length > 0 && rest.data[0] != ' ') ||
        !span_is_utf8(buffer_span(&mailbox)) ||
        !span_copy_string(buffer_span(&mailbox), path, MAIL_PATH_SIZE))
        return false;
    *arguments = rest;
    return true;
}

bool smtp_path_is_safe(const char *path)
{
    char memory[MAIL_PATH_SIZE];
    struct buffer local = buffer_over(memory, sizeof(memory));
    struct span rest = span_from_string(path);

    if (rest.length >= MAIL_PATH_SIZE || !span_is_utf8(rest))
        return false;
    if (rest.length > 0 && rest.data[0] == '"' &&
        (!take_quoted(&rest, &local) || (rest.length > 0 && rest.data[0] != '@')))
        return false;
    for (size_t i = 0; i < rest.length; i++)
        if ((!is_graphic(rest.data[i]) && !is_utf8_byte(rest.data[i])) || rest.data[i] == '<' ||
            rest.data[i] == '>')
            return false;
    return true;
}

/* RFC 5321's esmtp-keyword. */
static bool is_keyword(struct span keyword)
{
    for (size_t i = 0; i < keyword.length; i++)
        if (!is_letter_or_digit(keyword.data[i]) && (i == 0 || keyword.data[i] != '-'))
            return false;
    return keyword.length > 0;
}

/* RFC 5321's esmtp-value, as RFC 6531 section 3.3 extends it. */
static bool is_value(struct span value)
{
    for (size_t i = 0; i < value.length; i++)
        if ((!is_graphic(value.data[i]) && !is_utf8_byte(value.data[i])) || value.data[i] == '=')
            return false;
    return value.length > 0;
}

bool smtp_parameter_take(struct span *arguments, struct smtp_parameter *parameter)
{
    struct span rest = span_trim(*arguments);
    struct span value = span_split(&rest, ' ');
    bool has_value = span_find(value, '=') < value.length;
    struct span keyword = span_split(&value, '=');

    if (!is_keyword(keyword) || (has_value && !is_value(value)))
        return false;
    *parameter = (struct smtp_parameter){ keyword, value, has_value };
    *arguments = rest;
    return true;
}
