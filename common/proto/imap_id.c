/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ID's fields, read and written.  What is written are quoted strings of ASCII without CR and LF,
 * whatever was read.
 */
#include "common/proto/imap_id.h"

#include <string.h>

#include "common/base/memory.h"
#include "common/proto/imap_parse.h"

/* The fields while they are read. */
struct id_reader {
    struct imap_id *id;
    struct buffer kept; /* over id->fields, but for its NUL */
    unsigned kept_count, count;
    char names[IMAP_ID_FIELDS_MAX][IMAP_ID_NAME_SIZE];
};

static bool imap_id_is_ours(const char *name)
{
    return span_starts_with_ignore_case(span_from_string(name), SPAN_LITERAL("x-"));
}

/* Keeps what a field of a trusted peer's ID forwards; other fields and values are passed over. */
static void imap_id_forward(struct forwarded *forwarded, const char *name, const char *value)
{
    static const struct {
        const char *name;
        enum forwarded_field field;
    } rows[] = { { "x-originating-ip", FORWARDED_ADDRESS },
                 { "x-originating-port", FORWARDED_PORT },
                 { "x-session-id", FORWARDED_SESSION },
                 { "x-proxy-ttl", FORWARDED_TTL } };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (span_equals_ignore_case(span_from_string(name), span_from_string(rows[i].name)) &&
            forwarded_set(forwarded, rows[i].field, span_from_string(value)))
            return;
}

/* Room for `value` quoted, whatever must be escaped in it. */
static size_t imap_id_quoted_max(const char *value)
{
    return 2 * strlen(value) + 3;
}

/* Keeps a field for the backend, if it can be sent and there is room; `value` NULL is NIL. */
static void imap_id_keep(struct id_reader *reader, const char *name, const char *value)
{
    size_t room = imap_id_quoted_max(name) + (value ? imap_id_quoted_max(value) : 4);

    if (reader->kept_count >= IMAP_ID_FIELDS_MAX - IMAP_ID_OWN_FIELDS ||
        buffer_room(&reader->kept) < room || !imap_is_quotable(name) ||
        (value && !imap_is_quotable(value)))
        return;
    buffer_append_byte(&reader->kept, ' ');
    imap_append_quoted(&reader->kept, name);
    buffer_append_byte(&reader->kept, ' ');
    if (value)
        imap_append_quoted(&reader->kept, value);
    else
        buffer_append_string(&reader->kept, "NIL");
    reader->kept_count++;
}

static bool imap_id_take_nil(struct span *text)
{
    if (!span_starts_with_ignore_case(*text, SPAN_LITERAL("NIL")))
        return false;
    *text = span_drop(*text, 3);
    return true;
}

/* False for one that came before, RFC 2971 section 3.3. */
static bool imap_id_note_name(struct id_reader *reader, const char *name)
{
    for (unsigned i = 0; i < reader->count; i++)
        if (span_equals_ignore_case(span_from_string(reader->names[i]), span_from_string(name)))
            return false;
    memcpy(reader->names[reader->count++], name, strlen(name) + 1);
    return true;
}

static bool imap_id_take_field(struct id_reader *reader, struct span *text)
{
    char name[IMAP_ID_NAME_SIZE], value[IMAP_ID_VALUE_SIZE];
    bool is_nil;

    if (reader->count >= IMAP_ID_FIELDS_MAX || !imap_take_string(text, name, sizeof(name)) ||
        !imap_id_note_name(reader, name) || !imap_take_byte(text, ' '))
        return false;
    is_nil = imap_id_take_nil(text);
    if (!is_nil && !imap_take_string(text, value, sizeof(value)))
        return false;
    if (!imap_id_is_ours(name))
        imap_id_keep(reader, name, is_nil ? NULL : value);
    else if (!is_nil)
        imap_id_forward(&reader->id->forwarded, name, value);
    return true;
}

bool imap_id_read(struct span *text, struct imap_id *id)
{
    struct id_reader reader = { .id = id };

    *id = (struct imap_id){ .fields = "" };
    reader.kept = buffer_over(id->fields, sizeof(id->fields) - 1);
    if (imap_id_take_nil(text))
        return true;
    if (!imap_take_byte(text, '('))
        return false;
    while (!imap_take_byte(text, ')'))
        if ((reader.count > 0 && !imap_take_byte(text, ' ')) || !imap_id_take_field(&reader, text))
            return false;
    id->fields[reader.kept.length] = '\0';
    return true;
}

/* --- written ---------------------------------------------------------------------------- */

static void imap_id_append_field(struct buffer *out, const char *name, const char *value)
{
    buffer_append_format(out, " \"%s\" ", name);
    imap_append_quoted(out, value);
}

void imap_id_append(struct buffer *out, const struct forwarded *forwarded)
{
    bool has_fields = forwarded->fields && forwarded->fields[0];

    buffer_append_byte(out, '(');
    buffer_append_string(out, has_fields ? forwarded->fields + 1 : "\"name\" \"Mailstead\"");
    imap_id_append_field(out, "x-originating-ip", forwarded->address);
    if (forwarded->port != 0)
        buffer_append_format(out, " \"x-originating-port\" \"%u\"", (unsigned)forwarded->port);
    if (forwarded->session_id[0] != '\0')
        imap_id_append_field(out, "x-session-id", forwarded->session_id);
    buffer_append_format(out, " \"x-proxy-ttl\" \"%u\")", forwarded->ttl);
}
