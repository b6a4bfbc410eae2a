/* SPDX-License-Identifier: Apache-2.0 */
/* Descends the grammar of RFC 4515 section 3, and keeps nothing but the place. */
#include "directory/filter_syntax.h"

#include <ctype.h>

enum { FILTER_SYNTAX_DEPTH_MAX = 32 };

static const char *filter_trouble(struct span *text, unsigned depth);

static bool filter_is_next(struct span text, char byte)
{
    return text.length > 0 && text.data[0] == byte;
}

static void filter_skip_spaces(struct span *text)
{
    while (filter_is_next(*text, ' '))
        *text = span_drop(*text, 1);
}

static const char *filter_list_trouble(struct span *text, unsigned depth, bool is_not)
{
    size_t count = 0;

    filter_skip_spaces(text);
    while (filter_is_next(*text, '(')) {
        const char *trouble = filter_trouble(text, depth + 1);

        if (trouble)
            return trouble;
        count++;
        filter_skip_spaces(text);
    }
    return is_not && count != 1 ? "behind \"!\" there is not exactly one filter" : NULL;
}

/* What stands before the "=": an attribute's description, or a matching rule's (RFC 4515). */
static bool filter_is_name(struct span name)
{
    if (name.length > 0 && strchr("<>~:", name.data[name.length - 1]))
        name.length--;
    for (size_t i = 0; i < name.length; i++)
        if (!isalnum((unsigned char)name.data[i]) && !strchr("-.;:", name.data[i]))
            return false;
    return name.length > 0;
}

static const char *filter_value_trouble(struct span *text)
{
    while (text->length > 0 && text->data[0] != ')') {
        bool is_escape = text->data[0] == '\\';

        if (text->data[0] == '(' || text->data[0] == '\0')
            return "a value has a parenthesis; expected \\28 for ( and \\29 for )";
        if (is_escape && (text->length < 3 || !isxdigit((unsigned char)text->data[1]) ||
                          !isxdigit((unsigned char)text->data[2])))
            return "a value has a backslash without two hexadecimal digits; expected \\5c for one";
        *text = span_drop(*text, is_escape ? 3 : 1);
    }
    return NULL;
}

static const char *filter_item_trouble(struct span *text)
{
    size_t length = span_find(*text, '=');

    if (length == text->length)
        return "there is no \"=\" in it";
    if (!filter_is_name(span_take(*text, length)))
        return "an attribute's name is missing or wrong";
    *text = span_drop(*text, length + 1);
    return filter_value_trouble(text);
}

/* One filter in parentheses, taken off `text`. */
static const char *filter_trouble(struct span *text, unsigned depth)
{
    const char *trouble;

    if (depth > FILTER_SYNTAX_DEPTH_MAX)
        return "it is nested too deep";
    if (!filter_is_next(*text, '('))
        return "it does not start with (";
    *text = span_drop(*text, 1);
    if (filter_is_next(*text, '&') || filter_is_next(*text, '|') || filter_is_next(*text, '!')) {
        bool is_not = filter_is_next(*text, '!');

        *text = span_drop(*text, 1);
        trouble = filter_list_trouble(text, depth, is_not);
    } else {
        trouble = filter_item_trouble(text);
    }
    if (trouble)
        return trouble;
    if (!filter_is_next(*text, ')'))
        return "a ) is missing";
    *text = span_drop(*text, 1);
    return NULL;
}

const char *filter_syntax_trouble(struct span text)
{
    const char *trouble = filter_trouble(&text, 0);

    if (!trouble && text.length > 0)
        return "there is something behind its last )";
    return trouble;
}
