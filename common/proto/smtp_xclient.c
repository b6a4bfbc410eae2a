/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/smtp_xclient.h"

#include "common/base/memory.h"
#include "common/proto/smtp_path.h"
#include "common/proto/xtext.h"

/* The values that stand for none: it is not known, or not for now. */
static bool is_unavailable(struct span value)
{
    return span_equals_ignore_case(value, SPAN_LITERAL("[UNAVAILABLE]")) ||
           span_equals_ignore_case(value, SPAN_LITERAL("[TEMPUNAVAIL]"));
}

static bool read_word(struct span value, char word[256])
{
    word[0] = '\0';
    if (is_unavailable(value))
        return true;
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] <= ' ' || value.data[i] > '~')
            return false;
    return value.length > 0 && span_copy_string(value, word, 256);
}

static bool read_name(struct span value, struct smtp_xclient *xclient)
{
    return read_word(value, xclient->name);
}

static bool read_helo(struct span value, struct smtp_xclient *xclient)
{
    return read_word(value, xclient->helo);
}

static bool read_address(struct span value, struct smtp_xclient *xclient)
{
    xclient->client.address[0] = '\0';
    if (is_unavailable(value))
        return true;
    if (span_starts_with_ignore_case(value, SPAN_LITERAL("IPV6:")))
        value = span_drop(value, strlen("IPV6:"));
    return forwarded_set(&xclient->client, FORWARDED_ADDRESS, value);
}

static bool read_port(struct span value, struct smtp_xclient *xclient)
{
    xclient->client.port = 0;
    return is_unavailable(value) || forwarded_set(&xclient->client, FORWARDED_PORT, value);
}

static bool read_session(struct span value, struct smtp_xclient *xclient)
{
    return forwarded_set(&xclient->client, FORWARDED_SESSION, value);
}

static bool read_ttl(struct span value, struct smtp_xclient *xclient)
{
    return forwarded_set(&xclient->client, FORWARDED_TTL, value);
}

static bool read_protocol(struct span value, struct smtp_xclient *xclient)
{
    xclient->is_extended = span_equals_ignore_case(value, SPAN_LITERAL("ESMTP"));
    return xclient->is_extended || span_equals_ignore_case(value, SPAN_LITERAL("SMTP"));
}

static bool read_attribute(const struct smtp_parameter *parameter, struct smtp_xclient *xclient)
{
    static const struct {
        struct span name;
        bool (*read)(struct span value, struct smtp_xclient *xclient);
    } rows[] = {
        { SPAN_LITERAL("NAME"), read_name }, { SPAN_LITERAL("ADDR"), read_address },
        { SPAN_LITERAL("PORT"), read_port }, { SPAN_LITERAL("PROTO"), read_protocol },
        { SPAN_LITERAL("HELO"), read_helo }, { SPAN_LITERAL("SESSION"), read_session },
        { SPAN_LITERAL("TTL"), read_ttl },
    };
    char memory[512];
    struct buffer value = buffer_over(memory, sizeof(memory));

    if (!parameter->has_value || !xtext_decode(parameter->value, false, &value))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (span_equals_ignore_case(parameter->keyword, rows[i].name))
            return rows[i].read(buffer_span(&value), xclient);
    return false;
}

bool smtp_xclient_read(struct span arguments, struct smtp_xclient *xclient)
{
    struct smtp_xclient read = *xclient;

    while (smtp_parameter_follows(arguments)) {
        struct smtp_parameter parameter;

        if (!smtp_parameter_take(&arguments, &parameter) || !read_attribute(&parameter, &read))
            return false;
    }
    *xclient = read;
    return true;
}
