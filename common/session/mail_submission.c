/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nobody who has not logged in gets further than the machine's 530.  Whatever is in doubt, of a
 * login or of a sender, is refused temporarily.
 */
#include "common/session/mail_submission.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/session/login_timing.h"
#include "common/session/mail_session_private.h"
#include "common/session/proxied.h"
#include "common/session/verifier.h"

struct mail_submission {
    struct mail_session *session;
    struct smtp_server_auth *auth; /* until somebody has logged in */
    struct verifier *verifier;     /* while credentials are looked at */
    struct resolver_request sender;
    char account[ROUTE_ADDRESS_SIZE]; /* canonical; empty: nobody has logged in */
    uint64_t credentials_ms;          /* when they were complete */
    unsigned refusals;
    bool is_limited; /* and that was logged */
};

struct smtp_server_auth *mail_submission_auth(struct mail_submission *submission)
{
    return submission->auth;
}

static void mail_submission_forget_auth(struct mail_submission *submission)
{
    if (submission->auth)
        explicit_bzero(submission->auth, sizeof(*submission->auth));
    free(submission->auth);
    submission->auth = NULL;
}

/* --- the login ---------------------------------------------------------------------- */

static void mail_submission_log_login(const struct mail_submission *submission)
{
    const struct session *head = &submission->session->session;
    uint64_t age_ms = io_loop_now_ms(head->service->loop) - submission->credentials_ms;

    LOG_EVENT(LOG_LEVEL_INFO, head->id, "login",
              LOG_TEXT("protocol", protocol_name(head->listener->protocol)),
              LOG_TEXT("account", submission->account), LOG_TEXT("peer", head->peer_address),
              LOG_TEXT("mechanism", sasl_mechanism_name(submission->auth->exchange.mechanism)),
              LOG_TEXT("tls", proxied_tls_name(submission->session->client.ssl,
                                               submission->session->is_secured)),
              LOG_INTEGER("ms", age_ms));
}

static void mail_submission_answer(struct mail_submission *submission, int code,
                                   const char *enhanced, const char *text)
{
    struct mail_session *session = submission->session;
    const struct mail_reply reply = mail_reply_of(code, enhanced, text);
    struct buffer out = io_loop_out(session->session.service->loop);

    smtp_server_judged(&session->machine, &reply, &out);
    if (code == 235)
        mail_submission_forget_auth(submission);
    if (mail_session_send(session, &out))
        mail_session_resume(session);
}

static void mail_submission_judged(void *context, enum verdict verdict, const char *account)
{
    struct mail_submission *submission = context;

    submission->verifier = NULL;
    switch (verdict) {
    case VERDICT_ACCEPTED:
        snprintf(submission->account, sizeof(submission->account), "%s", account);
        session_act_for(&submission->session->session, account);
        mail_submission_log_login(submission);
        submission->session->intake.is_secret = false;
        mail_submission_answer(submission, 235, "2.7.0", "Authentication successful");
        return;
    case VERDICT_TEMPORARY:
        mail_submission_answer(submission, 454, "4.7.0", "Temporary authentication failure");
        return;
    case VERDICT_REFUSED:
        break;
    }
    if (++submission->refusals >= LOGIN_REFUSALS_MAX)
        mail_session_goodbye(submission->session, "Too many failed logins",
                             "too many failed logins");
    else
        mail_submission_answer(submission, 535, "5.7.8", "Authentication credentials invalid");
}

void mail_submission_verify(struct mail_submission *submission)
{
    struct session *head = &submission->session->session;

    submission->credentials_ms = io_loop_now_ms(head->service->loop);
    submission->verifier =
        verifier_new(head, &submission->auth->credentials, mail_submission_judged, submission);
    verifier_run(submission->verifier);
}

/* --- the sender ---------------------------------------------------------------------- */

static void mail_submission_refuse_sender(struct mail_submission *submission)
{
    const struct session *head = &submission->session->session;

    LOG_EVENT(LOG_LEVEL_INFO, head->id, "sender_refused", LOG_TEXT("account", submission->account),
              LOG_TEXT("from", submission->session->machine.reverse_path),
              LOG_TEXT("peer", head->peer_address));
    mail_session_reply(submission->session, 553, "5.7.1", "This is not an address of yours");
}

/* Whether the address that `route` was found for is one of the account's own, no catch-all. */
static bool mail_submission_owns(const struct mail_submission *submission,
                                 const struct route *route)
{
    return route->rule != ROUTE_RULE_CATCH_ALL && route->account[0] &&
           strcmp(route->account, submission->account) == 0;
}

static void mail_submission_sender_found(struct mail_submission *submission)
{
    const struct route *route = &submission->sender.route;

    switch (route->outcome) {
    case ROUTE_UNAVAILABLE:
        mail_session_reply(submission->session, 451, "4.3.0", "Sender cannot be checked now");
        return;
    case ROUTE_MISCONFIGURED:
        if (!route->account[0]) { /* several entries have it */
            mail_session_reply(submission->session, 451, "4.3.0", "Sender cannot be checked now");
            return;
        }
        break;
    default:
        break;
    }
    if (mail_submission_owns(submission, route))
        mail_session_begin_transaction(submission->session);
    else
        mail_submission_refuse_sender(submission);
}

static void mail_submission_sender_done(struct resolver_request *request)
{
    mail_submission_sender_found(CONTAINER_OF(request, struct mail_submission, sender));
}

void mail_submission_mail(struct mail_submission *submission)
{
    struct mail_session *session = submission->session;
    struct span reverse_path = span_from_string(session->machine.reverse_path);

    if (reverse_path.length == 0)
        mail_session_begin_transaction(session);
    else if (resolver_ask(session->session.service->resolver, &submission->sender,
                          ROUTE_KEY_ADDRESS, reverse_path, NULL))
        mail_submission_sender_found(submission);
}

/* --- the allowance ------------------------------------------------------------------- */

static struct meter *mail_submission_meter(const struct mail_submission *submission)
{
    struct board *board = submission->session->session.service->backends.board;

    return board ? &board->recipients : NULL;
}

static unsigned mail_submission_per_hour(const struct mail_submission *submission)
{
    return submission->session->session.service->config->submission.recipients_per_hour;
}

bool mail_submission_charge(struct mail_submission *submission)
{
    const struct session *head = &submission->session->session;
    struct meter *meter = mail_submission_meter(submission);
    unsigned per_hour = mail_submission_per_hour(submission);

    if (!meter || per_hour == 0 ||
        meter_charge(meter, span_from_string(submission->account), per_hour,
                     clock_monotonic_ms() * 1000))
        return true;
    board_count(head->service->slot, BOARD_RECIPIENTS_LIMITED, 1);
    if (!submission->is_limited)
        LOG_EVENT(LOG_LEVEL_WARNING, head->id, "recipients_limited",
                  LOG_TEXT("account", submission->account), LOG_TEXT("peer", head->peer_address),
                  LOG_INTEGER("per_hour", per_hour));
    submission->is_limited = true;
    return false;
}

void mail_submission_refund(struct mail_submission *submission)
{
    struct meter *meter = mail_submission_meter(submission);
    unsigned per_hour = mail_submission_per_hour(submission);

    if (meter && per_hour > 0)
        meter_refund(meter, span_from_string(submission->account), per_hour);
}

/* --- life ------------------------------------------------------------------------------- */

struct mail_submission *mail_submission_new(struct mail_session *session)
{
    struct mail_submission *submission = memory_new(sizeof(*submission));
    const struct session *head = &session->session;
    unsigned mechanisms = head->listener->mechanisms;

    /* A token is only the backend's to judge. */
    if (head->service->config->submission.verify == SUBMISSION_VERIFY_LDAP)
        mechanisms &= SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN);
    submission->session = session;
    submission->auth = memory_new(sizeof(*submission->auth));
    submission->auth->sasl.mechanisms = mechanisms;
    submission->auth->plaintext_allowed = head->listener->plaintext_allowed;
    resolver_request_init(&submission->sender, mail_submission_sender_done);
    return submission;
}

void mail_submission_free(struct mail_submission *submission)
{
    if (!submission)
        return;
    if (submission->verifier)
        verifier_cancel(submission->verifier);
    resolver_cancel(&submission->sender);
    mail_submission_forget_auth(submission);
    free(submission);
}
