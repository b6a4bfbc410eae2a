/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of a name.  Two addresses that RFC 5321 calls the same have one normal form; what is
 * no address is left as it is, and then equals only itself.  Pure.
 */
#include <idn2.h>

#include "common/base/buffer.h"
#include "directory/route.h"

static bool name_is_ascii(struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] >= 0x80)
            return false;
    return true;
}

static bool name_has_control(struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return true;
    return false;
}

/* --- the local part ---------------------------------------------------------------- */

/* The content of a quoted string (RFC 5321 section 4.1.2); false when `local` is none. */
static bool name_unquote(struct span local, struct buffer *content)
{
    size_t end = local.length - 1;

    if (local.length < 2 || local.data[0] != '"' || local.data[end] != '"')
        return false;
    for (size_t i = 1; i < end; i++) {
        if (local.data[i] == '"')
            return false;
        if (local.data[i] == '\\' && ++i == end)
            return false;
        buffer_append_byte(content, local.data[i]);
    }
    return !content->overflowed;
}

/* Whether it needs no quotes: atoms with single dots between them. */
static bool name_is_dot_string(struct span content)
{
    char last = '.';

    for (size_t i = 0; i < content.length; last = content.data[i++])
        if (strchr(" \"\\()<>[]:;@,", content.data[i]) || (content.data[i] == '.' && last == '.'))
            return false;
    return last != '.';
}

static bool name_append_quoted(struct buffer *target, struct span content)
{
    buffer_append_byte(target, '"');
    for (size_t i = 0; i < content.length; i++) {
        if (content.data[i] == '"' || content.data[i] == '\\')
            buffer_append_byte(target, '\\');
        buffer_append_byte(target, content.data[i]);
    }
    return buffer_append_byte(target, '"');
}

static bool name_append_local(struct buffer *target, struct span local)
{
    char memory[ROUTE_ADDRESS_SIZE];
    struct buffer content = buffer_over(memory, sizeof(memory));

    if (!name_unquote(local, &content))
        return buffer_append(target, local);
    if (name_is_dot_string(buffer_span(&content)))
        return buffer_append(target, buffer_span(&content));
    return name_append_quoted(target, buffer_span(&content));
}

/* --- the domain --------------------------------------------------------------------- */

/* U-labels as A-labels (IDNA 2008 with the mapping of UTS 46). */
static bool name_write_a_labels(struct span domain, char labels[ROUTE_ADDRESS_SIZE])
{
    char text[ROUTE_ADDRESS_SIZE];
    char *ascii = NULL;
    bool fits;

    if (name_is_ascii(domain))
        return span_copy_string(domain, labels, ROUTE_ADDRESS_SIZE);
    if (!span_copy_string(domain, text, sizeof(text)) ||
        idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    fits = span_copy_string(span_from_string(ascii), labels, ROUTE_ADDRESS_SIZE);
    idn2_free(ascii);
    return fits;
}

/* The dot of the root is no part of a mail domain. */
static bool name_append_domain(struct buffer *target, struct span domain)
{
    char labels[ROUTE_ADDRESS_SIZE];
    struct span text;

    if (!name_write_a_labels(domain, labels))
        return false;
    text = span_from_string(labels);
    if (text.length > 1 && text.data[text.length - 1] == '.')
        text.length--;
    return buffer_append(target, text);
}

/* --- whole names ----------------------------------------------------------------------- */

bool route_tidy(struct span name, char tidy[ROUTE_ADDRESS_SIZE])
{
    struct buffer target = buffer_over(tidy, ROUTE_ADDRESS_SIZE);
    size_t at = span_find_last(name, '@');
    bool has_domain = at < name.length;

    if (name.length > 0 && !name_has_control(name) &&
        name_append_local(&target, span_take(name, at)) &&
        (!has_domain || (buffer_append_byte(&target, '@') &&
                         name_append_domain(&target, span_drop(name, at + 1)))) &&
        buffer_append_byte(&target, '\0'))
        return true;
    tidy[0] = '\0';
    return false;
}

bool route_normalise(struct span address, char normal[ROUTE_ADDRESS_SIZE])
{
    if (!route_tidy(address, normal))
        return false;
    string_to_lower(normal);
    return true;
}

bool route_to_u_labels(const char *normal, char text[ROUTE_ADDRESS_SIZE])
{
    struct span name = span_from_string(normal);
    size_t local_length = span_find_last(name, '@') + 1;
    struct buffer target = buffer_over(text, ROUTE_ADDRESS_SIZE);
    char *labels = NULL;
    bool fits;

    if (local_length > name.length || !strstr(normal + local_length, "xn--") ||
        idn2_to_unicode_8z8z(normal + local_length, &labels, 0) != IDN2_OK)
        return false;
    fits = buffer_append(&target, span_take(name, local_length)) &&
           buffer_append_string(&target, labels) && buffer_append_byte(&target, '\0');
    idn2_free(labels);
    return fits;
}
