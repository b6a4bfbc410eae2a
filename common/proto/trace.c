/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that a client said of itself is cut to words that cannot end a comment, a
 * clause or the line.
 */
#include "common/proto/trace.h"

enum { WORD_MAX = 512 };

/* Appends a path, which may be UTF-8, with '?' for what else is no printable ASCII, and for "<>;".
 */
static void append_path(struct buffer *out, const char *path)
{
    for (const char *at = path; *at; at++)
        buffer_append_byte(
            out, (unsigned char)*at < 0x80 && (*at < ' ' || *at > '~' || strchr("<>;", *at)) ? '?'
                                                                                             : *at);
}

/* Appends `text`, with '?' for what is not printable ASCII or is one of `special`. */
static void append_word(struct buffer *out, const char *text, const char *special)
{
    struct span word = span_take(span_from_string(text), WORD_MAX);

    for (size_t i = 0; i < word.length; i++) {
        char byte = word.data[i];

        buffer_append_byte(out, byte < ' ' || byte > '~' || strchr(special, byte) ? '?' : byte);
    }
}

static bool is_present(const char *text)
{
    return text && text[0] != '\0';
}

/* RFC 3848, RFC 6531 section 4.3, and "SMTP" for what they have no word for. */
static void append_protocol(struct buffer *out, const struct trace_hop *hop)
{
    if (hop->flavor == MAIL_SMTP && !hop->is_extended) {
        buffer_append_string(out, "SMTP");
        return;
    }
    if (hop->is_utf8)
        buffer_append_string(out, hop->flavor == MAIL_LMTP ? "UTF8LMTP" : "UTF8SMTP");
    else
        buffer_append_string(out, hop->flavor == MAIL_LMTP ? "LMTP" : "ESMTP");
    if (hop->is_encrypted)
        buffer_append_byte(out, 'S');
    if (hop->is_authenticated)
        buffer_append_byte(out, 'A');
}

void trace_write_received(const struct trace_hop *hop, struct buffer *out)
{
    static const char word_special[] = " ()<>,;\\\"";

    buffer_append_string(out, "Received: from ");
    append_word(out, is_present(hop->helo) ? hop->helo : "unknown", word_special);
    if (is_present(hop->address)) {
        buffer_append_string(out, " (");
        if (is_present(hop->name)) {
            append_word(out, hop->name, word_special);
            buffer_append_byte(out, ' ');
        }
        buffer_append_string(out, strchr(hop->address, ':') ? "[IPv6:" : "[");
        append_word(out, hop->address, " ()[]\\");
        buffer_append_string(out, "])");
    }
    buffer_append_string(out, "\r\n\tby ");
    append_word(out, hop->hostname, word_special);
    buffer_append_string(out, " with ");
    append_protocol(out, hop);
    buffer_append_string(out, " id ");
    append_word(out, hop->session_id, word_special);
    if (is_present(hop->recipient)) {
        buffer_append_string(out, "\r\n\tfor <");
        if (hop->is_utf8)
            append_path(out, hop->recipient);
        else
            append_word(out, hop->recipient, "<>;");
        buffer_append_byte(out, '>');
    }
    buffer_append_format(out, ";\r\n\t%s\r\n", hop->date);
}

void trace_write_original_recipient(const char *recipient, bool is_utf8, struct buffer *out)
{
    buffer_append_string(out, "X-Original-To: ");
    if (is_utf8)
        append_path(out, recipient);
    else
        append_word(out, recipient, "");
    buffer_append_string(out, "\r\n");
}

enum {
    AT_LINE_START,  /* or within what may still be the field's name */
    BEHIND_NAME,    /* blanks before the colon, which old syntax allows */
    INSIDE_LINE,    /* of no interest up to its end */
    AFTER_FIRST_CR, /* a line that has nothing but a CR so far */
    BEHIND_HEADER
};

static const char field_name[] = "received";

void header_scan_init(struct header_scan *scan)
{
    *scan = (struct header_scan){ .position = AT_LINE_START };
}

/* Reads one byte at or near the start of a line. */
static void read_byte(struct header_scan *scan, char byte)
{
    unsigned position = scan->position;
    bool is_blank = byte == ' ' || byte == '\t';

    scan->position = INSIDE_LINE;
    if (position == AFTER_FIRST_CR) {
        scan->position = byte == '\n' ? BEHIND_HEADER : INSIDE_LINE;
    } else if (position == AT_LINE_START && scan->matched == 0 && byte == '\r') {
        scan->position = AFTER_FIRST_CR;
    } else if (position == AT_LINE_START && scan->matched < sizeof(field_name) - 1) {
        if ((byte | 0x20) == field_name[scan->matched]) {
            scan->matched++;
            scan->position = AT_LINE_START;
        }
    } else if (byte == ':') {
        scan->received_count++;
    } else if (is_blank) {
        scan->position = BEHIND_NAME;
    }
}

/* The number of bytes up to and with the LF that ends the line; all when it has none. */
static size_t skip_line(struct header_scan *scan, struct span content)
{
    size_t lf = span_find(content, '\n');

    if (lf == content.length)
        return lf;
    scan->position = AT_LINE_START;
    scan->matched = 0;
    return lf + 1;
}

void header_scan_feed(struct header_scan *scan, struct span content)
{
    while (content.length > 0 && scan->position != BEHIND_HEADER) {
        size_t taken = 0;

        if (scan->position != INSIDE_LINE)
            read_byte(scan, content.data[taken++]);
        /* A line that ended while its start was being read ends here as well. */
        if (scan->position == INSIDE_LINE)
            taken = skip_line(scan, content);
        scan->bytes += taken;
        content = span_drop(content, taken);
    }
}
