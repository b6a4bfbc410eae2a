/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SASL, RFC 4422, as the mail protocols carry it: base64, one response a line.
 *
 * The exchange is the server's side, for any protocol: it is told the mechanism's
 * name and each response, and gives the next challenge, the credentials, or why there
 * are none.  It works in scratch memory of its own, which it wipes, and gives out
 * nothing that a line-based protocol could take for a line's end.
 *
 * The client's side is one message: what replays credentials at a backend.
 */
#ifndef MAILSTEAD_PROTO_SASL_H
#define MAILSTEAD_PROTO_SASL_H

#include "common/base/base64.h"
#include "common/base/state.h"
#include "common/proto/credentials.h"

enum sasl_mechanism {
    SASL_PLAIN,       /* RFC 4616 */
    SASL_LOGIN,       /* draft-murchison-sasl-login: name, then password */
    SASL_XOAUTH2,     /* user=NAME ^A auth=Bearer TOKEN ^A ^A */
    SASL_OAUTHBEARER, /* RFC 7628 */
    SASL_EXTERNAL,    /* RFC 4422 appendix A */
    SASL_MECHANISMS
};

#define SASL_BIT(mechanism) (1U << (mechanism))

enum {
    /* The longest message of a mechanism that is understood, and its encoding. */
    SASL_MESSAGE_MAX = 9000,
    SASL_ENCODED_MAX = BASE64_ENCODED_LENGTH(SASL_MESSAGE_MAX),
    /* The longest that sasl_append_response appends: a name may triple. */
    SASL_RESPONSE_MAX = BASE64_ENCODED_LENGTH(LOGIN_TOKEN_SIZE + 3 * LOGIN_NAME_SIZE + 32),
    /* Room for the line of a command with a whole response in it, or for a response alone. */
    SASL_LINE_MAX = 12288,
    /* A challenge in base64, and its NUL: the longest that is passed on. */
    SASL_CHALLENGE_SIZE = 1024
};

/* The registered name, in capitals. */
const char *sasl_mechanism_name(enum sasl_mechanism mechanism);

/* Finds a mechanism by name, case ignored; false, and `*mechanism` untouched, when it is none. */
bool sasl_mechanism_find(struct span name, enum sasl_mechanism *mechanism)
    __attribute__((warn_unused_result));

/* --- the server's side ---------------------------------------------------------- */

struct sasl_options {
    unsigned mechanisms; /* SASL_BIT of each that may be used */
    /*
     * Whom the client's verified certificate names, which may be known only after the handshake;
     * NULL or empty: nobody, and EXTERNAL is not offered.
     */
    const char *external_identity;
    char *const *external_masters; /* the identities that may act for any account */
    size_t external_master_count;
};

/* True when a client may use `mechanism` now. */
bool sasl_is_offered(const struct sasl_options *options, enum sasl_mechanism mechanism);

struct sasl_exchange {
    struct state state;
    enum sasl_mechanism mechanism;
};

enum sasl_result {
    SASL_CHALLENGE,       /* send sasl_challenge, then give the next line to sasl_respond */
    SASL_OK,              /* `*credentials` is filled */
    SASL_MALFORMED,       /* not base64, not the mechanism's message, or a part that is empty, too
                             long, or has CR, LF or NUL in it */
    SASL_CANCELLED,       /* "*" */
    SASL_AUTHZID_REFUSED, /* well formed, but it asks to act as somebody else */
    SASL_UNKNOWN,         /* no such mechanism, or none that is offered */
    SASL_REFUSED          /* after sasl_refuse: the refusal can be told now */
};

/*
 * Begins the exchange that the client asks for.  `initial` is its initial response as it
 * stands in the command ("=" is an empty one), or NULL when there is none.  `options` is
 * needed during the call and those of sasl_respond.
 *
 * Here and in sasl_respond: unless the result is SASL_OK or SASL_CHALLENGE, `*credentials` is
 * wiped; between SASL_CHALLENGE and the next call it is the exchange's own.
 */
enum sasl_result sasl_start(struct sasl_exchange *exchange, const struct sasl_options *options,
                            struct span mechanism, const struct span *initial,
                            struct credentials *credentials) __attribute__((warn_unused_result));

/* Takes the line, without its line end, that answers the last challenge. */
enum sasl_result sasl_respond(struct sasl_exchange *exchange, const struct sasl_options *options,
                              struct span line, struct credentials *credentials)
    __attribute__((warn_unused_result));

/* After SASL_CHALLENGE: what to send, in base64; may be empty. */
const char *sasl_challenge(const struct sasl_exchange *exchange);

/*
 * After SASL_OK, when the credentials were refused for good.  True when the mechanism tells a
 * failure by a challenge, which the client answers before it hears the refusal (RFC 7628
 * section 3.2.3): send that of the backend or SASL_REFUSAL_CHALLENGE, and give the answer to
 * sasl_respond.
 */
bool sasl_refuse(struct sasl_exchange *exchange) __attribute__((warn_unused_result));

/* {"status":"invalid_token"}, RFC 7628 section 3.2.2. */
#define SASL_REFUSAL_CHALLENGE "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0="

/* --- the client's side ---------------------------------------------------------- */

/* The mechanism that replays `credentials`, which are not EXTERNAL. */
enum sasl_mechanism sasl_replay_mechanism(const struct credentials *credentials);

/* The bytes that sasl_append_response appends. */
size_t sasl_response_length(const struct credentials *credentials, const char *name);

/*
 * Appends the one response of sasl_replay_mechanism under `name`, for which the credentials
 * are sendable (credentials.h).  `out` has room for SASL_RESPONSE_MAX bytes.
 */
void sasl_append_response(const struct credentials *credentials, const char *name,
                          struct buffer *out);

/* The answer to a challenge that tells of a failure: ^A, RFC 7628 section 3.2.3. */
#define SASL_FAILURE_ANSWER "AQ=="

/* Keeps a challenge that may be passed on; empty when it is too long, or no base64. */
void sasl_keep_challenge(struct span challenge, char target[SASL_CHALLENGE_SIZE]);

#endif
