/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a login session: its start, its states, its deadlines and its end.  Whatever goes
 * wrong here ends at most this session.
 */
#include "common/session/login_session.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/session/login_state.h"
#include "common/session/storage_use.h"

static const struct state_row login_states[] = {
    [LOGIN_STATE_PROXIED] = { "proxied", STATE_BIT(LOGIN_STATE_SECURING) |
                                             STATE_BIT(LOGIN_STATE_TALKING) |
                                             STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_SECURING] = { "securing",
                               STATE_BIT(LOGIN_STATE_TALKING) | STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_TALKING] = { "talking", STATE_BIT(LOGIN_STATE_SECURING) |
                                             STATE_BIT(LOGIN_STATE_RESOLVING) |
                                             STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_RESOLVING] = { "resolving", STATE_BIT(LOGIN_STATE_HELD) |
                                                 STATE_BIT(LOGIN_STATE_CONNECTING) |
                                                 STATE_BIT(LOGIN_STATE_DELAYED) |
                                                 STATE_BIT(LOGIN_STATE_TALKING) |
                                                 STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_HELD] = { "held", STATE_BIT(LOGIN_STATE_RESOLVING) |
                                       STATE_BIT(LOGIN_STATE_TALKING) |
                                       STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_CONNECTING] = { "connecting", STATE_BIT(LOGIN_STATE_AUTHENTICATING) |
                                                   STATE_BIT(LOGIN_STATE_HELD) |
                                                   STATE_BIT(LOGIN_STATE_TALKING) |
                                                   STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_AUTHENTICATING] = { "authenticating", STATE_BIT(LOGIN_STATE_RELAYING) |
                                                           STATE_BIT(LOGIN_STATE_HELD) |
                                                           STATE_BIT(LOGIN_STATE_DELAYED) |
                                                           STATE_BIT(LOGIN_STATE_TALKING) |
                                                           STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_DELAYED] = { "delayed",
                              STATE_BIT(LOGIN_STATE_TALKING) | STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_RELAYING] = { "relaying",
                               STATE_BIT(LOGIN_STATE_PARTING) | STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_PARTING] = { "parting", STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_ENDING] = { "ending", 0 },
};

/* --- the end ------------------------------------------------------------------ */

void login_session_forget_login(struct login_session *session)
{
    struct login *login = session->login;

    if (!login)
        return;
    resolver_cancel(&login->request);
    login_server_fini(&login->server.head);
    bytes_release(&login->proxy_header);
    intake_fini(&login->client_intake);
    login_attempt_end(&login->attempt);
    explicit_bzero(login, sizeof(*login));
    free(login);
    session->login = NULL;
}

static void login_session_log_end(const struct login_session *session)
{
    const struct session *head = &session->session;

    LOG_EVENT(session_end_level(head), head->id, "end",
              LOG_TEXT("protocol", protocol_name(head->listener->protocol)),
              LOG_TEXT("reason", session->end_reason), LOG_TEXT("account", head->account),
              LOG_TEXT("peer", head->peer_address),
              LOG_TEXT("backend", head->account ? head->backend : NULL),
              LOG_INTEGER("in", session->relay.bytes_in),
              LOG_INTEGER("out", session->relay.bytes_out),
              LOG_INTEGER("ms", io_loop_now_ms(head->service->loop) - head->started_ms));
}

void login_session_handle_closed(struct login_session *session)
{
    if (--session->open_handles > 0)
        return;
    session_finish(&session->session);
    free(session);
}

static void login_deadline_closed(struct deadline *deadline)
{
    login_session_handle_closed(CONTAINER_OF(deadline, struct login_session, deadline));
}

/* A password that nobody has seen is no failure. */
static void login_session_discharge(struct login_session *session)
{
    unsigned state = session->state.current;

    if (session->login && (state == LOGIN_STATE_RESOLVING || state == LOGIN_STATE_HELD ||
                           state == LOGIN_STATE_CONNECTING))
        abuse_login_undecided(&session->session, login_route_name(session->login));
}

void login_session_end(struct login_session *session, const char *reason)
{
    if (session->state.current == LOGIN_STATE_ENDING)
        return;
    login_session_discharge(session);
    state_move(&session->state, LOGIN_STATE_ENDING);
    session->end_reason = reason;
    session_log_out(&session->session);
    login_session_log_end(session);
    if (session->login)
        login_backend_abandon(session);
    else if (session->backend_is_open)
        transport_close(&session->backend);
    session_leave_storages(&session->session);
    login_session_forget_login(session);
    transport_close(&session->client);
    deadline_close(&session->deadline, login_deadline_closed);
}

void login_session_goodbye(struct login_session *session, const char *text, const char *reason)
{
    struct buffer out = io_loop_out(session->session.service->loop);

    session->login->server_ops->goodbye(&session->login->server, text, &out);
    if (login_session_send(session, &session->client, &out))
        login_session_end(session, reason);
}

/* The service asks it to go (struct session). */
static void login_session_asked_to_end(struct session *head, const char *reason)
{
    struct login_session *session = CONTAINER_OF(head, struct login_session, session);
    unsigned state = session->state.current;

    bool is_greeted = state != LOGIN_STATE_PROXIED && state != LOGIN_STATE_SECURING;

    if (session->login && is_greeted && state != LOGIN_STATE_ENDING)
        login_session_goodbye(session, reason, reason);
    else
        login_session_end(session, reason);
}

/* What the owner was told by a client it may still do: the session ends when that is over. */
static void login_session_asked_to_part(struct session *head, const char *reason)
{
    struct login_session *session = CONTAINER_OF(head, struct login_session, session);

    if (session->state.current == LOGIN_STATE_RELAYING)
        login_relay_part(session, reason);
    else if (session->state.current != LOGIN_STATE_PARTING)
        login_session_asked_to_end(head, reason);
}

const char *login_session_tls(const struct login_session *session)
{
    return proxied_tls_name(session->client.ssl, session->is_secured);
}

static void login_session_view(const struct session *head, struct session_view *view)
{
    const struct login_session *session = CONTAINER_OF(head, struct login_session, session);
    unsigned state = session->state.current;

    view->tls = login_session_tls(session);
    view->bytes_in = state == LOGIN_STATE_RELAYING ? session->relay.bytes_in : 0;
    view->is_busy =
        state == LOGIN_STATE_RELAYING ? login_relay_is_busy(session) : state != LOGIN_STATE_TALKING;
}

bool login_session_send(struct login_session *session, struct transport *transport,
                        struct buffer *out)
{
    if (out->length == 0 || transport_send(transport, buffer_span(out)))
        return true;
    login_session_end(session, transport_error(transport));
    return false;
}

/* --- deadlines ------------------------------------------------------------------- */

static void login_deadline_expired(struct deadline *deadline)
{
    struct login_session *session = CONTAINER_OF(deadline, struct login_session, deadline);

    switch ((enum login_state)session->state.current) {
    case LOGIN_STATE_PROXIED:
        login_session_end(session, "no PROXY header in time");
        return;
    case LOGIN_STATE_SECURING:
        login_session_end(session, "TLS handshake timed out");
        return;
    case LOGIN_STATE_TALKING:
        login_session_goodbye(session, "no login in time", "no login in time");
        return;
    case LOGIN_STATE_HELD:
        login_route_try_again(session);
        return;
    case LOGIN_STATE_AUTHENTICATING:
        login_backend_expired(session);
        return;
    case LOGIN_STATE_DELAYED:
        login_refusal_due(session);
        return;
    case LOGIN_STATE_RELAYING:
        login_relay_idle(session);
        return;
    case LOGIN_STATE_RESOLVING:
    case LOGIN_STATE_CONNECTING:
    case LOGIN_STATE_PARTING:
    case LOGIN_STATE_ENDING:
        return;
    }
}

/* --- the start -------------------------------------------------------------------- */

static struct login *login_new(struct login_session *session, enum protocol protocol)
{
    struct login *login = memory_new(sizeof(*login));

    login->session = session;
    login->server_ops = protocol == PROTOCOL_IMAP    ? &imap_server_ops
                        : protocol == PROTOCOL_SIEVE ? &sieve_server_ops
                                                     : &pop3_server_ops;
    login->client_ops = protocol == PROTOCOL_IMAP    ? &imap_client_ops
                        : protocol == PROTOCOL_SIEVE ? &sieve_client_ops
                                                     : &pop3_client_ops;
    intake_init(&login->client_intake, true);
    login->proxy_header = bytes_empty(PROXY_HEADER_MAX);
    resolver_request_init(&login->request, login_route_answered);
    return login;
}

void login_session_start(struct session_service *service, const struct listener_config *listener,
                         int fd, const struct sockaddr_storage *peer)
{
    struct login_session *session = memory_new(sizeof(*session));
    bool is_proxied = peer_is_in(&listener->proxy_protocol_from, peer);
    bool is_implicit = listener->tls == TLS_MODE_IMPLICIT;

    session_start(&session->session, service, listener, peer, login_session_asked_to_end);
    session_is_stranger(&session->session);
    session->session.part = login_session_asked_to_part;
    session->session.view = login_session_view;
    session->login = login_new(session, listener->protocol);
    session->open_handles = 2;
    state_init(&session->state, login_states,
               is_proxied    ? LOGIN_STATE_PROXIED
               : is_implicit ? LOGIN_STATE_SECURING
                             : LOGIN_STATE_TALKING);
    transport_init(&session->client, service->loop, fd, &login_client_events);
    deadline_init(&session->deadline, service->loop, login_deadline_expired);
    if (!is_proxied) {
        login_client_begin(session);
        return;
    }
    deadline_set(&session->deadline, service->config->timeout.connect_s * 1000ULL);
    transport_watch(&session->client, TRANSPORT_READABLE);
}
