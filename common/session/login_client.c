/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of a login: TLS, the greeting, and what the client says up to its credentials.
 * While a question of the machine is open, the client is not read.
 */
#include "common/session/login_state.h"

#include <stdio.h>

#include "common/io/tls_certificate.h"

static void login_client_read_proxy(struct login_session *session)
{
    struct login *login = session->login;
    struct proxy_header header;

    switch (proxied_read(&session->client, &login->proxy_header, &header)) {
    case PROXIED_WAITS:
        return;
    case PROXIED_BROKEN:
        login_session_end(session, "the PROXY header is broken");
        return;
    case PROXIED_LEFT:
        login_session_end(session, "client closed");
        return;
    case PROXIED_READ:
        break;
    }
    proxied_apply(&header, &session->session);
    memcpy(login->proxied_id, header.id, sizeof(login->proxied_id));
    session->is_secured = proxied_is_secured(&header, session->session.listener);
    login_client_begin(session);
}

static void login_client_credentials(struct login_session *session)
{
    struct login *login = session->login;
    const struct session *head = &session->session;
    const struct forwarded *claimed = &login->server.head.forwarded;

    login->credentials_ms = io_loop_now_ms(head->service->loop);
    login->was_refused = login->has_waited = login->is_allowed = login->is_blocked = false;
    login->elsewheres = 0;
    login->refusal[0] = login->challenge[0] = '\0';
    login->kind = login_server_credentials(&login->server.head)->kind;
    transport_watch(&session->client, 0);
    if (head->service->peers_are_trusted)
        session->session.was_relayed |= forwarded_was_relayed(claimed);
    if (head->service->peers_are_trusted && claimed->address[0]) {
        login->forwarded = *claimed;
        login->forwarded.ttl = claimed->ttl > 0 ? claimed->ttl - 1 : 0;
    } else {
        login_attempt_forward(head, &login->forwarded);
        login->forwarded.fields = claimed->fields;
    }
    if (head->service->peers_are_trusted && login->proxied_id[0])
        memcpy(login->forwarded.session_id, login->proxied_id, sizeof(login->proxied_id));
    if (!login->forwarded.session_id[0])
        snprintf(login->forwarded.session_id, sizeof(login->forwarded.session_id), "%s", head->id);
    login_route_resolve(session);
}

static void login_client_start_tls(struct login_session *session)
{
    struct login *login = session->login;

    intake_settle(&login->client_intake);
    state_move(&session->state, LOGIN_STATE_SECURING);
    if (login->client_intake.input.length > 0 ||
        !transport_start_tls_server(&session->client, session->session.service->tls_server))
        login_session_end(session, "plaintext behind STARTTLS");
}

/* Runs the machine over what has come, until it needs more or asks something. */
void login_client_pump(struct login_session *session)
{
    struct login *login = session->login;

    for (;;) {
        struct buffer out = io_loop_out(session->session.service->loop);
        enum login_event event =
            login->server_ops->next(&login->server, &login->client_intake.input, &out);

        if (!login_session_send(session, &session->client, &out))
            return;
        switch (event) {
        case LOGIN_FLUSH:
            continue;
        case LOGIN_NEED_INPUT:
            intake_settle(&login->client_intake);
            return;
        case LOGIN_STARTTLS:
            login_client_start_tls(session);
            return;
        case LOGIN_CREDENTIALS:
            intake_settle(&login->client_intake);
            login_client_credentials(session);
            return;
        case LOGIN_END:
            session->session.ended_itself = true;
            login_session_end(session, "ended by the client");
            return;
        }
    }
}

/* While the client does not take our replies it is not heard. */
static void login_client_listen(struct login_session *session)
{
    if (session->state.current == LOGIN_STATE_TALKING)
        transport_watch(&session->client,
                        transport_has_pending(&session->client) ? 0 : TRANSPORT_READABLE);
}

static void login_client_readable(struct login_session *session)
{
    while (session->state.current == LOGIN_STATE_TALKING &&
           !transport_has_pending(&session->client)) {
        ssize_t count = intake_read(&session->login->client_intake, &session->client);

        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0) {
            login_session_end(session, count == TRANSPORT_END ? "client closed"
                                                              : transport_error(&session->client));
            return;
        }
        login_client_pump(session);
    }
}

/* A node's clients are frontends: it takes whatever they replay. */
static struct sasl_options login_client_sasl(const struct login_session *session)
{
    const struct session *head = &session->session;
    const struct config *config = head->service->config;
    const unsigned replayed =
        SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_XOAUTH2) | SASL_BIT(SASL_OAUTHBEARER);

    return (struct sasl_options){
        .mechanisms = head->service->peers_are_trusted ? replayed : head->listener->mechanisms,
        .external_identity = config->master.user ? session->login->identity : NULL,
        .external_masters = config->master.identities.items,
        .external_master_count = config->master.identities.count,
    };
}

static void login_client_greet(struct login_session *session)
{
    const struct session *head = &session->session;
    const struct config *config = head->service->config;
    const struct login_server_options options = {
        .hostname = config->cluster.hostname,
        .tls_available = head->listener->tls == TLS_MODE_STARTTLS,
        .tls_active = session->is_secured,
        .plaintext_allowed = head->listener->plaintext_allowed,
        .peer_is_trusted = head->service->peers_are_trusted,
        .sasl = login_client_sasl(session),
        .offers = session_service_offers(head->service, head->listener->protocol),
    };
    struct buffer out = io_loop_out(head->service->loop);

    session->login->server_ops->init(&session->login->server, &options, &out);
    if (login_session_send(session, &session->client, &out))
        transport_watch(&session->client, TRANSPORT_READABLE);
}

/* Inside TLS nobody could read why. */
static void login_client_turn_away(struct login_session *session, const char *why)
{
    if (session->state.current == LOGIN_STATE_TALKING)
        login_session_goodbye(session, why, why);
    else
        login_session_end(session, why);
}

void login_client_begin(struct login_session *session)
{
    struct session *head = &session->session;
    bool is_implicit = head->listener->tls == TLS_MODE_IMPLICIT;
    const char *too_many = abuse_session_admit(head);

    deadline_set(&session->deadline, head->service->config->timeout.login_s * 1000ULL);
    if (session->state.current == LOGIN_STATE_PROXIED)
        state_move(&session->state, is_implicit ? LOGIN_STATE_SECURING : LOGIN_STATE_TALKING);
    if (!is_implicit)
        login_client_greet(session);
    if (too_many)
        login_client_turn_away(session, too_many);
    else if (is_implicit &&
             !transport_start_tls_server(&session->client, head->service->tls_server))
        login_session_end(session, "TLS cannot be started");
}

static void login_client_secured(struct login_session *session)
{
    const struct config *config = session->session.service->config;
    const char *why;

    state_move(&session->state, LOGIN_STATE_TALKING);
    session->is_secured = true;
    if (!tls_peer_identity(session->client.ssl, config->tls.client_identity,
                           session->login->identity, sizeof(session->login->identity)))
        session->login->identity[0] = '\0';
    why = session_why_not_served(&session->session, session->client.ssl);
    if (session->session.listener->tls != TLS_MODE_STARTTLS)
        login_client_greet(session);
    else
        session->login->server_ops->tls_started(&session->login->server);
    if (why && session->state.current == LOGIN_STATE_TALKING)
        login_session_goodbye(session, why, "it has no frontend's certificate");
    else if (session->session.listener->tls == TLS_MODE_STARTTLS)
        login_client_pump(session); /* ManageSieve tells its capabilities unasked */
}

static void login_client_ready(struct transport *transport, unsigned readiness)
{
    struct login_session *session = CONTAINER_OF(transport, struct login_session, client);
    unsigned state = session->state.current;

    if (state == LOGIN_STATE_RELAYING) {
        login_relay_ready(session, transport, readiness);
        return;
    }
    if (state == LOGIN_STATE_PROXIED && readiness & TRANSPORT_READABLE)
        login_client_read_proxy(session);
    else if (readiness & TRANSPORT_SECURED)
        login_client_secured(session);
    else if (state == LOGIN_STATE_SECURING && readiness & TRANSPORT_READABLE)
        login_session_end(session, transport_error(transport)); /* the handshake failed */
    if (session->state.current == LOGIN_STATE_TALKING)
        login_client_readable(session);
    login_client_listen(session);
}

static void login_client_closed(struct transport *transport)
{
    login_session_handle_closed(CONTAINER_OF(transport, struct login_session, client));
}

const struct transport_events login_client_events = {
    .ready = login_client_ready,
    .closed = login_client_closed,
};
