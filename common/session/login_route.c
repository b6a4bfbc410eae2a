/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a login to the account's owner: resolved, held while the owner cannot take it, and
 * resolved again.  It ends in login_backend_start or in a refusal.
 */
#include "common/session/login_state.h"

#include <stdio.h>

#include "common/session/login_timing.h"

/*
 * Nobody has judged the password: it is charged again when it goes on.  Who waits owes nothing, so
 * that a worker that dies leaves no failures behind that nobody made.
 */
static void login_route_take_charge_back(struct login_session *session)
{
    struct login *login = session->login;

    if (login->is_allowed)
        abuse_login_undecided(&session->session, login_route_name(login));
    login->is_allowed = false;
}

/* It waits so long and is resolved again; after the hold it is refused temporarily. */
static void login_route_wait(struct login_session *session, const char *why, uint64_t delay_ms)
{
    const struct session_service *service = session->session.service;
    uint64_t hold_ms = service->holds_logins ? service->config->timeout.login_hold_s * 1000ULL : 0;
    uint64_t age_ms = io_loop_now_ms(service->loop) - session->login->credentials_ms;

    state_move(&session->state, LOGIN_STATE_HELD);
    login_route_take_charge_back(session);
    if (age_ms >= hold_ms) {
        login_refusal_temporary(session, why);
        return;
    }
    if (!abuse_hold_admit(&session->session, login_route_name(session->login),
                          session->login->target.name)) {
        login_refusal_temporary(session, "too many logins wait for the backend");
        return;
    }
    deadline_set(&session->deadline, delay_ms);
}

void login_route_hold(struct login_session *session, const char *why)
{
    session->login->has_waited = true;
    login_route_wait(session, why, login_hold_after_ms());
}

/* A node knows of a move that we do not know yet, or we know of one that it does not. */
static void login_route_elsewhere(struct login_session *session)
{
    struct login *login = session->login;

    login->is_elsewhere = true;
    login_route_wait(session, "the node says that the account is another's",
                     login_elsewhere_after_ms(++login->elsewheres));
}

/* Many that waited for a backend do not come to it all at once. */
static bool login_route_may_begin(const struct login_session *session)
{
    const struct session *head = &session->session;
    const struct login *login = session->login;

    return backends_may_begin(&head->service->backends, login->target.backend,
                              head->listener->protocol, login->has_waited);
}

static void login_route_go(struct login_session *session)
{
    struct login *login = session->login;

    switch (login->target.kind) {
    case TARGET_GO:
        login->refusal[0] = login->challenge[0] = '\0';
        if (!login_master_prepare(session->session.service, login->kind == CREDENTIALS_EXTERNAL,
                                  login_server_credentials(&login->server.head),
                                  login->request.route.account, login->name)) {
            login->target.is_misconfigured = true;
            login->target.reason = "the account's name cannot be sent";
            login_refusal_temporary(session, login->target.reason);
            return;
        }
        if (login_route_may_begin(session))
            login_backend_start(session);
        else
            login_route_hold(session, "others are let in first");
        return;
    case TARGET_DOWN:
        login_route_hold(session, login->target.reason);
        return;
    case TARGET_UNKNOWN:
    case TARGET_FOREIGN:
    case TARGET_RELAY:
        login_refusal_delay(session);
        return;
    case TARGET_TEMPORARY:
        login_refusal_temporary(session, login->target.reason);
        return;
    }
}

const char *login_route_name(const struct login *login)
{
    const struct route *route = &login->request.route;

    return route->account[0] ? route->account : route->key;
}

/*
 * Once for these credentials, but again after each time that the login was held.  A certificate has
 * been verified already: there is no secret that could be guessed.
 */
static bool login_route_is_allowed(struct login_session *session)
{
    struct login *login = session->login;
    const struct credentials *credentials = login_server_credentials(&login->server.head);

    if (login->kind == CREDENTIALS_EXTERNAL)
        return true;
    if (!login->is_allowed)
        login->is_allowed = abuse_login_allowed(&session->session, login_route_name(login),
                                                credentials_secret(credentials));
    return login->is_allowed;
}

static void login_route_found(struct login_session *session)
{
    struct login *login = session->login;

    if (!login_route_is_allowed(session)) {
        login_refusal_block(session);
        return;
    }
    session_choose_target(&session->session, session->session.listener->protocol,
                          &login->request.route, &login->target);
    login->is_elsewhere = login->target.kind == TARGET_TEMPORARY && login->target.is_foreign;
    login_route_go(session);
}

void login_route_answered(struct resolver_request *request)
{
    login_route_found(CONTAINER_OF(request, struct login, request)->session);
}

void login_route_resolve(struct login_session *session)
{
    struct login *login = session->login;
    const struct credentials *credentials = login_server_credentials(&login->server.head);

    state_move(&session->state, LOGIN_STATE_RESOLVING);
    session_is_known(&session->session);
    session->session.has_asked = true;
    deadline_clear(&session->deadline); /* the resolver has its own */
    if (resolver_ask(session->session.service->resolver, &login->request, ROUTE_KEY_LOGIN,
                     login_master_account(session->session.service, credentials->authcid),
                     session->session.listener->default_domain))
        login_route_found(session);
}

/* What the backend refused is our own login, so it says nothing of the client's. */
static void login_route_master_refused(struct login_session *session, struct span text)
{
    struct login *login = session->login;

    LOG_EVENT(LOG_LEVEL_ERROR, session->session.id, "master_refused",
              LOG_TEXT("account", login_route_name(login)), LOG_TEXT("backend", login->target.name),
              LOG_SPAN("words", text));
    login_backend_abandon(session);
    login->refusal[0] = login->challenge[0] = '\0';
    login_refusal_temporary(session, "the backend refuses the master user");
}

void login_route_refused(struct login_session *session, struct span text, struct span challenge,
                         enum login_denial denial)
{
    struct login *login = session->login;

    if (login->kind == CREDENTIALS_EXTERNAL && denial == LOGIN_DENIED) {
        login_route_master_refused(session, text);
        return;
    }
    if (denial == LOGIN_DENIED_ELSEWHERE) { /* in words that are for us alone */
        login_backend_abandon(session);
        login_route_elsewhere(session);
        return;
    }
    login_copy_text(text, login->refusal);
    snprintf(login->challenge, sizeof(login->challenge), "%.*s", SPAN_PRINTF(challenge));
    login_backend_abandon(session);
    if (denial == LOGIN_DENIED_FOR_NOW) {
        login_route_hold(session, "refused temporarily by the backend");
        return;
    }
    login->was_refused = true;
    login_refusal_delay(session);
}

/* Nobody is logged in for a client that is gone.  One that said more may still listen. */
void login_route_try_again(struct login_session *session)
{
    if (session->login->client_intake.input.length == 0 &&
        transport_has_peer_left(&session->client))
        login_session_end(session, "client closed");
    else
        login_route_resolve(session);
}
