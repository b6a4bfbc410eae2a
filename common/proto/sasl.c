/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SASL PLAIN.  Works in scratch memory of its own, which it wipes, and gives out
 * nothing that a line-based protocol could take for a line's end.
 */
#include "common/proto/sasl.h"

#include <assert.h>

/* Reads the three parts of a decoded message. */
static enum sasl_result plain_parse(struct span message, struct credentials *credentials)
{
    struct span rest = message;
    struct span authzid = span_split(&rest, '\0');
    struct span authcid = span_split(&rest, '\0');
    struct credentials parsed = { .authcid = "" };
    enum sasl_result result = SASL_MALFORMED;

    /* The two NULs are there when what was split off and they make up the whole. */
    if (authzid.length + authcid.length + rest.length + 2 == message.length && authcid.length > 0 &&
        rest.length > 0 && !span_has_line_break_or_nul(authcid) &&
        !span_has_line_break_or_nul(rest) &&
        span_copy_string(authcid, parsed.authcid, sizeof(parsed.authcid)) &&
        span_copy_string(rest, parsed.password, sizeof(parsed.password))) {
        result =
            authzid.length == 0 || span_equals(authzid, authcid) ? SASL_OK : SASL_AUTHZID_REFUSED;
        if (result == SASL_OK)
            *credentials = parsed;
    }
    credentials_wipe(&parsed);
    return result;
}

enum sasl_result sasl_plain_decode(struct span response, struct credentials *credentials)
{
    char message[SASL_PLAIN_MAX];
    struct buffer target = buffer_over(message, sizeof(message));
    enum sasl_result result = SASL_MALFORMED;

    if (base64_decode(response, &target))
        result = plain_parse(buffer_span(&target), credentials);
    explicit_bzero(message, sizeof(message));
    return result;
}

size_t sasl_plain_encoded_length(const char *authcid, const char *password)
{
    return BASE64_ENCODED_LENGTH(strlen(authcid) + strlen(password) + 2);
}

void sasl_plain_encode(const char *authcid, const char *password, struct buffer *out)
{
    char message[SASL_PLAIN_MAX];
    struct buffer plain = buffer_over(message, sizeof(message));

    buffer_append_byte(&plain, '\0');
    buffer_append_string(&plain, authcid);
    buffer_append_byte(&plain, '\0');
    buffer_append_string(&plain, password);
    assert(!plain.overflowed);
    base64_encode(buffer_span(&plain), out);
    explicit_bzero(message, sizeof(message));
}
