/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owner's side of a login session: the attempt to log in there, and the connection, which
 * the relay keeps.
 */
#include "common/session/login_state.h"

#include <assert.h>

#include "common/session/storage_use.h"

static void login_backend_closed(struct transport *transport)
{
    struct login_session *session = CONTAINER_OF(transport, struct login_session, backend);

    session->backend_is_open = false;
    login_session_handle_closed(session);
}

static void login_backend_ready(struct transport *transport, unsigned readiness)
{
    struct login_session *session = CONTAINER_OF(transport, struct login_session, backend);

    if (session->state.current == LOGIN_STATE_RELAYING)
        login_relay_ready(session, transport, readiness);
    else if (session->state.current == LOGIN_STATE_PARTING)
        login_relay_parting_ready(session);
    else if (session->state.current == LOGIN_STATE_AUTHENTICATING)
        login_attempt_ready(&session->login->attempt, readiness);
}

static const struct transport_events login_backend_transport_events = {
    .ready = login_backend_ready,
    .closed = login_backend_closed,
};

void login_backend_abandon(struct login_session *session)
{
    login_attempt_end(&session->login->attempt);
    if (session->backend_is_open)
        transport_close(&session->backend);
    session_leave_storages(&session->session);
}

/* --- the attempt's events ----------------------------------------------------------- */

static struct login_session *login_backend_session(struct login_attempt *attempt)
{
    return CONTAINER_OF(attempt, struct login, attempt)->session;
}

static void login_backend_connected(struct login_attempt *attempt, struct io_watch *watch)
{
    struct login_session *session = login_backend_session(attempt);
    const struct config *config = session->session.service->config;

    assert(!session->backend_is_open); /* its last event came at the end of an earlier turn */
    transport_init_connected(&session->backend, watch, &login_backend_transport_events);
    session->backend_is_open = true;
    session->open_handles++;
    state_move(&session->state, LOGIN_STATE_AUTHENTICATING);
    deadline_set(&session->deadline,
                 keepalive_wait_begin(&session->login->wait, config->timeout.backend_s * 1000ULL));
    if (session->login->target.pass_client == PASS_CLIENT_PROXY)
        login_attempt_introduce(attempt, &session->login->forwarded, session->client.fd,
                                session->is_secured);
}

void login_backend_expired(struct login_session *session)
{
    uint64_t rest_ms = keepalive_wait_on(&session->login->wait, session->backend.fd);

    if (rest_ms > 0)
        deadline_set(&session->deadline, rest_ms);
    else
        login_attempt_expired(&session->login->attempt);
}

static void login_backend_accepted(struct login_attempt *attempt, struct span text)
{
    login_relay_accepted(login_backend_session(attempt), text);
}

static void login_backend_refused(struct login_attempt *attempt, struct span text,
                                  struct span challenge, enum login_denial denial)
{
    login_route_refused(login_backend_session(attempt), text, challenge, denial);
}

static void login_backend_failed(struct login_attempt *attempt, const char *why)
{
    struct login_session *session = login_backend_session(attempt);

    login_backend_abandon(session);
    login_route_hold(session, why);
}

static const struct login_attempt_events login_backend_events = {
    .connected = login_backend_connected,
    .accepted = login_backend_accepted,
    .refused = login_backend_refused,
    .failed = login_backend_failed,
};

void login_backend_start(struct login_session *session)
{
    struct login *login = session->login;

    state_move(&session->state, LOGIN_STATE_CONNECTING);
    deadline_clear(&session->deadline); /* the connector has its own */
    if (login->target.is_foreign)
        login->forwarded.ttl = FORWARDED_TTL_LAST;
    login->attempt = (struct login_attempt){
        .events = &login_backend_events,
        .session = &session->session,
        .ops = login->client_ops,
        .protocol = session->session.listener->protocol,
        .target = &login->target,
        .transport = &session->backend,
        .name = login->name,
        .credentials = login_server_credentials(&login->server.head),
        .forwarded = login->target.pass_client == PASS_CLIENT_COMMAND ? &login->forwarded : NULL,
    };
    login_attempt_start(&login->attempt);
}
