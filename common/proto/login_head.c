/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heads of the login machines: states, credentials and exchanges, and not one word of a
 * protocol.
 */
#include "common/proto/login_head.h"

#include <assert.h>

static const struct state_row login_server_states[] = {
    [LOGIN_SERVER_COMMAND] = { "command",
                               STATE_BIT(LOGIN_SERVER_RESPONSE) | STATE_BIT(LOGIN_SERVER_TLS) |
                                   STATE_BIT(LOGIN_SERVER_TRYING) | STATE_BIT(LOGIN_SERVER_DONE) },
    [LOGIN_SERVER_RESPONSE] = { "response",
                                STATE_BIT(LOGIN_SERVER_COMMAND) | STATE_BIT(LOGIN_SERVER_DONE) },
    [LOGIN_SERVER_TLS] = { "tls", STATE_BIT(LOGIN_SERVER_COMMAND) | STATE_BIT(LOGIN_SERVER_DONE) },
    [LOGIN_SERVER_TRYING] = { "trying", STATE_BIT(LOGIN_SERVER_COMMAND) |
                                            STATE_BIT(LOGIN_SERVER_RESPONSE) |
                                            STATE_BIT(LOGIN_SERVER_DONE) },
    [LOGIN_SERVER_DONE] = { "done", STATE_BIT(LOGIN_SERVER_DONE) },
};

void login_server_init(struct login_server *server, const struct login_server_options *options)
{
    *server = (struct login_server){ .options = *options };
    state_init(&server->state, login_server_states, LOGIN_SERVER_COMMAND);
}

bool login_server_takes_credentials(const struct login_server *server)
{
    return server->options.tls_active || server->options.plaintext_allowed;
}

bool login_server_offers_tls(const struct login_server *server)
{
    return server->options.tls_available && !server->options.tls_active;
}

bool login_server_is_listening(const struct login_server *server)
{
    return server->state.current == LOGIN_SERVER_COMMAND ||
           server->state.current == LOGIN_SERVER_RESPONSE;
}

struct credentials *login_server_credentials(struct login_server *server)
{
    assert(server->state.current == LOGIN_SERVER_TRYING);
    return &server->credentials;
}

enum login_event login_server_try_password(struct login_server *server)
{
    server->credentials.kind = CREDENTIALS_PASSWORD;
    server->has_exchange = false;
    state_move(&server->state, LOGIN_SERVER_TRYING);
    return LOGIN_CREDENTIALS;
}

static enum sasl_result login_server_go_on(struct login_server *server, enum sasl_result result)
{
    server->has_exchange = result == SASL_OK;
    if (result == SASL_OK)
        state_move(&server->state, LOGIN_SERVER_TRYING);
    else if (result == SASL_CHALLENGE)
        state_move(&server->state, LOGIN_SERVER_RESPONSE);
    return result;
}

enum sasl_result login_server_start_exchange(struct login_server *server, struct span mechanism,
                                             const struct span *initial)
{
    return login_server_go_on(server, sasl_start(&server->exchange, &server->options.sasl,
                                                 mechanism, initial, &server->credentials));
}

enum sasl_result login_server_respond(struct login_server *server, struct span response)
{
    state_move(&server->state, LOGIN_SERVER_COMMAND);
    return login_server_go_on(server, sasl_respond(&server->exchange, &server->options.sasl,
                                                   response, &server->credentials));
}

void login_server_drop_exchange(struct login_server *server)
{
    if (server->state.current == LOGIN_SERVER_RESPONSE)
        state_move(&server->state, LOGIN_SERVER_COMMAND);
    server->refusal[0] = '\0';
}

void login_server_tls_started(struct login_server *server)
{
    server->options.tls_active = true;
    credentials_wipe(&server->credentials);
    server->forwarded = (struct forwarded){ .port = 0 };
    state_move(&server->state, LOGIN_SERVER_COMMAND);
}

struct span login_server_refused(struct login_server *server, const struct login_refusal *refusal,
                                 struct span text)
{
    struct span challenge = login_refusal_challenge(refusal);

    assert(server->state.current == LOGIN_SERVER_TRYING && !span_has_line_break_or_nul(text));
    credentials_wipe(&server->credentials);
    if (!server->has_exchange || challenge.length == 0 || !sasl_refuse(&server->exchange)) {
        state_move(&server->state, LOGIN_SERVER_COMMAND);
        return SPAN_LITERAL("");
    }
    login_copy_text(text, server->refusal);
    state_move(&server->state, LOGIN_SERVER_RESPONSE);
    return challenge;
}

void login_server_accepted(struct login_server *server)
{
    assert(server->state.current == LOGIN_SERVER_TRYING);
    credentials_wipe(&server->credentials);
    state_move(&server->state, LOGIN_SERVER_DONE);
}

void login_server_fini(struct login_server *server)
{
    credentials_wipe(&server->credentials);
}

void login_client_start(struct login_client *client, const struct state_row *rows, unsigned first)
{
    client->mechanism = sasl_replay_mechanism(client->options.credentials);
    state_init(&client->state, rows, first);
}

bool login_client_keep_challenge(struct login_client *client, struct span text)
{
    if (client->mechanism == SASL_PLAIN || client->has_challenge)
        return false;
    client->has_challenge = true;
    sasl_keep_challenge(text, client->challenge);
    return true;
}

struct span login_client_text(const struct login_client *client)
{
    return span_from_string(client->text);
}

struct span login_client_challenge(const struct login_client *client)
{
    return span_from_string(client->challenge);
}
