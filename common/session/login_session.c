/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of a login, and the life of the session.
 *
 * Whatever goes wrong here ends at most this session.  A wrong password and
 * an unknown account get the same words after the same time; everything that is
 * our own doubt gets a temporary refusal.
 */
#include "common/session/login_session.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/io/keepalive.h"
#include "common/session/login_state.h"

enum {
    /* More than stores take to say that a password is wrong: Dovecot 2 to 2.5 seconds. */
    LOGIN_REFUSAL_DELAY_MS = 3000,
    LOGIN_REFUSALS_MAX = 3,
    LOGIN_HOLD_TICK_MS = 250,
    LOGIN_QUIET_MS = 1000, /* without a byte: what ends then was not asked for */
    LOGIN_TTL = 5          /* proxies that a login may pass */
};

static const struct state_row login_states[] = {
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
    [LOGIN_STATE_RELAYING] = { "relaying", STATE_BIT(LOGIN_STATE_ENDING) },
    [LOGIN_STATE_ENDING] = { "ending", 0 },
};

static void login_session_pump(struct login_session *session);

/* --- the end ------------------------------------------------------------------ */

static void login_session_forget_login(struct login_session *session)
{
    struct login *login = session->login;

    if (!login)
        return;
    resolver_cancel(&login->request);
    login->server_ops->fini(&login->server);
    intake_fini(&login->client_intake);
    intake_fini(&login->backend_intake);
    explicit_bzero(login, sizeof(*login));
    free(login);
    session->login = NULL;
}

static void login_session_log_end(const struct login_session *session)
{
    const struct session *head = &session->session;

    LOG_EVENT(LOG_LEVEL_INFO, head->id, "end",
              LOG_TEXT("protocol", protocol_name(head->listener->protocol)),
              LOG_TEXT("reason", session->end_reason), LOG_TEXT("account", head->account),
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

void login_session_end(struct login_session *session, const char *reason)
{
    if (session->state.current == LOGIN_STATE_ENDING)
        return;
    state_move(&session->state, LOGIN_STATE_ENDING);
    session->end_reason = reason;
    session_log_out(&session->session);
    login_session_log_end(session);
    if (session->login)
        login_backend_abandon(session);
    else if (session->backend_is_open)
        transport_close(&session->backend);
    login_session_forget_login(session);
    transport_close(&session->client);
    deadline_close(&session->deadline, login_deadline_closed);
}

static void login_session_goodbye(struct login_session *session, const char *text,
                                  const char *reason)
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

    if (session->login && state != LOGIN_STATE_SECURING && state != LOGIN_STATE_ENDING)
        login_session_goodbye(session, "server is going down", reason);
    else
        login_session_end(session, reason);
}

bool login_session_send(struct login_session *session, struct transport *transport,
                        struct buffer *out)
{
    if (out->length == 0 || transport_send(transport, buffer_span(out)))
        return true;
    login_session_end(session, transport_error(transport));
    return false;
}

/* --- refusals ----------------------------------------------------------------- */

static void login_session_refuse_now(struct login_session *session,
                                     enum login_refusal_reason reason, struct span text,
                                     enum board_counter counter)
{
    struct login *login = session->login;
    struct session_service *service = session->session.service;
    const struct login_refusal refusal = { reason, text };
    struct buffer out = io_loop_out(service->loop);

    board_count(service->slot, counter, 1);
    state_move(&session->state, LOGIN_STATE_TALKING);
    login->server_ops->refuse(&login->server, &refusal, &out);
    if (!login_session_send(session, &session->client, &out))
        return;
    if (++login->refusals >= LOGIN_REFUSALS_MAX) {
        login_session_goodbye(session, "too many failed logins", "too many failed logins");
        return;
    }
    deadline_set(&session->deadline, service->config->timeout.login_s * 1000ULL);
    transport_watch(&session->client, TRANSPORT_READABLE);
    login_session_pump(session);
}

static void login_session_refuse_temporarily(struct login_session *session, const char *why)
{
    const struct login *login = session->login;
    enum log_level level = session_alarm(&session->session, &login->request.route, &login->target);

    LOG_EVENT(level, session->session.id, "login_temporary",
              LOG_TEXT("name", login->request.route.key), LOG_TEXT("backend", login->target.name),
              LOG_TEXT("why", why));
    if (login->refusal[0])
        login_session_refuse_now(session, LOGIN_REFUSED_BY_BACKEND,
                                 span_from_string(login->refusal), BOARD_LOGINS_TEMPORARY);
    else
        login_session_refuse_now(session, LOGIN_REFUSED_TEMPORARY, SPAN_EMPTY,
                                 BOARD_LOGINS_TEMPORARY);
}

/*
 * Wrong password and unknown account take the same time.  At the node it is the frontend, its
 * only client, that sees to it: a second delay behind the first would tell them apart.
 */
static void login_session_refuse_later(struct login_session *session)
{
    const struct session_service *service = session->session.service;
    struct login *login = session->login;
    uint64_t age_ms = io_loop_now_ms(service->loop) - login->credentials_ms;
    uint64_t delay_ms = service->peers_are_trusted ? 0 : LOGIN_REFUSAL_DELAY_MS;

    credentials_wipe(login->server_ops->credentials(&login->server));
    state_move(&session->state, LOGIN_STATE_DELAYED);
    deadline_set(&session->deadline, age_ms < delay_ms ? delay_ms - age_ms : 1);
}

static void login_session_refuse_delayed(struct login_session *session)
{
    const char *words = session->login->refusal;
    bool is_plain = words[0] == '\0' || words[0] != '[' ||
                    strncmp(words, "[AUTH", 5) == 0; /* [AUTH], [AUTHENTICATIONFAILED] */

    LOG_EVENT(
        LOG_LEVEL_INFO, session->session.id, "login_refused",
        LOG_TEXT("account", session->login->request.route.account),
        LOG_TEXT("peer", session->session.peer_address),
        LOG_TEXT("by", session->login->was_refused ? session->login->target.name : "directory"),
        LOG_TEXT("words", words[0] ? words : NULL));
    if (is_plain)
        login_session_refuse_now(session, LOGIN_REFUSED_CREDENTIALS, SPAN_EMPTY,
                                 BOARD_LOGINS_REFUSED);
    else
        login_session_refuse_now(session, LOGIN_REFUSED_BY_BACKEND, span_from_string(words),
                                 BOARD_LOGINS_REFUSED);
}

/* --- the way to the owner ------------------------------------------------------ */

static void login_session_hold(struct login_session *session, const char *why)
{
    const struct session_service *service = session->session.service;
    uint64_t hold_ms = service->holds_logins ? service->config->timeout.login_hold_s * 1000ULL : 0;
    uint64_t age_ms = io_loop_now_ms(service->loop) - session->login->credentials_ms;

    state_move(&session->state, LOGIN_STATE_HELD);
    if (age_ms >= hold_ms) {
        login_session_refuse_temporarily(session, why);
        return;
    }
    deadline_set(&session->deadline, LOGIN_HOLD_TICK_MS + random_below(LOGIN_HOLD_TICK_MS));
}

static void login_session_go(struct login_session *session)
{
    struct login *login = session->login;

    switch (login->target.kind) {
    case TARGET_GO:
        login->refusal[0] = '\0';
        if (!credentials_name_is_sendable(login->request.route.account)) {
            login->target.is_misconfigured = true;
            login->target.reason = "the account's name cannot be sent";
            login_session_refuse_temporarily(session, login->target.reason);
            return;
        }
        login_backend_start(session);
        return;
    case TARGET_DOWN:
        login_session_hold(session, login->target.reason);
        return;
    case TARGET_UNKNOWN:
    case TARGET_FOREIGN:
    case TARGET_RELAY:
        login_session_refuse_later(session);
        return;
    case TARGET_TEMPORARY:
        login_session_refuse_temporarily(session, login->target.reason);
        return;
    }
}

static void login_session_resolved(struct login_session *session)
{
    const struct session_service *service = session->session.service;
    struct login *login = session->login;

    service->choose(service, session->session.listener->protocol, &login->request.route,
                    &login->target);
    login_session_go(session);
}

static void login_request_done(struct resolver_request *request)
{
    login_session_resolved(CONTAINER_OF(request, struct login, request)->session);
}

static void login_session_resolve(struct login_session *session)
{
    struct login *login = session->login;
    const struct credentials *credentials = login->server_ops->credentials(&login->server);

    state_move(&session->state, LOGIN_STATE_RESOLVING);
    deadline_clear(&session->deadline); /* the resolver has its own */
    if (resolver_ask(session->session.service->resolver, &login->request, ROUTE_KEY_LOGIN,
                     span_from_string(credentials->authcid),
                     session->session.listener->default_domain))
        login_session_resolved(session);
}

void login_session_unreachable(struct login_session *session, const char *why)
{
    login_session_hold(session, why);
}

void login_session_refused(struct login_session *session, struct span text, bool is_temporary)
{
    struct login *login = session->login;

    snprintf(login->refusal, sizeof(login->refusal), "%.*s", SPAN_PRINTF(text));
    login_backend_abandon(session);
    if (is_temporary) {
        login_session_hold(session, "refused temporarily by the backend");
        return;
    }
    login->was_refused = true;
    login_session_refuse_later(session);
}

/* --- the relay ------------------------------------------------------------------ */

/*
 * Whether the backend ended a session that had not asked for it: it has moved, or was silent, as
 * one is whose backend node knows of the move a moment before us, or whose backend died.
 */
static bool login_session_is_abandoned(const struct login_session *session, enum relay_end end)
{
    const struct session *head = &session->session;
    uint64_t quiet_ms = io_loop_now_ms(head->service->loop) - session->relay.last_activity_ms;

    return (end == RELAY_END_BACKEND || end == RELAY_END_BACKEND_ERROR) &&
           !head->service->peers_are_trusted &&
           (quiet_ms >= LOGIN_QUIET_MS || departures_has(head) || departures_has_moved(head));
}

/* All clients of a backend that is gone should not come back at once: they wait for their turn. */
static void login_relay_ended(struct relay *relay, enum relay_end end)
{
    struct login_session *session = CONTAINER_OF(relay, struct login_session, relay);
    struct departures *departures = &session->session.service->departures;

    if (!login_session_is_abandoned(session, end)) {
        login_session_end(session, relay_end_text(end));
        return;
    }
    transport_watch(&session->backend, 0);
    transport_watch(&session->client, TRANSPORT_READABLE);
    departures_add_abandoned(departures, &session->session,
                             departures_has_moved(&session->session) ? "the account moved"
                                                                     : relay_end_text(end));
}

static void login_session_log_login(const struct login_session *session)
{
    const struct session *head = &session->session;
    const struct login *login = session->login;

    LOG_EVENT(LOG_LEVEL_INFO, head->id, "login",
              LOG_TEXT("protocol", protocol_name(head->listener->protocol)),
              LOG_TEXT("account", head->account), LOG_TEXT("peer", head->peer_address),
              LOG_TEXT("client", login->forwarded.address), LOG_TEXT("backend", login->target.name),
              LOG_TEXT("rule", route_rule_name(login->request.route.rule)),
              LOG_TEXT("key", login->request.route.key),
              LOG_TEXT("tls", session->is_secured ? SSL_get_version(session->client.ssl) : "no"),
              LOG_INTEGER("ms", io_loop_now_ms(head->service->loop) - login->credentials_ms));
}

/* Whether the account has got another owner, or none, since the login was resolved. */
static bool login_session_has_moved(const struct login_session *session)
{
    const struct route *chosen = &session->login->request.route;
    struct route route;

    resolver_look_up(session->session.service->resolver, ROUTE_KEY_LOGIN, chosen->key, &route);
    return route.outcome == ROUTE_UNKNOWN ||
           (route.outcome == ROUTE_FOUND && strcmp(route.host, chosen->host) != 0);
}

void login_session_accepted(struct login_session *session, struct span text)
{
    struct session_service *service = session->session.service;
    struct login *login = session->login;
    struct buffer out = io_loop_out(service->loop);

    if (login_session_has_moved(session)) {
        login_backend_abandon(session);
        login_session_hold(session, "the account moved");
        return;
    }
    session_log_in(&session->session, &login->request.route, login->target.name);
    login_session_log_login(session);
    board_count(service->slot, BOARD_LOGINS, 1);
    login->server_ops->accept(&login->server, text, &out);
    login->client_ops->fini(&login->client);
    login->client_machine_is_live = false;
    if (!login_session_send(session, &session->client, &out))
        return;
    state_move(&session->state, LOGIN_STATE_RELAYING);
    deadline_set(&session->deadline, service->config->timeout.idle_s * 1000ULL);
    if (service->config->timeout.keepalive_s > 0)
        keepalive_set(session->backend.fd, service->config->timeout.keepalive_s);
    relay_start(&session->relay, &session->client, &session->backend, login->client_intake.input,
                login->backend_intake.input, login_relay_ended);
    login_session_forget_login(session);
}

void login_relay_ready(struct login_session *session, struct transport *transport,
                       unsigned readiness)
{
    const struct session_service *service = session->session.service;
    bool was_done = session->relay.is_client_done;

    if (transport == &session->client && (readiness & TRANSPORT_READABLE) &&
        departures_has(&session->session)) {
        departures_hurry(&session->session.service->departures, &session->session);
        if (session->relay.has_ended)
            transport_watch(transport, 0);
    }
    relay_ready(&session->relay, transport, readiness);
    if (session->state.current == LOGIN_STATE_RELAYING && session->relay.is_client_done != was_done)
        deadline_set(&session->deadline, service->config->timeout.backend_s * 1000ULL);
}

/* --- the client ------------------------------------------------------------------ */

static void login_session_credentials(struct login_session *session)
{
    struct login *login = session->login;
    const struct session *head = &session->session;
    const struct forwarded *claimed = login->server_ops->forwarded(&login->server);

    login->credentials_ms = io_loop_now_ms(head->service->loop);
    login->was_refused = false;
    login->refusal[0] = '\0';
    transport_watch(&session->client, 0);
    if (head->service->peers_are_trusted && claimed->address[0]) {
        login->forwarded = *claimed;
        login->forwarded.ttl = claimed->ttl > 0 ? claimed->ttl - 1 : 0;
    } else {
        login->forwarded = (struct forwarded){ .port = head->peer_port, .ttl = LOGIN_TTL };
        snprintf(login->forwarded.address, sizeof(login->forwarded.address), "%s",
                 head->peer_address);
    }
    if (!login->forwarded.session_id[0])
        snprintf(login->forwarded.session_id, sizeof(login->forwarded.session_id), "%s", head->id);
    login_session_resolve(session);
}

static void login_session_start_tls(struct login_session *session)
{
    struct login *login = session->login;

    intake_settle(&login->client_intake);
    state_move(&session->state, LOGIN_STATE_SECURING);
    if (login->client_intake.input.length > 0 ||
        !transport_start_tls_server(&session->client, session->session.service->tls_server))
        login_session_end(session, "plaintext behind STARTTLS");
}

/* Runs the machine over what has come, until it needs more or asks something. */
static void login_session_pump(struct login_session *session)
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
            login_session_start_tls(session);
            return;
        case LOGIN_CREDENTIALS:
            intake_settle(&login->client_intake);
            login_session_credentials(session);
            return;
        case LOGIN_END:
            login_session_end(session, "ended by the client");
            return;
        }
    }
}

/* While the client does not take our replies it is not heard. */
static void login_session_listen(struct login_session *session)
{
    if (session->state.current == LOGIN_STATE_TALKING)
        transport_watch(&session->client,
                        transport_has_pending(&session->client) ? 0 : TRANSPORT_READABLE);
}

static void login_session_readable(struct login_session *session)
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
        login_session_pump(session);
    }
}

static void login_session_greet(struct login_session *session)
{
    const struct session *head = &session->session;
    const struct config *config = head->service->config;
    const struct login_server_options options = {
        .hostname = config->cluster.hostname,
        .tls_available = head->listener->tls == TLS_MODE_STARTTLS,
        .tls_active = session->is_secured,
        .plaintext_allowed = head->listener->plaintext_allowed,
        .peer_is_trusted = head->service->peers_are_trusted,
    };
    struct buffer out = io_loop_out(head->service->loop);

    session->login->server_ops->init(&session->login->server, &options, &out);
    if (login_session_send(session, &session->client, &out))
        transport_watch(&session->client, TRANSPORT_READABLE);
}

static void login_session_secured(struct login_session *session)
{
    state_move(&session->state, LOGIN_STATE_TALKING);
    session->is_secured = true;
    if (session->session.listener->tls == TLS_MODE_STARTTLS)
        session->login->server_ops->tls_started(&session->login->server);
    else
        login_session_greet(session);
}

static void login_client_ready(struct transport *transport, unsigned readiness)
{
    struct login_session *session = CONTAINER_OF(transport, struct login_session, client);
    unsigned state = session->state.current;

    if (state == LOGIN_STATE_RELAYING) {
        login_relay_ready(session, transport, readiness);
        return;
    }
    if (readiness & TRANSPORT_SECURED)
        login_session_secured(session);
    else if (state == LOGIN_STATE_SECURING && readiness & TRANSPORT_READABLE)
        login_session_end(session, transport_error(transport)); /* the handshake failed */
    if (session->state.current == LOGIN_STATE_TALKING)
        login_session_readable(session);
    login_session_listen(session);
}

static void login_client_closed(struct transport *transport)
{
    login_session_handle_closed(CONTAINER_OF(transport, struct login_session, client));
}

static const struct transport_events login_client_events = {
    .ready = login_client_ready,
    .closed = login_client_closed,
};

/* --- deadlines ------------------------------------------------------------------- */

static void login_relay_idle(struct login_session *session)
{
    const struct session_service *service = session->session.service;
    const struct timeout_config *timeout = &service->config->timeout;
    bool is_done = session->relay.is_client_done;
    uint64_t limit_ms = (is_done ? timeout->backend_s : timeout->idle_s) * 1000ULL;
    uint64_t quiet_ms = io_loop_now_ms(service->loop) - session->relay.last_activity_ms;

    if (quiet_ms >= limit_ms)
        login_session_end(session, is_done ? "client closed, and the backend did not" : "idle");
    else
        deadline_set(&session->deadline, limit_ms - quiet_ms);
}

/* Nobody is logged in for a client that is gone.  One that said more may still listen. */
static void login_session_try_again(struct login_session *session)
{
    if (session->login->client_intake.input.length == 0 &&
        transport_has_peer_left(&session->client))
        login_session_end(session, "client closed");
    else
        login_session_resolve(session);
}

static void login_deadline_expired(struct deadline *deadline)
{
    struct login_session *session = CONTAINER_OF(deadline, struct login_session, deadline);

    switch ((enum login_state)session->state.current) {
    case LOGIN_STATE_SECURING:
        login_session_end(session, "TLS handshake timed out");
        return;
    case LOGIN_STATE_TALKING:
        login_session_goodbye(session, "no login in time", "no login in time");
        return;
    case LOGIN_STATE_HELD:
        login_session_try_again(session);
        return;
    case LOGIN_STATE_AUTHENTICATING:
        backends_report(&session->session.service->backends, session->login->target.backend,
                        session->session.listener->protocol, false, session->session.id);
        login_backend_abandon(session);
        login_session_unreachable(session, "no answer in time");
        return;
    case LOGIN_STATE_DELAYED:
        login_session_refuse_delayed(session);
        return;
    case LOGIN_STATE_RELAYING:
        login_relay_idle(session);
        return;
    case LOGIN_STATE_RESOLVING:
    case LOGIN_STATE_CONNECTING:
    case LOGIN_STATE_ENDING:
        return;
    }
}

/* --- the start -------------------------------------------------------------------- */

static struct login *login_new(struct login_session *session, enum protocol protocol)
{
    struct login *login = memory_new(sizeof(*login));

    login->session = session;
    login->server_ops = protocol == PROTOCOL_IMAP ? &imap_server_ops : &pop3_server_ops;
    login->client_ops = protocol == PROTOCOL_IMAP ? &imap_client_ops : &pop3_client_ops;
    intake_init(&login->client_intake, true);
    intake_init(&login->backend_intake, false);
    resolver_request_init(&login->request, login_request_done);
    return login;
}

void login_session_start(struct session_service *service, const struct listener_config *listener,
                         int fd, const struct sockaddr_storage *peer)
{
    struct login_session *session = memory_new(sizeof(*session));
    bool is_implicit = listener->tls == TLS_MODE_IMPLICIT;

    session_start(&session->session, service, listener, peer, login_session_asked_to_end);
    session->login = login_new(session, listener->protocol);
    session->open_handles = 2;
    state_init(&session->state, login_states,
               is_implicit ? LOGIN_STATE_SECURING : LOGIN_STATE_TALKING);
    transport_init(&session->client, service->loop, fd, &login_client_events);
    deadline_init(&session->deadline, service->loop, login_deadline_expired);
    deadline_set(&session->deadline, service->config->timeout.login_s * 1000ULL);
    if (!is_implicit)
        login_session_greet(session);
    else if (!transport_start_tls_server(&session->client, service->tls_server))
        login_session_end(session, "TLS cannot be started");
}
