/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fails here fails temporarily: only a backend's or the LDAP server's clear no is a refusal.
 */
#include "common/session/verifier.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/state.h"
#include "common/io/deadline.h"
#include "common/io/keepalive.h"
#include "common/session/login_attempt.h"
#include "common/session/login_timing.h"

enum verifier_state {
    VERIFIER_RESOLVING,
    VERIFIER_HELD, /* the owner cannot be asked now; will resolve again */
    VERIFIER_CONNECTING,
    VERIFIER_AUTHENTICATING,
    VERIFIER_BINDING,
    VERIFIER_DELAYED, /* a refusal that must not come at once */
    VERIFIER_ENDING
};

static const struct state_row verifier_states[] = {
    [VERIFIER_RESOLVING] = { "resolving",
                             STATE_BIT(VERIFIER_HELD) | STATE_BIT(VERIFIER_CONNECTING) |
                                 STATE_BIT(VERIFIER_BINDING) | STATE_BIT(VERIFIER_DELAYED) |
                                 STATE_BIT(VERIFIER_ENDING) },
    [VERIFIER_HELD] = { "held", STATE_BIT(VERIFIER_RESOLVING) | STATE_BIT(VERIFIER_ENDING) },
    [VERIFIER_CONNECTING] = { "connecting", STATE_BIT(VERIFIER_AUTHENTICATING) |
                                                STATE_BIT(VERIFIER_HELD) |
                                                STATE_BIT(VERIFIER_ENDING) },
    [VERIFIER_AUTHENTICATING] = { "authenticating", STATE_BIT(VERIFIER_HELD) |
                                                        STATE_BIT(VERIFIER_DELAYED) |
                                                        STATE_BIT(VERIFIER_ENDING) },
    [VERIFIER_BINDING] = { "binding", STATE_BIT(VERIFIER_DELAYED) | STATE_BIT(VERIFIER_ENDING) },
    [VERIFIER_DELAYED] = { "delayed", STATE_BIT(VERIFIER_ENDING) },
    [VERIFIER_ENDING] = { "ending", 0 },
};

struct verifier {
    struct state state;
    struct session *session;
    struct io_loop *loop;
    const struct credentials *credentials;
    verifier_done *done;
    void *context;
    struct resolver_request request;
    struct resolver_bind bind;
    struct target target;
    struct forwarded forwarded;
    struct login_attempt attempt;
    struct transport transport;
    struct deadline deadline;
    struct keepalive_wait wait; /* AUTHENTICATING: of the deadline */
    uint64_t started_ms;
    bool is_open;    /* the transport */
    bool is_allowed; /* the password may be tried, and is charged */
    bool is_blocked;
    bool has_waited;     /* it was held */
    unsigned elsewheres; /* how often a node has said that the account is another's */
    bool was_refused;    /* by whoever knows the password, not because there is no such account */
    unsigned open_handles;
};

/* --- the end --------------------------------------------------------------------- */

static void verifier_handle_closed(struct verifier *verifier)
{
    if (--verifier->open_handles == 0)
        free(verifier);
}

static void verifier_deadline_closed(struct deadline *deadline)
{
    verifier_handle_closed(CONTAINER_OF(deadline, struct verifier, deadline));
}

static void verifier_transport_closed(struct transport *transport)
{
    struct verifier *verifier = CONTAINER_OF(transport, struct verifier, transport);

    verifier->is_open = false;
    verifier_handle_closed(verifier);
}

/* Lets go of the backend. */
static void verifier_abandon(struct verifier *verifier)
{
    login_attempt_end(&verifier->attempt);
    if (verifier->is_open)
        transport_close(&verifier->transport);
}

static void verifier_end(struct verifier *verifier)
{
    if (verifier->state.current == VERIFIER_ENDING)
        return;
    state_move(&verifier->state, VERIFIER_ENDING);
    abuse_hold_release(verifier->session);
    resolver_cancel(&verifier->request);
    resolver_cancel_bind(&verifier->bind);
    verifier_abandon(verifier);
    deadline_close(&verifier->deadline, verifier_deadline_closed);
}

static const char *verifier_name(const struct verifier *verifier)
{
    const struct route *route = &verifier->request.route;

    return route->account[0] ? route->account : route->key;
}

/* Nobody has judged the password. */
static void verifier_take_charge_back(struct verifier *verifier)
{
    if (verifier->is_allowed)
        abuse_login_undecided(verifier->session, verifier_name(verifier));
    verifier->is_allowed = false;
}

void verifier_cancel(struct verifier *verifier)
{
    unsigned state = verifier->state.current;

    if (state != VERIFIER_AUTHENTICATING && state != VERIFIER_BINDING) /* where it was seen */
        verifier_take_charge_back(verifier);
    verifier_end(verifier);
}

static void verifier_conclude(struct verifier *verifier, enum verdict verdict)
{
    verifier_done *done = verifier->done;
    void *context = verifier->context;
    char account[ROUTE_ADDRESS_SIZE];

    memcpy(account, verifier->request.route.account, sizeof(account));
    verifier_end(verifier);
    done(context, verdict, account);
}

/* --- verdicts ----------------------------------------------------------------------- */

static void verifier_refuse_temporarily(struct verifier *verifier, const char *why)
{
    const struct session *session = verifier->session;
    enum log_level level = session_alarm(session, &verifier->request.route, &verifier->target);

    LOG_EVENT(level, session->id, "login_temporary", LOG_TEXT("name", verifier->request.route.key),
              LOG_TEXT("backend", verifier->target.name), LOG_TEXT("why", why));
    board_count(session->service->slot, BOARD_LOGINS_TEMPORARY, 1);
    verifier_take_charge_back(verifier);
    verifier_conclude(verifier, VERDICT_TEMPORARY);
}

/* Wrong password, unknown account and what is not tried take the same time. */
static void verifier_wait(struct verifier *verifier)
{
    uint64_t age_ms = io_loop_now_ms(verifier->loop) - verifier->started_ms;
    unsigned more_ms = abuse_delay_ms(verifier->session, verifier_name(verifier));

    state_move(&verifier->state, VERIFIER_DELAYED);
    deadline_set(&verifier->deadline, login_refusal_after_ms(age_ms, more_ms));
}

static void verifier_refuse_later(struct verifier *verifier)
{
    abuse_login_failed(verifier->session, verifier_name(verifier),
                       credentials_secret(verifier->credentials));
    verifier->is_allowed = false;
    verifier_wait(verifier);
}

static void verifier_refuse(struct verifier *verifier)
{
    const struct session *session = verifier->session;
    bool is_bind = session->service->config->submission.verify == SUBMISSION_VERIFY_LDAP;
    const char *by = verifier->is_blocked     ? "block"
                     : !verifier->was_refused ? "directory"
                     : is_bind                ? "ldap"
                                              : verifier->target.name;

    LOG_EVENT(LOG_LEVEL_INFO, session->id, "login_refused",
              LOG_TEXT("account", verifier->request.route.account),
              LOG_TEXT("peer", session->peer_address), LOG_TEXT("by", by), LOG_TEXT("words", NULL));
    board_count(session->service->slot,
                verifier->is_blocked ? BOARD_LOGINS_TEMPORARY : BOARD_LOGINS_REFUSED, 1);
    verifier_conclude(verifier, verifier->is_blocked ? VERDICT_TEMPORARY : VERDICT_REFUSED);
}

static void verifier_accept(struct verifier *verifier)
{
    const char *too_many;

    abuse_login_succeeded(verifier->session, verifier_name(verifier),
                          credentials_secret(verifier->credentials));
    verifier->is_allowed = false;
    too_many = abuse_account_admit(verifier->session, verifier->request.route.account);
    if (too_many) {
        verifier_refuse_temporarily(verifier, too_many);
        return;
    }
    board_count(verifier->session->service->slot, BOARD_LOGINS, 1);
    verifier_conclude(verifier, VERDICT_ACCEPTED);
}

/* It waits so long and is resolved again; after the hold it is refused temporarily. */
static void verifier_wait_for(struct verifier *verifier, const char *why, uint64_t delay_ms)
{
    const struct session_service *service = verifier->session->service;
    uint64_t age_ms = io_loop_now_ms(verifier->loop) - verifier->started_ms;

    if (age_ms >= service->config->timeout.login_hold_s * 1000ULL) {
        verifier_refuse_temporarily(verifier, why);
        return;
    }
    if (!abuse_hold_admit(verifier->session, verifier_name(verifier), verifier->target.name)) {
        verifier_refuse_temporarily(verifier, "too many logins wait for the backend");
        return;
    }
    state_move(&verifier->state, VERIFIER_HELD);
    verifier_take_charge_back(verifier); /* and charged again when it goes on */
    deadline_set(&verifier->deadline, delay_ms);
}

static void verifier_hold(struct verifier *verifier, const char *why)
{
    verifier->has_waited = true;
    verifier_wait_for(verifier, why, login_hold_after_ms());
}

/* --- a login at the backend ------------------------------------------------------------ */

static struct verifier *verifier_of(struct login_attempt *attempt)
{
    return CONTAINER_OF(attempt, struct verifier, attempt);
}

static void verifier_ready(struct transport *transport, unsigned readiness)
{
    struct verifier *verifier = CONTAINER_OF(transport, struct verifier, transport);

    if (verifier->state.current == VERIFIER_AUTHENTICATING)
        login_attempt_ready(&verifier->attempt, readiness);
}

static const struct transport_events verifier_transport_events = {
    .ready = verifier_ready,
    .closed = verifier_transport_closed,
};

static bool verifier_client_has_tls(const struct verifier *verifier)
{
    struct session_view view = { .tls = "no" };

    if (verifier->session->view)
        verifier->session->view(verifier->session, &view);
    return strcmp(view.tls, "no") != 0;
}

static void verifier_connected(struct login_attempt *attempt, struct io_watch *watch)
{
    struct verifier *verifier = verifier_of(attempt);

    transport_init_connected(&verifier->transport, watch, &verifier_transport_events);
    verifier->is_open = true;
    verifier->open_handles++;
    state_move(&verifier->state, VERIFIER_AUTHENTICATING);
    deadline_set(
        &verifier->deadline,
        keepalive_wait_begin(&verifier->wait,
                             verifier->session->service->config->timeout.backend_s * 1000ULL));
    if (verifier->target.pass_client == PASS_CLIENT_PROXY)
        login_attempt_introduce(attempt, &verifier->forwarded, -1,
                                verifier_client_has_tls(verifier));
}

static void verifier_accepted(struct login_attempt *attempt, struct span text)
{
    struct verifier *verifier = verifier_of(attempt);
    bool is_sent = transport_send(&verifier->transport, SPAN_LITERAL("z LOGOUT\r\n"));

    (void)text;
    (void)is_sent; /* a courtesy: the connection is closed in any case */
    verifier_accept(verifier);
}

static void verifier_refused(struct login_attempt *attempt, struct span text, struct span challenge,
                             enum login_denial denial)
{
    struct verifier *verifier = verifier_of(attempt);

    (void)text;
    (void)challenge;
    verifier_abandon(verifier);
    if (denial == LOGIN_DENIED_ELSEWHERE) {
        verifier_wait_for(verifier, "the node says that the account is another's",
                          login_elsewhere_after_ms(++verifier->elsewheres));
        return;
    }
    if (denial == LOGIN_DENIED_FOR_NOW) {
        verifier_hold(verifier, "refused temporarily by the backend");
        return;
    }
    verifier->was_refused = true;
    verifier_refuse_later(verifier);
}

static void verifier_failed(struct login_attempt *attempt, const char *why)
{
    struct verifier *verifier = verifier_of(attempt);

    verifier_abandon(verifier);
    verifier_hold(verifier, why);
}

static const struct login_attempt_events verifier_attempt_events = {
    .connected = verifier_connected,
    .accepted = verifier_accepted,
    .refused = verifier_refused,
    .failed = verifier_failed,
};

static void verifier_connect(struct verifier *verifier)
{
    state_move(&verifier->state, VERIFIER_CONNECTING);
    deadline_clear(&verifier->deadline); /* the connector has its own */
    verifier->attempt = (struct login_attempt){
        .events = &verifier_attempt_events,
        .session = verifier->session,
        .ops = &imap_client_ops,
        .protocol = PROTOCOL_IMAP,
        .target = &verifier->target,
        .transport = &verifier->transport,
        .name = verifier->request.route.account,
        .credentials = verifier->credentials,
        .forwarded =
            verifier->target.pass_client == PASS_CLIENT_COMMAND ? &verifier->forwarded : NULL,
    };
    login_attempt_start(&verifier->attempt);
}

/* These logins and those of mail programs come to a backend that has returned up one ramp. */
static void verifier_log_in(struct verifier *verifier)
{
    if (backends_may_begin(&verifier->session->service->backends, verifier->target.backend,
                           PROTOCOL_IMAP, verifier->has_waited))
        verifier_connect(verifier);
    else
        verifier_hold(verifier, "others are let in first");
}

/* --- a bind at the LDAP server ------------------------------------------------------------ */

static void verifier_bound(struct resolver_bind *bind)
{
    struct verifier *verifier = CONTAINER_OF(bind, struct verifier, bind);

    switch (bind->answer) {
    case DIRECTORY_BIND_ACCEPTED:
        verifier_accept(verifier);
        return;
    case DIRECTORY_BIND_REFUSED:
        verifier->was_refused = true;
        verifier_refuse_later(verifier);
        return;
    default:
        verifier_refuse_temporarily(verifier, "the LDAP server could not be asked");
        return;
    }
}

static void verifier_bind(struct verifier *verifier)
{
    state_move(&verifier->state, VERIFIER_BINDING);
    deadline_clear(&verifier->deadline); /* the resolver has its own */
    if (!resolver_bind(verifier->session->service->resolver, &verifier->bind,
                       verifier->request.route.account, verifier->credentials->password))
        verifier_refuse_temporarily(verifier, "the directory process cannot be asked");
}

/* --- the way there -------------------------------------------------------------------------- */

static void verifier_go(struct verifier *verifier)
{
    switch (verifier->target.kind) {
    case TARGET_GO:
        if (credentials_are_sendable(verifier->credentials, verifier->request.route.account)) {
            verifier_log_in(verifier);
            return;
        }
        verifier->target.is_misconfigured = true;
        verifier_refuse_temporarily(verifier, "the account's name cannot be sent");
        return;
    case TARGET_DOWN:
        verifier_hold(verifier, verifier->target.reason);
        return;
    case TARGET_UNKNOWN:
    case TARGET_FOREIGN:
    case TARGET_RELAY:
        verifier_refuse_later(verifier);
        return;
    case TARGET_TEMPORARY:
        verifier_refuse_temporarily(verifier, verifier->target.reason);
        return;
    }
}

/* Once for these credentials, however often they are tried. */
static bool verifier_may_try(struct verifier *verifier)
{
    if (!verifier->is_allowed)
        verifier->is_allowed = abuse_login_allowed(verifier->session, verifier_name(verifier),
                                                   credentials_secret(verifier->credentials));
    return verifier->is_allowed;
}

static void verifier_resolved(struct verifier *verifier)
{
    const struct session_service *service = verifier->session->service;
    const struct route *route = &verifier->request.route;

    if (!verifier_may_try(verifier)) {
        verifier->is_blocked = true;
        verifier_wait(verifier);
        return;
    }
    session_choose_target(verifier->session, PROTOCOL_IMAP, route, &verifier->target);
    if (service->config->submission.verify == SUBMISSION_VERIFY_LDAP &&
        (verifier->target.kind == TARGET_GO || verifier->target.kind == TARGET_DOWN))
        verifier_bind(verifier);
    else
        verifier_go(verifier);
}

static void verifier_request_done(struct resolver_request *request)
{
    verifier_resolved(CONTAINER_OF(request, struct verifier, request));
}

void verifier_run(struct verifier *verifier)
{
    const struct session *session = verifier->session;

    deadline_clear(&verifier->deadline); /* the resolver has its own */
    if (resolver_ask(session->service->resolver, &verifier->request, ROUTE_KEY_LOGIN,
                     span_from_string(verifier->credentials->authcid),
                     session->listener->default_domain))
        verifier_resolved(verifier);
}

/* The backend gets more time, or has not answered. */
static void verifier_attempt_expired(struct verifier *verifier)
{
    uint64_t rest_ms = keepalive_wait_on(&verifier->wait, verifier->transport.fd);

    if (rest_ms > 0)
        deadline_set(&verifier->deadline, rest_ms);
    else
        login_attempt_expired(&verifier->attempt);
}

static void verifier_expired(struct deadline *deadline)
{
    struct verifier *verifier = CONTAINER_OF(deadline, struct verifier, deadline);

    switch ((enum verifier_state)verifier->state.current) {
    case VERIFIER_HELD:
        state_move(&verifier->state, VERIFIER_RESOLVING);
        verifier_run(verifier);
        return;
    case VERIFIER_AUTHENTICATING:
        verifier_attempt_expired(verifier);
        return;
    case VERIFIER_DELAYED:
        verifier_refuse(verifier);
        return;
    default:
        return;
    }
}

struct verifier *verifier_new(struct session *session, const struct credentials *credentials,
                              verifier_done *done, void *context)
{
    struct verifier *verifier = memory_new(sizeof(*verifier));

    verifier->session = session;
    verifier->loop = session->service->loop;
    verifier->credentials = credentials;
    verifier->done = done;
    verifier->context = context;
    verifier->started_ms = io_loop_now_ms(verifier->loop);
    login_attempt_forward(session, &verifier->forwarded);
    state_init(&verifier->state, verifier_states, VERIFIER_RESOLVING);
    resolver_request_init(&verifier->request, verifier_request_done);
    resolver_bind_init(&verifier->bind, verifier_bound);
    deadline_init(&verifier->deadline, verifier->loop, verifier_expired);
    verifier->open_handles = 1;
    return verifier;
}
