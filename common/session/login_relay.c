/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session that is logged in: all that only the login needed is freed, and bytes go both ways
 * until a side ends.  Who its backend leaves without being asked waits for his turn (departures.h).
 */
#include "common/session/login_state.h"

#include "common/base/log.h"
#include "common/io/keepalive.h"
#include "common/session/storage_use.h"

enum { LOGIN_QUIET_MS = 1000 /* without a byte: what ends then was not asked for */ };

static uint64_t login_relay_quiet_ms(const struct login_session *session)
{
    return io_loop_now_ms(session->session.service->loop) - session->relay.last_activity_ms;
}

bool login_relay_is_busy(const struct login_session *session)
{
    return !session->relay.has_ended && login_relay_quiet_ms(session) < LOGIN_QUIET_MS;
}

/*
 * Whether the backend ended a session that had not asked for it: it has moved, or was silent, as
 * one is whose backend node knows of the move a moment before us, or whose backend died.
 */
static bool login_relay_is_abandoned(const struct login_session *session, enum relay_end end)
{
    const struct session *head = &session->session;
    uint64_t quiet_ms = login_relay_quiet_ms(session);

    return (end == RELAY_END_BACKEND || end == RELAY_END_BACKEND_ERROR) &&
           !head->service->peers_are_trusted &&
           (quiet_ms >= LOGIN_QUIET_MS || departures_has(head) || departures_has_moved(head));
}

/* A store may still be at work for a client that is gone: until it closes it uses its storage. */
static void login_relay_end(struct login_session *session, const char *reason)
{
    session_part(&session->session, reason);
    if (session->state.current == LOGIN_STATE_PARTING)
        login_relay_parting_ready(session); /* its end may have been read already */
}

/* All clients of a backend that is gone should not come back at once: they wait for their turn. */
static void login_relay_ended(struct relay *relay, enum relay_end end)
{
    struct login_session *session = CONTAINER_OF(relay, struct login_session, relay);
    struct departures *departures = &session->session.service->departures;

    if (!login_relay_is_abandoned(session, end)) {
        login_relay_end(session, relay_end_text(end));
        return;
    }
    transport_watch(&session->backend, 0);
    transport_watch(&session->client, TRANSPORT_READABLE);
    departures_add_abandoned(departures, &session->session,
                             departures_has_moved(&session->session) ? "the account moved"
                                                                     : relay_end_text(end));
}

static const char *login_relay_kind(const struct login *login)
{
    static const char *const names[] = { [CREDENTIALS_PASSWORD] = "password",
                                         [CREDENTIALS_XOAUTH2] = "xoauth2",
                                         [CREDENTIALS_OAUTHBEARER] = "oauthbearer",
                                         [CREDENTIALS_EXTERNAL] = "external" };

    return names[login->kind];
}

/* Who it is, where he goes and why there: the rule, the key that it found, as of which revision. */
static void login_relay_log(const struct login_session *session)
{
    const struct session *head = &session->session;
    const struct login *login = session->login;

    LOG_EVENT(LOG_LEVEL_INFO, head->id, "login",
              LOG_TEXT("protocol", protocol_name(head->listener->protocol)),
              LOG_TEXT("account", head->account), LOG_TEXT("peer", head->peer_address),
              LOG_TEXT("client", login->forwarded.address), LOG_TEXT("backend", login->target.name),
              LOG_TEXT("rule", route_rule_name(login->request.route.rule)),
              LOG_TEXT("key", login->request.route.key),
              LOG_INTEGER("revision", login->request.revision),
              LOG_TEXT("by", login_relay_kind(login)), LOG_TEXT("tls", login_session_tls(session)),
              LOG_TEXT("session", login->forwarded.session_id),
              LOG_INTEGER("ms", io_loop_now_ms(head->service->loop) - login->credentials_ms));
}

/* Whether the account has got another owner, or none, since the login was resolved. */
static bool login_relay_has_moved(const struct login_session *session)
{
    const struct route *chosen = &session->login->request.route;
    struct route route;

    if (!resolver_is_behind(session->session.service->resolver, session->login->request.revision))
        return false;
    resolver_look_up(session->session.service->resolver, ROUTE_KEY_LOGIN, chosen->key, &route);
    return route.outcome == ROUTE_UNKNOWN ||
           (route.outcome == ROUTE_FOUND && strcmp(route.host, chosen->host) != 0);
}

/*
 * The first time that the deadline of a relaying session comes, half of timeouts.keepalive_s: the
 * backend is asked whether it is there from then on.  The kernel counts what silence there was, so
 * that this is no later than asked for, and a short session saves the system calls.
 */
static uint64_t login_relay_first_ms(const struct login_session *session)
{
    const struct timeout_config *timeout = &session->session.service->config->timeout;
    uint64_t idle_ms = timeout->idle_s * 1000ULL, half_ms = timeout->keepalive_s * 500ULL;

    return half_ms > 0 && half_ms < idle_ms ? half_ms : idle_ms;
}

static void login_relay_keep_alive(struct login_session *session)
{
    unsigned keepalive_s = session->session.service->config->timeout.keepalive_s;

    if (session->is_kept_alive || keepalive_s == 0)
        return;
    session->is_kept_alive = true;
    keepalive_set(session->backend.fd, keepalive_s);
}

/* What the attempt, a long one, asked of the kernel is more than a session needs. */
static void login_relay_ask_less(struct login_session *session)
{
    if (!session->login->wait.is_asking)
        return;
    session->is_kept_alive = true;
    keepalive_set(session->backend.fd, session->session.service->config->timeout.keepalive_s);
}

/* The password was right; false when the account has too many sessions, and it is refused. */
static bool login_relay_admit(struct login_session *session)
{
    struct login *login = session->login;
    const struct credentials *credentials = login_server_credentials(&login->server.head);
    const char *account = login->request.route.account;
    const char *too_many;

    abuse_login_succeeded(&session->session, account, credentials_secret(credentials));
    too_many = abuse_account_admit(&session->session, account);
    if (!too_many)
        return true;
    login_backend_abandon(session);
    login_refusal_temporary(session, too_many);
    return false;
}

void login_relay_accepted(struct login_session *session, struct span text)
{
    struct session_service *service = session->session.service;
    struct login *login = session->login;
    struct buffer out = io_loop_out(service->loop);

    if (login_relay_has_moved(session)) {
        login_backend_abandon(session);
        login_route_hold(session, "the account moved");
        return;
    }
    if (!login_relay_admit(session))
        return;
    abuse_hold_release(&session->session);
    session_log_in(&session->session, &login->request.route, login->target.name);
    session->session.revision = login->request.revision;
    login_relay_log(session);
    board_count(service->slot, BOARD_LOGINS, 1);
    login->server_ops->accept(&login->server, text, &out);
    if (!login_session_send(session, &session->client, &out))
        return;
    state_move(&session->state, LOGIN_STATE_RELAYING);
    login_relay_ask_less(session);
    deadline_set(&session->deadline, login_relay_first_ms(session));
    relay_start(&session->relay, &session->client, &session->backend, login->client_intake.input,
                login->attempt.intake.input, login_relay_ended);
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

void login_relay_part(struct login_session *session, const char *reason)
{
    state_move(&session->state, LOGIN_STATE_PARTING);
    session->end_reason = reason;
    session->relay.has_ended = true;
    session_log_out(&session->session);
    deadline_clear(&session->deadline);
    transport_close(&session->client);
    transport_shutdown(&session->backend);
    transport_watch(&session->backend, TRANSPORT_READABLE);
}

void login_relay_parting_ready(struct login_session *session)
{
    struct io_loop *loop = session->session.service->loop;
    ssize_t count;

    do
        count = transport_read(&session->backend, loop->scratch, IO_SCRATCH_SIZE);
    while (count > 0);
    if (count != TRANSPORT_AGAIN)
        login_session_end(session, session->end_reason);
}

void login_relay_idle(struct login_session *session)
{
    const struct session_service *service = session->session.service;
    const struct timeout_config *timeout = &service->config->timeout;
    bool is_done = session->relay.is_client_done;
    uint64_t limit_ms = (is_done ? timeout->backend_s : timeout->idle_s) * 1000ULL;
    uint64_t quiet_ms = io_loop_now_ms(service->loop) - session->relay.last_activity_ms;

    login_relay_keep_alive(session);
    if (quiet_ms >= limit_ms)
        login_relay_end(session, is_done ? "client closed, and the backend did not" : "idle");
    else
        deadline_set(&session->deadline, limit_ms - quiet_ms);
}
