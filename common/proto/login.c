/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the login machines share.  Holds nothing and keeps nothing; failures are
 * return values.
 */
#include "common/proto/login.h"

#include <arpa/inet.h>

#include "common/base/memory.h"

enum login_line login_take_line(struct span *in, size_t line_max, struct span *line)
{
    size_t end = span_find(span_take(*in, line_max), '\n');

    if (end >= line_max)
        return LOGIN_LINE_TOO_LONG;
    if (end == in->length)
        return LOGIN_LINE_NONE;
    *line = span_take(*in, end);
    *in = span_drop(*in, end + 1);
    if (end == 0 || line->data[end - 1] != '\r')
        return LOGIN_LINE_BROKEN;
    line->length--;
    return span_has_line_break_or_nul(*line) ? LOGIN_LINE_BROKEN : LOGIN_LINE_WHOLE;
}

void login_copy_text(struct span text, char target[LOGIN_TEXT_SIZE])
{
    text = span_take(text, LOGIN_TEXT_SIZE - 1);
    if (text.length > 0)
        memcpy(target, text.data, text.length);
    target[text.length] = '\0';
}

struct span login_refusal_challenge(const struct login_refusal *refusal)
{
    if (refusal->challenge.length > 0 || refusal->reason != LOGIN_REFUSED_CREDENTIALS)
        return refusal->challenge;
    return SPAN_LITERAL(SASL_REFUSAL_CHALLENGE);
}

static bool forwarded_set_address(struct forwarded *forwarded, struct span value)
{
    char address[sizeof(forwarded->address)];
    unsigned char binary[16];

    if (!span_copy_string(value, address, sizeof(address)) ||
        (inet_pton(AF_INET, address, binary) != 1 && inet_pton(AF_INET6, address, binary) != 1))
        return false;
    memcpy(forwarded->address, address, sizeof(address));
    return true;
}

static bool forwarded_set_session(struct forwarded *forwarded, struct span value)
{
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] <= ' ' || value.data[i] > '~')
            return false;
    return span_copy_string(value, forwarded->session_id, sizeof(forwarded->session_id));
}

bool forwarded_set(struct forwarded *forwarded, enum forwarded_field field, struct span value)
{
    uint64_t number;

    switch (field) {
    case FORWARDED_ADDRESS:
        return forwarded_set_address(forwarded, value);
    case FORWARDED_SESSION:
        return forwarded_set_session(forwarded, value);
    case FORWARDED_PORT:
        if (!span_parse_u64(value, &number) || number > UINT16_MAX)
            return false;
        forwarded->port = (uint16_t)number;
        return true;
    case FORWARDED_TTL:
        if (!span_parse_u64(value, &number) || number > FORWARDED_TTL_MAX)
            return false;
        forwarded->ttl = (unsigned)number;
        forwarded->has_ttl = true;
        return true;
    }
    return false;
}

bool forwarded_set_parameter(struct forwarded *forwarded, struct span parameter)
{
    static const struct {
        const char *key;
        enum forwarded_field field;
    } rows[] = { { "ADDR", FORWARDED_ADDRESS },
                 { "PORT", FORWARDED_PORT },
                 { "SESSION", FORWARDED_SESSION },
                 { "TTL", FORWARDED_TTL } };
    struct span value = parameter;
    struct span key = span_split(&value, '=');

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (span_equals_ignore_case(key, span_from_string(rows[i].key)))
            return forwarded_set(forwarded, rows[i].field, value);
    return key.length > 0;
}
