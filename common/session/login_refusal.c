/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a login is refused.  A wrong password and an unknown account get the same words after the
 * same time; everything that is our own doubt gets a temporary refusal.
 */
#include "common/session/login_state.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/session/login_timing.h"

/*
 * How a refused token is told: as a backend last did it, so that a wrong token and an unknown
 * account cannot be told apart.
 */
static struct span login_refusal_challenge_for(const struct login *login,
                                               enum login_refusal_reason reason)
{
    char *usual = login->session->session.service->token_challenges[login->kind];

    if (reason != LOGIN_REFUSED_CREDENTIALS)
        return span_from_string(login->challenge);
    if (login->challenge[0])
        snprintf(usual, SASL_CHALLENGE_SIZE, "%s", login->challenge);
    return span_from_string(usual);
}

static void login_refusal_send(struct login_session *session, enum login_refusal_reason reason,
                               struct span text, enum board_counter counter)
{
    struct login *login = session->login;
    struct session_service *service = session->session.service;
    const struct login_refusal refusal = { reason, text,
                                           login_refusal_challenge_for(login, reason) };
    struct buffer out = io_loop_out(service->loop);

    abuse_hold_release(&session->session);
    board_count(service->slot, counter, 1);
    state_move(&session->state, LOGIN_STATE_TALKING);
    session_is_stranger(&session->session);
    login->server_ops->refuse(&login->server, &refusal, &out);
    if (!login_session_send(session, &session->client, &out))
        return;
    if (++login->refusals >= LOGIN_REFUSALS_MAX) {
        login_session_goodbye(session, "too many failed logins", "too many failed logins");
        return;
    }
    deadline_set(&session->deadline, service->config->timeout.login_s * 1000ULL);
    transport_watch(&session->client, TRANSPORT_READABLE);
    login_client_pump(session);
}

void login_refusal_temporary(struct login_session *session, const char *why)
{
    const struct login *login = session->login;
    enum log_level level = session_alarm(&session->session, &login->request.route, &login->target);

    abuse_login_undecided(&session->session, login_route_name(login));
    LOG_EVENT(level, session->session.id, "login_temporary",
              LOG_TEXT("name", login->request.route.key), LOG_TEXT("backend", login->target.name),
              LOG_TEXT("why", why));
    if (login->is_elsewhere && session->session.service->peers_are_trusted)
        login_refusal_send(session, LOGIN_REFUSED_ELSEWHERE, SPAN_EMPTY, BOARD_LOGINS_TEMPORARY);
    else if (login->refusal[0])
        login_refusal_send(session, LOGIN_REFUSED_BY_BACKEND, span_from_string(login->refusal),
                           BOARD_LOGINS_TEMPORARY);
    else
        login_refusal_send(session, LOGIN_REFUSED_TEMPORARY, SPAN_EMPTY, BOARD_LOGINS_TEMPORARY);
}

/*
 * Wrong password, unknown account and what is not tried take the same time.  At the node it is the
 * frontend, its only client, that sees to it: a second delay behind the first would tell them
 * apart.
 */
static void login_refusal_wait(struct login_session *session)
{
    const struct session_service *service = session->session.service;
    struct login *login = session->login;
    uint64_t age_ms = io_loop_now_ms(service->loop) - login->credentials_ms;
    uint64_t more_ms = abuse_delay_ms(&session->session, login_route_name(login));

    credentials_wipe(login_server_credentials(&login->server.head));
    state_move(&session->state, LOGIN_STATE_DELAYED);
    deadline_set(&session->deadline,
                 service->peers_are_trusted ? 1 : login_refusal_after_ms(age_ms, more_ms));
}

void login_refusal_delay(struct login_session *session)
{
    struct login *login = session->login;
    const struct credentials *credentials = login_server_credentials(&login->server.head);

    abuse_login_failed(&session->session, login_route_name(login), credentials_secret(credentials));
    login_refusal_wait(session);
}

void login_refusal_block(struct login_session *session)
{
    session->login->is_blocked = true;
    login_refusal_wait(session);
}

/* Whether the backend's words are no more than ours for wrong credentials. */
static bool login_refusal_is_plain(const char *words)
{
    /* [AUTH], [AUTHENTICATIONFAILED] */
    return words[0] == '\0' || words[0] != '[' || strncmp(words, "[AUTH", 5) == 0;
}

void login_refusal_due(struct login_session *session)
{
    const struct login *login = session->login;
    const char *words = login->refusal;
    const char *by = login->is_blocked    ? "block"
                     : login->was_refused ? login->target.name
                                          : "directory";

    LOG_EVENT(LOG_LEVEL_INFO, session->session.id, "login_refused",
              LOG_TEXT("account", login_route_name(login)),
              LOG_TEXT("peer", session->session.peer_address), LOG_TEXT("by", by),
              LOG_TEXT("words", words[0] ? words : NULL));
    if (login->is_blocked)
        login_refusal_send(session, LOGIN_REFUSED_TEMPORARY, SPAN_EMPTY, BOARD_LOGINS_TEMPORARY);
    else if (login_refusal_is_plain(words))
        login_refusal_send(session, LOGIN_REFUSED_CREDENTIALS, SPAN_EMPTY, BOARD_LOGINS_REFUSED);
    else
        login_refusal_send(session, LOGIN_REFUSED_BY_BACKEND, span_from_string(words),
                           BOARD_LOGINS_REFUSED);
}
