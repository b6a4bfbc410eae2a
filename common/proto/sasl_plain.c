/* SPDX-License-Identifier: Apache-2.0 */
/* The message of SASL PLAIN, RFC 4616: [authzid] NUL authcid NUL password. */
#include "common/proto/sasl_message.h"

enum sasl_result sasl_plain_read(struct span message, struct credentials *credentials)
{
    struct span rest = message;
    struct span authzid = span_split(&rest, '\0');
    struct span authcid = span_split(&rest, '\0');

    /* The two NULs are there when what was split off and they make up the whole. */
    if (authzid.length + authcid.length + rest.length + 2 != message.length ||
        !sasl_copy_part(authcid, credentials->authcid, sizeof(credentials->authcid)) ||
        !sasl_copy_part(rest, credentials->password, sizeof(credentials->password)))
        return SASL_MALFORMED;
    credentials->kind = CREDENTIALS_PASSWORD;
    return authzid.length == 0 || span_equals(authzid, authcid) ? SASL_OK : SASL_AUTHZID_REFUSED;
}

void sasl_plain_write(const char *name, const char *password, struct buffer *out)
{
    buffer_append_byte(out, '\0');
    buffer_append_string(out, name);
    buffer_append_byte(out, '\0');
    buffer_append_string(out, password);
}
