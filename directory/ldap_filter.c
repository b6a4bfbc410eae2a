/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of nodes, each with its first child and next sibling.  A value is kept as its parts
 * between unescaped asterisks: one part is equality, two empty ones presence.
 */
#include "directory/ldap_filter.h"

#include <stdlib.h>

#include "common/base/memory.h"

enum {
    FILTER_DEPTH_MAX = 16,
    FILTER_NAME_SIZE = 128,
    FILTER_VALUE_MAX = 1024,
    FILTER_PARTS_MAX = 8
};

enum filter_kind { FILTER_AND, FILTER_OR, FILTER_NOT, FILTER_VALUE };

struct ldap_filter {
    enum filter_kind kind;
    struct ldap_filter *child, *sibling; /* owned */
    char attribute[FILTER_NAME_SIZE];
    char value[FILTER_VALUE_MAX];   /* the parts, unescaped, one after the other */
    size_t parts[FILTER_PARTS_MAX]; /* the length of each */
    size_t part_count;
};

static struct ldap_filter *filter_parse(struct span *text, unsigned depth);

void ldap_filter_free(struct ldap_filter *filter)
{
    while (filter) {
        struct ldap_filter *sibling = filter->sibling;

        ldap_filter_free(filter->child);
        free(filter);
        filter = sibling;
    }
}

static bool filter_take(struct span *text, char byte)
{
    if (text->length == 0 || text->data[0] != byte)
        return false;
    *text = span_drop(*text, 1);
    return true;
}

/* The filters behind "&", "|" or "!", up to the closing parenthesis. */
static bool filter_parse_children(struct ldap_filter *filter, struct span *text, unsigned depth)
{
    struct ldap_filter **last = &filter->child;
    size_t count = 0;

    while (text->length > 0 && text->data[0] == '(') {
        *last = filter_parse(text, depth + 1);
        if (!*last)
            return false;
        last = &(*last)->sibling;
        count++;
    }
    return filter->kind != FILTER_NOT || count == 1;
}

static int filter_hex(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Takes one byte of a value, escaped or not. */
static bool filter_take_byte(struct span *text, char *byte)
{
    int high, low;

    *byte = text->data[0];
    if (*byte != '\\') {
        *text = span_drop(*text, 1);
        return true;
    }
    if (text->length < 3)
        return false;
    high = filter_hex(text->data[1]);
    low = filter_hex(text->data[2]);
    if (high < 0 || low < 0)
        return false;
    *byte = (char)(high << 4 | low);
    *text = span_drop(*text, 3);
    return true;
}

static bool filter_parse_value(struct ldap_filter *filter, struct span *text)
{
    size_t length = 0;
    char byte;

    filter->part_count = 1;
    while (text->length > 0 && text->data[0] != ')') {
        if (filter_take(text, '*')) {
            if (filter->part_count++ == FILTER_PARTS_MAX)
                return false;
            continue;
        }
        if (text->data[0] == '(' || length == FILTER_VALUE_MAX || !filter_take_byte(text, &byte))
            return false;
        filter->value[length++] = byte;
        filter->parts[filter->part_count - 1]++;
    }
    return filter->part_count > 1 || length > 0;
}

static bool filter_parse_item(struct ldap_filter *filter, struct span *text)
{
    size_t length = span_find(*text, '=');
    struct span name = span_take(*text, length);

    filter->kind = FILTER_VALUE;
    if (length == 0 || length == text->length || strchr("<>~:", name.data[length - 1]) ||
        span_find(name, '(') < length || span_find(name, ')') < length ||
        !span_copy_string(name, filter->attribute, sizeof(filter->attribute)))
        return false;
    *text = span_drop(*text, length + 1);
    return filter_parse_value(filter, text);
}

static bool filter_parse_body(struct ldap_filter *filter, struct span *text, unsigned depth)
{
    if (filter_take(text, '&'))
        filter->kind = FILTER_AND;
    else if (filter_take(text, '|'))
        filter->kind = FILTER_OR;
    else if (filter_take(text, '!'))
        filter->kind = FILTER_NOT;
    else
        return filter_parse_item(filter, text);
    return filter_parse_children(filter, text, depth);
}

static struct ldap_filter *filter_parse(struct span *text, unsigned depth)
{
    struct ldap_filter *filter;

    if (depth > FILTER_DEPTH_MAX || !filter_take(text, '('))
        return NULL;
    filter = memory_new(sizeof(*filter));
    if (filter_parse_body(filter, text, depth) && filter_take(text, ')'))
        return filter;
    ldap_filter_free(filter);
    return NULL;
}

struct ldap_filter *ldap_filter_parse(struct span text)
{
    struct ldap_filter *filter = filter_parse(&text, 0);

    if (filter && text.length > 0) {
        ldap_filter_free(filter);
        return NULL;
    }
    return filter;
}

/* The first place of `part` in `value`, or value.length + 1 when it has none. */
static size_t filter_find(struct span value, struct span part)
{
    for (size_t i = 0; i + part.length <= value.length; i++)
        if (span_equals_ignore_case(span_take(span_drop(value, i), part.length), part))
            return i;
    return value.length + 1;
}

/* Whether the value has the parts in their order, the first at its start, the last at its end. */
static bool filter_has_parts(const struct ldap_filter *filter, struct span value)
{
    struct span rest = span_of(filter->value, FILTER_VALUE_MAX);
    struct span part = span_take(rest, filter->parts[0]);

    if (filter->part_count == 1)
        return span_equals_ignore_case(value, part);
    if (!span_starts_with_ignore_case(value, part))
        return false;
    value = span_drop(value, part.length);
    for (size_t i = 1; i + 1 < filter->part_count; i++) {
        size_t place;

        rest = span_drop(rest, part.length);
        part = span_take(rest, filter->parts[i]);
        place = filter_find(value, part);
        if (place > value.length)
            return false;
        value = span_drop(value, place + part.length);
    }
    rest = span_drop(rest, part.length);
    part = span_take(rest, filter->parts[filter->part_count - 1]);
    return part.length <= value.length &&
           span_equals_ignore_case(span_drop(value, value.length - part.length), part);
}

static bool filter_matches_value(const struct ldap_filter *filter, const struct ldap_entry *entry)
{
    const struct ldap_attribute *attribute = ldap_entry_find(entry, filter->attribute);

    for (size_t i = 0; attribute && i < attribute->value_count; i++)
        if (filter_has_parts(filter, attribute->values[i]))
            return true;
    return false;
}

bool ldap_filter_matches(const struct ldap_filter *filter, const struct ldap_entry *entry)
{
    if (filter->kind == FILTER_VALUE)
        return filter_matches_value(filter, entry);
    if (filter->kind == FILTER_NOT)
        return !ldap_filter_matches(filter->child, entry);
    for (const struct ldap_filter *child = filter->child; child; child = child->sibling)
        if (ldap_filter_matches(child, entry) == (filter->kind == FILTER_OR))
            return filter->kind == FILTER_OR;
    return filter->kind == FILTER_AND;
}

void ldap_filter_each_attribute(const struct ldap_filter *filter,
                                void (*visit)(const char *name, void *context), void *context)
{
    for (; filter; filter = filter->sibling) {
        if (filter->kind == FILTER_VALUE)
            visit(filter->attribute, context);
        ldap_filter_each_attribute(filter->child, visit, context);
    }
}
