/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of OAUTHBEARER (RFC 7628 section 3.1) and of XOAUTH2, its elder relative.
 * Both are pairs KEY=VALUE, each with ^A behind it and one more ^A behind the last; the name
 * stands in OAUTHBEARER's GS2 header (RFC 5801 section 4) and in XOAUTH2's pair "user".
 * Of the pairs only those that say who and by what right are read: host and port are the
 * client's own view, and nothing here depends on them.
 */
#include "common/proto/sasl_message.h"

#define PAIR_END '\1'

/* What the pairs of a message say; data is NULL in a span that none gave. */
struct pairs {
    struct span user, authorization;
};

/* Keeps a value, once. */
static bool pairs_keep(struct span *kept, struct span value)
{
    if (kept->data)
        return false;
    *kept = value;
    return true;
}

/* Reads all of `message`; CR, LF and NUL are in no value. */
static bool pairs_read(struct span message, struct pairs *pairs)
{
    if (span_has_line_break_or_nul(message))
        return false;
    while (message.length > 1) {
        size_t end = span_find(message, PAIR_END);
        struct span value = span_take(message, end), key = span_split(&value, '=');

        if (end == message.length || key.length == 0 || key.length == end)
            return false;
        message = span_drop(message, end + 1);
        if (span_equals_ignore_case(key, SPAN_LITERAL("user"))) {
            if (!pairs_keep(&pairs->user, value))
                return false;
        } else if (span_equals_ignore_case(key, SPAN_LITERAL("auth"))) {
            if (!pairs_keep(&pairs->authorization, value))
                return false;
        }
    }
    return message.length == 1 && message.data[0] == PAIR_END;
}

/* "Bearer TOKEN", RFC 6750 section 2.1. */
static bool copy_token(struct span authorization, struct credentials *credentials)
{
    struct span scheme = span_split(&authorization, ' ');

    return span_equals_ignore_case(scheme, SPAN_LITERAL("Bearer")) &&
           span_copy_string(span_trim(authorization), credentials->token,
                            sizeof(credentials->token)) &&
           credentials_token_is_sendable(credentials->token);
}

enum sasl_result sasl_xoauth2_read(struct span message, struct credentials *credentials)
{
    struct pairs pairs = { .user = SPAN_EMPTY };

    if (!pairs_read(message, &pairs) ||
        !sasl_copy_part(pairs.user, credentials->authcid, sizeof(credentials->authcid)) ||
        !copy_token(pairs.authorization, credentials))
        return SASL_MALFORMED;
    credentials->kind = CREDENTIALS_XOAUTH2;
    return SASL_OK;
}

/* Takes the three bytes of an escape off the front of `*text`: "=2C" or "=3D". */
static bool take_escape(struct span *text, char *byte)
{
    if (span_equals(span_take(*text, 3), SPAN_LITERAL("=2C")))
        *byte = ',';
    else if (span_equals(span_take(*text, 3), SPAN_LITERAL("=3D")))
        *byte = '=';
    else
        return false;
    *text = span_drop(*text, 3);
    return true;
}

/* A saslname, RFC 5801 section 4. */
static bool copy_saslname(struct span text, char *target, size_t capacity)
{
    struct buffer name = buffer_over(target, capacity - 1);

    if (text.length == 0 || span_has_line_break_or_nul(text) ||
        span_find(text, PAIR_END) < text.length)
        return false;
    while (text.length > 0) {
        char byte = text.data[0];

        if (byte != '=')
            text = span_drop(text, 1);
        else if (!take_escape(&text, &byte))
            return false;
        if (!buffer_append_byte(&name, byte))
            return false;
    }
    target[name.length] = '\0';
    return true;
}

/*
 * Takes "n," or "y,", "a=NAME" and "," off the front of `*message`.  The name may be left
 * out by RFC 7628; but only the name says which backend could tell whose the token is.
 */
static bool take_gs2_header(struct span *message, char *name, size_t capacity)
{
    struct span binding = span_split(message, ','), authzid;

    if (!span_equals(binding, SPAN_LITERAL("n")) && !span_equals(binding, SPAN_LITERAL("y")))
        return false;
    authzid = span_split(message, ',');
    return span_equals(span_take(authzid, 2), SPAN_LITERAL("a=")) &&
           copy_saslname(span_drop(authzid, 2), name, capacity) && message->length > 0;
}

enum sasl_result sasl_oauthbearer_read(struct span message, struct credentials *credentials)
{
    struct pairs pairs = { .user = SPAN_EMPTY };

    if (!take_gs2_header(&message, credentials->authcid, sizeof(credentials->authcid)) ||
        message.data[0] != PAIR_END || !pairs_read(span_drop(message, 1), &pairs) ||
        !copy_token(pairs.authorization, credentials))
        return SASL_MALFORMED;
    credentials->kind = CREDENTIALS_OAUTHBEARER;
    return SASL_OK;
}

void sasl_xoauth2_write(const char *name, const char *token, struct buffer *out)
{
    buffer_append_string(out, "user=");
    buffer_append_string(out, name);
    buffer_append_string(out, "\1auth=Bearer ");
    buffer_append_string(out, token);
    buffer_append_string(out, "\1\1");
}

void sasl_oauthbearer_write(const char *name, const char *token, struct buffer *out)
{
    buffer_append_string(out, "n,a=");
    for (; *name; name++) {
        if (*name == ',')
            buffer_append_string(out, "=2C");
        else if (*name == '=')
            buffer_append_string(out, "=3D");
        else
            buffer_append_byte(out, *name);
    }
    buffer_append_string(out, ",\1auth=Bearer ");
    buffer_append_string(out, token);
    buffer_append_string(out, "\1\1");
}
