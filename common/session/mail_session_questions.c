/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine of a mail session asks, and what its transaction answers. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/session/login_attempt.h"
#include "common/session/mail_session_private.h"

/* For the answer to a message when everything else has had its own time. */
enum { MAIL_ANSWER_GRACE_S = 60 };

static void mail_session_trace(struct mail_session *session)
{
    const struct session *head = &session->session;
    const struct mail_transaction *transaction = session->transaction;
    bool is_hidden = session->submission && head->service->config->submission.hides_client;
    char memory[TRACE_FIELD_MAX];
    struct buffer field = buffer_over(memory, sizeof(memory));
    char date[CLOCK_RFC5322_SIZE];
    const struct trace_hop hop = {
        .helo = is_hidden ? NULL : session->machine.helo,
        .name = is_hidden ? NULL : session->machine.xclient.name,
        .address = is_hidden ? NULL : head->peer_address,
        .hostname = head->service->config->cluster.hostname,
        .session_id = head->id,
        .recipient = transaction->recipient_count == 1 ? transaction->recipients[0].path : NULL,
        .date = date,
        .flavor = head->listener->protocol == PROTOCOL_LMTP ? MAIL_LMTP : MAIL_SMTP,
        .is_extended = session->machine.is_extended,
        .is_encrypted = session->is_secured,
        .is_authenticated = session->machine.is_authenticated,
        .is_utf8 = transaction->parameters.is_utf8,
    };

    clock_format_rfc5322(clock_wall_ms(), date);
    trace_write_received(&hop, &field);
    mail_transaction_trace(session->transaction, buffer_span(&field));
}

/* --- answers ------------------------------------------------------------------------- */

static struct mail_session *mail_session_of(const struct mail_transaction *transaction)
{
    return CONTAINER_OF(transaction->session, struct mail_session, session);
}

static void mail_session_decided(struct mail_transaction *transaction,
                                 const struct mail_reply *reply)
{
    struct mail_session *session = mail_session_of(transaction);

    if (mail_session_answer(session, reply))
        mail_session_resume(session);
}

/* Who is refused again and again guesses: each answer costs it time, and then it has to go. */
static void mail_session_rcpt_decided(struct mail_transaction *transaction,
                                      const struct mail_reply *reply)
{
    struct mail_session *session = mail_session_of(transaction);
    const struct session_service *service = session->session.service;
    unsigned limit = service->config->smtp.refused_recipients_max;
    bool guesses = mail_reply_is_permanent(reply) && !service->peers_are_trusted &&
                   ++session->refused_recipients > limit;

    if (session->submission && !mail_reply_is_positive(reply))
        mail_submission_refund(session->submission);
    if (guesses && session->refused_recipients >= 2 * limit)
        mail_session_goodbye(session, "Too many recipients that are refused",
                             "too many refused recipients");
    else if (guesses && service->config->smtp.tarpit_s > 0)
        mail_session_slow(session, reply);
    else
        mail_session_decided(transaction, reply);
}

static void mail_session_data_decided(struct mail_transaction *transaction,
                                      const struct mail_reply *reply)
{
    struct mail_session *session = mail_session_of(transaction);

    if (reply->code == 354) {
        session->has_content = true;
        session->content_since_ms = io_loop_now_ms(session->session.service->loop);
        mail_session_trace(session);
    }
    if (session->state.current != MAIL_STATE_ENDING)
        mail_session_decided(transaction, reply);
}

static void mail_session_log_message(const struct mail_session *session,
                                     const struct mail_reply *reply)
{
    const struct mail_transaction *transaction = session->transaction;

    LOG_EVENT(LOG_LEVEL_INFO, session->session.id, "message",
              LOG_TEXT("from", transaction->reverse_path),
              LOG_INTEGER("recipients", transaction->recipient_count),
              LOG_INTEGER("bytes", transaction->content_bytes), LOG_INTEGER("code", reply->code),
              LOG_TEXT("words", reply->text));
}

/* Says nothing of what is not known.  LMTP answers in order: those before it can be given. */
static void mail_session_lost(struct mail_session *session, bool is_lmtp)
{
    const struct mail_transaction *transaction = session->transaction;
    bool has_left = transport_has_peer_left(&session->client);
    unsigned known = is_lmtp && !has_left ? mail_transaction_known_replies(transaction) : 0;

    for (unsigned i = 0; i < known; i++) {
        struct mail_reply reply = mail_transaction_recipient_reply(transaction, i);

        if (!mail_session_answer(session, &reply))
            return;
    }
    mail_session_end(session,
                     has_left ? "client closed before its answer" : "the store's reply was lost");
}

static void mail_session_concluded(struct mail_transaction *transaction,
                                   const struct mail_reply *reply, bool is_lost)
{
    struct mail_session *session = mail_session_of(transaction);
    bool is_lmtp = session->session.listener->protocol == PROTOCOL_LMTP;
    unsigned answers = is_lmtp ? transaction->recipient_count : 1;

    session->messages++;
    mail_session_log_message(session, reply);
    if (is_lost) {
        mail_session_lost(session, is_lmtp);
        return;
    }
    for (unsigned i = 0; i < answers; i++) {
        struct mail_reply each =
            is_lmtp ? mail_transaction_recipient_reply(transaction, i) : *reply;

        if (!mail_session_answer(session, &each))
            return;
    }
    session->is_concluding = false;
    if (!mail_session_flush(session)) /* what is known waits for nothing: else it may come again */
        return;
    mail_session_drop_transaction(session);
    mail_session_resume(session);
}

static bool mail_session_is_awaited(const struct mail_transaction *transaction)
{
    return !transport_has_peer_left(&mail_session_of(transaction)->client);
}

static void mail_session_writable(struct mail_transaction *transaction)
{
    struct mail_session *session = mail_session_of(transaction);

    if (session->state.current == MAIL_STATE_BLOCKED && !mail_transaction_is_full(transaction))
        mail_session_resume(session);
}

/* Nobody may take its mail here any more. */
static void mail_session_moved(struct mail_transaction *transaction)
{
    struct session *head = &mail_session_of(transaction)->session;

    head->end(head, "the account moved");
}

static const struct mail_transaction_events mail_session_transaction_events = {
    .rcpt_decided = mail_session_rcpt_decided,
    .data_decided = mail_session_data_decided,
    .concluded = mail_session_concluded,
    .is_awaited = mail_session_is_awaited,
    .writable = mail_session_writable,
    .moved = mail_session_moved,
};

/* --- questions ------------------------------------------------------------------------ */

static void mail_session_resolved(struct mail_session *session)
{
    mail_transaction_rcpt(session->transaction, session->machine.recipient,
                          &session->machine.recipient_parameters, &session->request.route);
}

void mail_session_request_done(struct resolver_request *request)
{
    mail_session_resolved(CONTAINER_OF(request, struct mail_session, request));
}

static void mail_session_rcpt(struct mail_session *session)
{
    if (session->submission && !mail_submission_charge(session->submission)) {
        mail_session_reply(session, 451, "4.7.1", "Too many recipients in an hour");
        return;
    }
    if (resolver_ask(session->session.service->resolver, &session->request, ROUTE_KEY_ADDRESS,
                     span_from_string(session->machine.recipient), NULL))
        mail_session_resolved(session);
}

/* What a node was told goes on to its store; else it is what we know ourselves. */
static void mail_session_forward(const struct mail_session *session, struct forwarded *forwarded)
{
    const struct forwarded *told = &session->machine.xclient.client;

    login_attempt_forward(&session->session, forwarded);
    if (!session->session.service->peers_are_trusted || !told->session_id[0])
        return;
    *forwarded = *told;
    forwarded->ttl = told->ttl > 0 ? told->ttl - 1 : 0;
}

void mail_session_begin_transaction(struct mail_session *session)
{
    session->session.has_asked = true;
    if (!session->is_secured && session_why_not_served(&session->session, session->client.ssl)) {
        mail_session_reply(session, 454, "4.7.0", "This is for frontends; begin TLS first");
        return;
    }
    mail_session_drop_transaction(session);
    session->transaction =
        mail_transaction_new(&session->session, session->machine.reverse_path,
                             &session->machine.parameters, &mail_session_transaction_events);
    session->transaction->may_relay = session->machine.is_authenticated;
    mail_session_forward(session, &session->transaction->forwarded);
    mail_session_reply(session, 250, "2.1.0", "Ok");
}

void mail_session_start_tls(struct mail_session *session)
{
    mail_session_drop_transaction(session);
    state_move(&session->state, MAIL_STATE_SECURING);
    if (session->intake.input.length > 0 ||
        !transport_start_tls_server(&session->client, session->session.service->tls_server))
        mail_session_end(session, "plaintext behind STARTTLS");
}

void mail_session_content(struct mail_session *session)
{
    if (!session->transaction)
        return;
    mail_transaction_content(session->transaction, session->machine.content,
                             session->machine.content_is_scanned);
    if (session->state.current == MAIL_STATE_TALKING &&
        mail_transaction_is_full(session->transaction)) {
        state_move(&session->state, MAIL_STATE_BLOCKED);
        transport_watch(&session->client, 0);
    }
}

void mail_session_ask(struct mail_session *session, enum smtp_server_event event)
{
    unsigned limit_s = session->session.service->config->timeout.data_end_s + MAIL_ANSWER_GRACE_S;

    state_move(&session->state, MAIL_STATE_ASKING);
    deadline_set(&session->deadline, limit_s * 1000ULL); /* whoever answers has a shorter one */
    session->is_concluding = event == SMTP_SERVER_CONTENT_END;
    switch (event) {
    case SMTP_SERVER_CREDENTIALS:
        mail_submission_verify(session->submission);
        break;
    case SMTP_SERVER_MAIL:
        if (session->submission)
            mail_submission_mail(session->submission);
        else
            mail_session_begin_transaction(session);
        break;
    case SMTP_SERVER_RCPT:
        mail_session_rcpt(session);
        break;
    case SMTP_SERVER_DATA:
        mail_transaction_data(session->transaction);
        break;
    default:
        mail_transaction_end(session->transaction);
        break;
    }
}
