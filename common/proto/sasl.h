/* SPDX-License-Identifier: Apache-2.0 */
/* SASL PLAIN, RFC 4616, in base64 as the mail protocols carry it. */
#ifndef MAILSTEAD_PROTO_SASL_H
#define MAILSTEAD_PROTO_SASL_H

#include "common/base/base64.h"
#include "common/proto/login.h"

enum {
    /* The longest PLAIN message, [authzid] NUL authcid NUL password, that is understood. */
    SASL_PLAIN_MAX = 2 * LOGIN_NAME_SIZE + LOGIN_PASSWORD_SIZE,
    SASL_PLAIN_ENCODED_MAX = BASE64_ENCODED_LENGTH(SASL_PLAIN_MAX)
};

enum sasl_result {
    SASL_OK,
    SASL_MALFORMED, /* not base64, not a PLAIN message, or a part empty, too long, or with CR or LF
                     */
    SASL_AUTHZID_REFUSED /* well formed, but it asks to act as somebody else */
};

/* Decodes a client's response.  `credentials` is untouched unless the result is SASL_OK. */
enum sasl_result sasl_plain_decode(struct span response, struct credentials *credentials)
    __attribute__((warn_unused_result));

/* The bytes that sasl_plain_encode appends. */
size_t sasl_plain_encoded_length(const char *authcid, const char *password);

/*
 * Appends a client's response without authzid.  Both are sendable (login.h), and
 * `out` has room for sasl_plain_encoded_length bytes.
 */
void sasl_plain_encode(const char *authcid, const char *password, struct buffer *out);

#endif
