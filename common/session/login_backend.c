/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owner's side of a login: connect, TLS, replay, answer.  Its ends are
 * accepted, refused (by the store, with its words) and unreachable (nothing is
 * known about the credentials; the session may hold and try again).
 */
#include "common/session/login_state.h"

#include <assert.h>

#include "common/base/log.h"

static void login_backend_closed(struct transport *transport)
{
    struct login_session *session = CONTAINER_OF(transport, struct login_session, backend);

    session->backend_is_open = false;
    login_session_handle_closed(session);
}

static void login_backend_fini_machine(struct login *login)
{
    if (login->client_machine_is_live)
        login->client_ops->fini(&login->client);
    login->client_machine_is_live = false;
}

void login_backend_abandon(struct login_session *session)
{
    struct login *login = session->login;

    if (login->connector)
        connector_cancel(login->connector);
    login->connector = NULL;
    login_backend_fini_machine(login);
    intake_fini(&login->backend_intake);
    if (session->backend_is_open)
        transport_close(&session->backend);
}

static void login_backend_fail(struct login_session *session, const char *why)
{
    const struct target *target = &session->login->target;

    LOG_EVENT(LOG_LEVEL_WARNING, session->session.id, "backend_failed",
              LOG_TEXT("backend", target->name), LOG_TEXT("why", why));
    login_backend_abandon(session);
    login_route_hold(session, why);
}

static bool login_backend_start_tls(struct login_session *session)
{
    const struct target *target = &session->login->target;

    intake_settle(&session->login->backend_intake);
    if (session->login->backend_intake.input.length > 0 ||
        !transport_start_tls_client(&session->backend, target->tls_context,
                                    target_tls_name(target))) {
        login_backend_fail(session, "plaintext behind STARTTLS");
        return false;
    }
    return true;
}

static void login_backend_conclude(struct login_session *session, enum login_client_event event)
{
    struct login *login = session->login;
    struct span text = login->client_ops->text(&login->client);
    const struct session_service *service = session->session.service;

    if (event == LOGIN_CLIENT_FAILED) {
        login_backend_fail(session, "broke the protocol");
        return;
    }
    backends_report(&service->backends, login->target.backend, session->session.listener->protocol,
                    true, session->session.id);
    if (event == LOGIN_CLIENT_ACCEPTED)
        login_relay_accepted(session, text);
    else
        login_route_refused(session, text, login->client_ops->is_temporary(&login->client));
}

/* Runs the machine over what has come.  False when the owner's side has ended. */
static bool login_backend_pump(struct login_session *session)
{
    struct login *login = session->login;

    for (;;) {
        struct buffer out = io_loop_out(session->session.service->loop);
        enum login_client_event event =
            login->client_ops->next(&login->client, &login->backend_intake.input, &out);

        bool is_sent = out.length == 0 || transport_send(&session->backend, buffer_span(&out));

        explicit_bzero(out.data, out.length); /* it may have been the password */
        if (!is_sent) {
            login_backend_fail(session, transport_error(&session->backend));
            return false;
        }
        if (event == LOGIN_CLIENT_FLUSH)
            continue;
        if (event == LOGIN_CLIENT_NEED_INPUT) {
            intake_settle(&login->backend_intake);
            return true;
        }
        if (event == LOGIN_CLIENT_STARTTLS)
            return login_backend_start_tls(session);
        login_backend_conclude(session, event);
        return false;
    }
}

static void login_backend_readable(struct login_session *session)
{
    ssize_t count;

    do {
        count = intake_read(&session->login->backend_intake, &session->backend);
        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0) {
            login_backend_fail(session, count == TRANSPORT_END
                                            ? "closed the connection"
                                            : transport_error(&session->backend));
            return;
        }
    } while (login_backend_pump(session));
}

static void login_backend_ready(struct transport *transport, unsigned readiness)
{
    struct login_session *session = CONTAINER_OF(transport, struct login_session, backend);

    if (session->state.current == LOGIN_STATE_RELAYING) {
        login_relay_ready(session, transport, readiness);
        return;
    }
    if (session->state.current != LOGIN_STATE_AUTHENTICATING)
        return;
    if (readiness & TRANSPORT_SECURED) {
        if (session->login->target.tls == TLS_MODE_STARTTLS)
            session->login->client_ops->tls_started(&session->login->client);
        if (!login_backend_pump(session))
            return;
    }
    if (readiness & TRANSPORT_READABLE)
        login_backend_readable(session);
}

static const struct transport_events login_backend_events = {
    .ready = login_backend_ready,
    .closed = login_backend_closed,
};

static void login_backend_greet(struct login_session *session)
{
    struct login *login = session->login;
    const struct login_client_options options = {
        .starttls = login->target.tls == TLS_MODE_STARTTLS,
        .name = login->request.route.account,
        .credentials = login->server_ops->credentials(&login->server),
        .forwarded = &login->forwarded,
    };

    login->client_ops->init(&login->client, &options);
    login->client_machine_is_live = true;
    intake_init(&login->backend_intake, false);
    transport_watch(&session->backend, TRANSPORT_READABLE);
    if (login->target.tls == TLS_MODE_IMPLICIT && !login_backend_start_tls(session))
        return;
}

static void login_backend_connected(struct connector *connector, struct io_watch *watch,
                                    const char *error)
{
    struct login_session *session = connector_context(connector);
    const struct session_service *service = session->session.service;
    struct login *login = session->login;

    login->connector = NULL;
    if (!watch) {
        backends_report(&service->backends, login->target.backend,
                        session->session.listener->protocol, false, session->session.id);
        login_backend_fail(session, error);
        return;
    }
    assert(!session->backend_is_open); /* its last event came at the end of an earlier turn */
    transport_init_connected(&session->backend, watch, &login_backend_events);
    session->backend_is_open = true;
    session->open_handles++;
    state_move(&session->state, LOGIN_STATE_AUTHENTICATING);
    deadline_set(&session->deadline, service->config->timeout.backend_s * 1000ULL);
    login_backend_greet(session);
}

void login_backend_start(struct login_session *session)
{
    const struct session_service *service = session->session.service;
    unsigned timeout_ms = service->config->timeout.connect_s * 1000;

    state_move(&session->state, LOGIN_STATE_CONNECTING);
    deadline_clear(&session->deadline); /* the connector has its own */
    session->login->connector = connector_start(service->loop, session->login->target.endpoints,
                                                session->login->target.endpoint_count, timeout_ms,
                                                login_backend_connected, session);
}
