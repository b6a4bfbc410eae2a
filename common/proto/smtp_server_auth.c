/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AUTH, RFC 4954: the command, the lines of its exchange, and what becomes of its credentials.
 * They are in the session's memory and wiped with every end of the exchange; a line of it is
 * in no answer.
 */
#include <assert.h>

#include "common/proto/smtp_reply.h"
#include "common/proto/smtp_server_private.h"

bool smtp_server_may_authenticate(const struct smtp_server *server)
{
    const struct smtp_server_auth *auth = server->options.auth;

    return auth && (server->options.tls_active || auth->plaintext_allowed);
}

void smtp_server_offer_auth(const struct smtp_server *server, struct buffer *out)
{
    if (!smtp_server_may_authenticate(server))
        return;
    buffer_append_string(out, "250-AUTH");
    for (unsigned mechanism = 0; mechanism < SASL_MECHANISMS; mechanism++)
        if (sasl_is_offered(&server->options.auth->sasl, (enum sasl_mechanism)mechanism))
            buffer_append_format(out, " %s", sasl_mechanism_name((enum sasl_mechanism)mechanism));
    buffer_append_string(out, "\r\n");
}

static void say_challenge(const char *challenge, struct buffer *out)
{
    buffer_append_format(out, "334 %s\r\n", challenge);
}

/* Goes on, or ends, as the exchange says. */
static enum smtp_server_event follow(struct smtp_server *server, enum sasl_result result,
                                     struct buffer *out)
{
    switch (result) {
    case SASL_CHALLENGE:
        say_challenge(sasl_challenge(&server->options.auth->exchange), out);
        if (server->state.current == READY)
            state_move(&server->state, AUTHENTICATING);
        return SMTP_SERVER_NEED_INPUT;
    case SASL_OK:
        state_move(&server->state, ASKED_AUTH);
        return SMTP_SERVER_CREDENTIALS;
    default:
        break;
    }
    if (server->state.current != READY)
        state_move(&server->state, READY);
    switch (result) {
    case SASL_UNKNOWN:
        return smtp_server_refuse(server, 504, "5.5.4", "This mechanism is not offered", out);
    case SASL_CANCELLED:
        return smtp_server_refuse(server, 501, "5.7.0", "Authentication was cancelled", out);
    case SASL_AUTHZID_REFUSED:
    case SASL_REFUSED:
        return smtp_server_refuse(server, 535, "5.7.8", "Authentication credentials invalid", out);
    default:
        return smtp_server_refuse(server, 501, "5.5.2", "The response is not well-formed", out);
    }
}

enum smtp_server_event smtp_server_execute_auth(struct smtp_server *server, struct span arguments,
                                                struct buffer *out)
{
    struct smtp_server_auth *auth = server->options.auth;
    struct span initial = arguments;
    struct span mechanism = span_split(&initial, ' ');

    if (server->is_authenticated)
        return smtp_server_refuse(server, 503, "5.5.1", "You have logged in", out);
    if (!auth)
        return smtp_server_refuse(server, 502, "5.5.1", "Not implemented", out);
    if (!server->is_extended)
        return smtp_server_refuse(server, 503, "5.5.1", "Not now: the order of commands is wrong",
                                  out);
    if (!smtp_server_may_authenticate(server))
        return smtp_server_refuse(server, 538, "5.7.11", "Encryption is required: use STARTTLS",
                                  out);
    return follow(server,
                  sasl_start(&auth->exchange, &auth->sasl, mechanism,
                             mechanism.length < arguments.length ? &initial : NULL,
                             &auth->credentials),
                  out);
}

enum smtp_server_event smtp_server_take_response(struct smtp_server *server, struct span line,
                                                 struct buffer *out)
{
    struct smtp_server_auth *auth = server->options.auth;

    return follow(server, sasl_respond(&auth->exchange, &auth->sasl, line, &auth->credentials),
                  out);
}

void smtp_server_give_up_auth(struct smtp_server *server)
{
    credentials_wipe(&server->options.auth->credentials);
    state_move(&server->state, READY);
}

void smtp_server_judged(struct smtp_server *server, const struct mail_reply *reply,
                        struct buffer *out)
{
    assert(server->state.current == ASKED_AUTH);
    assert(reply->code == 235 || reply->code >= 400);
    credentials_wipe(&server->options.auth->credentials);
    if (reply->code == 535 && sasl_refuse(&server->options.auth->exchange)) {
        say_challenge(SASL_REFUSAL_CHALLENGE, out);
        state_move(&server->state, AUTHENTICATING);
        return;
    }
    smtp_reply_write(reply, out);
    state_move(&server->state, reply->code == 421 ? DONE : READY);
    if (reply->code != 235)
        return;
    server->is_authenticated = true;
    server->options.auth = NULL;
}
