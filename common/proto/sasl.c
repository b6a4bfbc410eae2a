/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SASL exchange.  Decodes each response into scratch memory, which it wipes, and
 * has the mechanism's message read there.  What is not understood is SASL_MALFORMED; nothing is
 * allocated and nothing is logged.
 */
#include "common/proto/sasl.h"

#include <assert.h>

#include "common/base/memory.h"
#include "common/proto/sasl_message.h"

enum {
    SASL_STATE_FIRST,    /* the mechanism's message, or LOGIN's name, is awaited */
    SASL_STATE_PASSWORD, /* LOGIN's password is awaited */
    SASL_STATE_JUDGED,   /* the credentials are with their judge, or there are none */
    SASL_STATE_REFUSED   /* the answer to the challenge that tells of the failure is awaited */
};

static const struct state_row sasl_states[] = {
    [SASL_STATE_FIRST] = { "first", STATE_BIT(SASL_STATE_PASSWORD) | STATE_BIT(SASL_STATE_JUDGED) },
    [SASL_STATE_PASSWORD] = { "password", STATE_BIT(SASL_STATE_JUDGED) },
    [SASL_STATE_JUDGED] = { "judged", STATE_BIT(SASL_STATE_REFUSED) },
    [SASL_STATE_REFUSED] = { "refused", STATE_BIT(SASL_STATE_JUDGED) },
};

static const char *const sasl_names[SASL_MECHANISMS] = {
    [SASL_PLAIN] = "PLAIN",       [SASL_LOGIN] = "LOGIN",
    [SASL_XOAUTH2] = "XOAUTH2",   [SASL_OAUTHBEARER] = "OAUTHBEARER",
    [SASL_EXTERNAL] = "EXTERNAL",
};

const char *sasl_mechanism_name(enum sasl_mechanism mechanism)
{
    return sasl_names[mechanism];
}

bool sasl_mechanism_find(struct span name, enum sasl_mechanism *mechanism)
{
    for (size_t i = 0; i < ARRAY_LENGTH(sasl_names); i++)
        if (span_equals_ignore_case(name, span_from_string(sasl_names[i]))) {
            *mechanism = i;
            return true;
        }
    return false;
}

bool sasl_is_offered(const struct sasl_options *options, enum sasl_mechanism mechanism)
{
    return options->mechanisms & SASL_BIT(mechanism) &&
           (mechanism != SASL_EXTERNAL ||
            (options->external_identity && options->external_identity[0]));
}

bool sasl_copy_part(struct span part, char *target, size_t capacity)
{
    return part.length > 0 && !span_has_line_break_or_nul(part) &&
           span_copy_string(part, target, capacity);
}

/* LOGIN: the name, then the password. */
static enum sasl_result sasl_login_read(struct sasl_exchange *exchange, struct span message,
                                        struct credentials *credentials)
{
    if (exchange->state.current == SASL_STATE_FIRST) {
        if (!sasl_copy_part(message, credentials->authcid, sizeof(credentials->authcid)))
            return SASL_MALFORMED;
        state_move(&exchange->state, SASL_STATE_PASSWORD);
        return SASL_CHALLENGE;
    }
    credentials->kind = CREDENTIALS_PASSWORD;
    return sasl_copy_part(message, credentials->password, sizeof(credentials->password))
               ? SASL_OK
               : SASL_MALFORMED;
}

static bool sasl_is_master(const struct sasl_options *options)
{
    for (size_t i = 0; i < options->external_master_count; i++)
        if (strcmp(options->external_masters[i], options->external_identity) == 0)
            return true;
    return false;
}

/* EXTERNAL: the authzid, or nothing for the account that the certificate names. */
static enum sasl_result sasl_external_read(const struct sasl_options *options, struct span message,
                                           struct credentials *credentials)
{
    struct span identity = span_from_string(options->external_identity);

    if (message.length == 0)
        message = identity;
    if (!sasl_copy_part(message, credentials->authcid, sizeof(credentials->authcid)))
        return SASL_MALFORMED;
    credentials->kind = CREDENTIALS_EXTERNAL;
    return span_equals(message, identity) || sasl_is_master(options) ? SASL_OK
                                                                     : SASL_AUTHZID_REFUSED;
}

static enum sasl_result sasl_read(struct sasl_exchange *exchange,
                                  const struct sasl_options *options, struct span message,
                                  struct credentials *credentials)
{
    switch (exchange->mechanism) {
    case SASL_PLAIN:
        return sasl_plain_read(message, credentials);
    case SASL_LOGIN:
        return sasl_login_read(exchange, message, credentials);
    case SASL_XOAUTH2:
        return sasl_xoauth2_read(message, credentials);
    case SASL_OAUTHBEARER:
        return sasl_oauthbearer_read(message, credentials);
    case SASL_EXTERNAL:
        return sasl_external_read(options, message, credentials);
    case SASL_MECHANISMS:
        break;
    }
    return SASL_MALFORMED;
}

static enum sasl_result sasl_take(struct sasl_exchange *exchange,
                                  const struct sasl_options *options, struct span response,
                                  struct credentials *credentials)
{
    char message[SASL_MESSAGE_MAX];
    struct buffer target = buffer_over(message, sizeof(message));
    enum sasl_result result = SASL_MALFORMED;

    if (base64_decode(response, &target))
        result = sasl_read(exchange, options, buffer_span(&target), credentials);
    explicit_bzero(message, span_take(response, sizeof(message)).length);
    if (result != SASL_CHALLENGE)
        state_move(&exchange->state, SASL_STATE_JUDGED);
    if (result != SASL_CHALLENGE && result != SASL_OK)
        credentials_wipe(credentials);
    return result;
}

enum sasl_result sasl_start(struct sasl_exchange *exchange, const struct sasl_options *options,
                            struct span mechanism, const struct span *initial,
                            struct credentials *credentials)
{
    credentials_wipe(credentials);
    if (!sasl_mechanism_find(mechanism, &exchange->mechanism) ||
        !sasl_is_offered(options, exchange->mechanism))
        return SASL_UNKNOWN;
    state_init(&exchange->state, sasl_states, SASL_STATE_FIRST);
    if (!initial)
        return SASL_CHALLENGE;
    return sasl_take(exchange, options,
                     span_equals(*initial, SPAN_LITERAL("=")) ? SPAN_EMPTY : *initial, credentials);
}

enum sasl_result sasl_respond(struct sasl_exchange *exchange, const struct sasl_options *options,
                              struct span line, struct credentials *credentials)
{
    assert(exchange->state.current != SASL_STATE_JUDGED);
    if (exchange->state.current == SASL_STATE_REFUSED) { /* whatever it says */
        state_move(&exchange->state, SASL_STATE_JUDGED);
        return SASL_REFUSED;
    }
    if (!span_equals(line, SPAN_LITERAL("*")))
        return sasl_take(exchange, options, line, credentials);
    state_move(&exchange->state, SASL_STATE_JUDGED);
    credentials_wipe(credentials);
    return SASL_CANCELLED;
}

const char *sasl_challenge(const struct sasl_exchange *exchange)
{
    if (exchange->mechanism != SASL_LOGIN)
        return "";
    return exchange->state.current == SASL_STATE_FIRST ? "VXNlcm5hbWU6"  /* Username: */
                                                       : "UGFzc3dvcmQ6"; /* Password: */
}

bool sasl_refuse(struct sasl_exchange *exchange)
{
    if (exchange->mechanism != SASL_XOAUTH2 && exchange->mechanism != SASL_OAUTHBEARER)
        return false;
    state_move(&exchange->state, SASL_STATE_REFUSED);
    return true;
}

/* --- the client's side ---------------------------------------------------------- */

enum sasl_mechanism sasl_replay_mechanism(const struct credentials *credentials)
{
    assert(credentials->kind != CREDENTIALS_EXTERNAL);
    if (credentials->kind == CREDENTIALS_XOAUTH2)
        return SASL_XOAUTH2;
    return credentials->kind == CREDENTIALS_OAUTHBEARER ? SASL_OAUTHBEARER : SASL_PLAIN;
}

static void sasl_write(const struct credentials *credentials, const char *name, struct buffer *out)
{
    if (credentials->kind == CREDENTIALS_XOAUTH2)
        sasl_xoauth2_write(name, credentials->token, out);
    else if (credentials->kind == CREDENTIALS_OAUTHBEARER)
        sasl_oauthbearer_write(name, credentials->token, out);
    else
        sasl_plain_write(name, credentials->password, out);
    assert(!out->overflowed);
}

size_t sasl_response_length(const struct credentials *credentials, const char *name)
{
    char message[SASL_RESPONSE_MAX];
    struct buffer plain = buffer_over(message, sizeof(message));

    sasl_write(credentials, name, &plain);
    explicit_bzero(message, plain.length);
    return BASE64_ENCODED_LENGTH(plain.length);
}

void sasl_append_response(const struct credentials *credentials, const char *name,
                          struct buffer *out)
{
    char message[SASL_RESPONSE_MAX];
    struct buffer plain = buffer_over(message, sizeof(message));

    sasl_write(credentials, name, &plain);
    base64_encode(buffer_span(&plain), out);
    explicit_bzero(message, plain.length);
}

void sasl_keep_challenge(struct span challenge, char target[SASL_CHALLENGE_SIZE])
{
    char memory[SASL_CHALLENGE_SIZE];
    struct buffer decoded = buffer_over(memory, sizeof(memory));

    if (!base64_decode(challenge, &decoded) ||
        !span_copy_string(challenge, target, SASL_CHALLENGE_SIZE))
        target[0] = '\0';
}
