/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of a mail session.  The machine asks one question at a time; while
 * it is being answered the client is not read.
 */
#include "common/session/mail_session.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/session/mail_session_private.h"
#include "common/session/proxied.h"
#include "common/session/storage_use.h"

enum {
    MAIL_LEAVING_MS = 1000, /* for the answer to a message when we must go */
    MAIL_REPLIES_MS = 100,  /* a reply that is older does not wait for another question */
    MAIL_REPLIES_MAX = 16384
};

static const struct state_row mail_states[] = {
    [MAIL_STATE_PROXIED] = { "proxied", STATE_BIT(MAIL_STATE_SECURING) |
                                            STATE_BIT(MAIL_STATE_TALKING) |
                                            STATE_BIT(MAIL_STATE_ENDING) },
    [MAIL_STATE_WAITING] = { "waiting",
                             STATE_BIT(MAIL_STATE_TALKING) | STATE_BIT(MAIL_STATE_ENDING) },
    [MAIL_STATE_SECURING] = { "securing",
                              STATE_BIT(MAIL_STATE_TALKING) | STATE_BIT(MAIL_STATE_ENDING) },
    [MAIL_STATE_TALKING] = { "talking",
                             STATE_BIT(MAIL_STATE_WAITING) | STATE_BIT(MAIL_STATE_SECURING) |
                                 STATE_BIT(MAIL_STATE_ASKING) | STATE_BIT(MAIL_STATE_BLOCKED) |
                                 STATE_BIT(MAIL_STATE_ENDING) },
    [MAIL_STATE_ASKING] = { "asking", STATE_BIT(MAIL_STATE_TALKING) | STATE_BIT(MAIL_STATE_SLOWED) |
                                          STATE_BIT(MAIL_STATE_ENDING) },
    [MAIL_STATE_SLOWED] = { "slowed",
                            STATE_BIT(MAIL_STATE_TALKING) | STATE_BIT(MAIL_STATE_ENDING) },
    [MAIL_STATE_BLOCKED] = { "blocked",
                             STATE_BIT(MAIL_STATE_TALKING) | STATE_BIT(MAIL_STATE_ENDING) },
    [MAIL_STATE_ENDING] = { "ending", 0 },
};

static void mail_session_pump(struct mail_session *session);

/* --- the end ------------------------------------------------------------------------ */

static void mail_session_handle_closed(struct mail_session *session)
{
    if (--session->open_handles > 0)
        return;
    session_finish(&session->session);
    free(session);
}

static void mail_session_deadline_closed(struct deadline *deadline)
{
    mail_session_handle_closed(CONTAINER_OF(deadline, struct mail_session, deadline));
}

static void mail_session_client_closed(struct transport *transport)
{
    mail_session_handle_closed(CONTAINER_OF(transport, struct mail_session, client));
}

void mail_session_drop_transaction(struct mail_session *session)
{
    if (session->transaction)
        mail_transaction_free(session->transaction);
    session_leave_storages(&session->session);
    session->transaction = NULL;
    session->has_content = false;
}

void mail_session_end(struct mail_session *session, const char *reason)
{
    const struct session *head = &session->session;

    if (session->state.current == MAIL_STATE_ENDING)
        return;
    state_move(&session->state, MAIL_STATE_ENDING);
    LOG_EVENT(session_end_level(head), head->id, "end",
              LOG_TEXT("protocol", protocol_name(head->listener->protocol)),
              LOG_TEXT("reason", reason), LOG_TEXT("peer", head->peer_address),
              LOG_INTEGER("messages", session->messages),
              LOG_INTEGER("ms", io_loop_now_ms(head->service->loop) - head->started_ms));
    if (head->service->mail_peers)
        mail_peers_remove(head->service->mail_peers, &session->peer);
    resolver_cancel(&session->request);
    mail_session_drop_transaction(session);
    mail_submission_free(session->submission);
    session->submission = NULL;
    (void)!mail_session_flush(session); /* it ends in any case */
    intake_fini(&session->intake);
    bytes_release(&session->proxy_header);
    transport_close(&session->client);
    deadline_close(&session->deadline, mail_session_deadline_closed);
}

static bool mail_session_write(struct mail_session *session, struct span bytes)
{
    if (bytes.length == 0 || transport_send(&session->client, bytes))
        return true;
    mail_session_end(session, transport_error(&session->client));
    return false;
}

bool mail_session_flush(struct mail_session *session)
{
    struct bytes replies = session->replies;
    bool is_sent;

    session->replies = bytes_empty(MAIL_REPLIES_MAX);
    is_sent = mail_session_write(session, bytes_span(&replies));
    bytes_release(&replies);
    return is_sent;
}

/*
 * RFC 2920 section 3.2: the replies to commands that came together go together, and so do LMTP's to
 * a message: one packet for both sides.  None waits for more than one question that takes its time.
 */
static bool mail_session_keep(struct mail_session *session, const struct buffer *out)
{
    uint64_t now_ms = io_loop_now_ms(session->session.service->loop);

    if (session->replies.length == 0)
        session->replies_since_ms = now_ms;
    return (session->intake.input.length > 0 || session->is_concluding) &&
           now_ms - session->replies_since_ms < MAIL_REPLIES_MS &&
           bytes_append(&session->replies, buffer_span(out));
}

bool mail_session_send(struct mail_session *session, const struct buffer *out)
{
    if (out->length == 0 || mail_session_keep(session, out))
        return true;
    if (session->replies.length > 0 && bytes_append(&session->replies, buffer_span(out)))
        return mail_session_flush(session);
    return mail_session_flush(session) && mail_session_write(session, buffer_span(out));
}

void mail_session_goodbye(struct mail_session *session, const char *text, const char *reason)
{
    struct buffer out = io_loop_out(session->session.service->loop);

    smtp_server_goodbye(&session->machine, text, &out);
    if (mail_session_send(session, &out))
        mail_session_end(session, reason);
}

/*
 * RFC 5321 section 3.8: 421 may answer any command, or greet.  Who sends content listens only at
 * its end.
 */
static bool mail_session_may_say_goodbye(const struct mail_session *session)
{
    return !session->has_content && (session->state.current == MAIL_STATE_TALKING ||
                                     session->state.current == MAIL_STATE_ASKING ||
                                     session->state.current == MAIL_STATE_SLOWED);
}

/*
 * The service asks it to go.  Content that is under way is given up, the client keeps it; a message
 * that is complete may be with its backend or in the queue, so that its answer is waited for.
 */
static void mail_session_asked_to_end(struct session *head, const char *reason)
{
    struct mail_session *session = CONTAINER_OF(head, struct mail_session, session);

    if (session->state.current == MAIL_STATE_ASKING && session->is_concluding) {
        if (!session->is_hurried)
            deadline_set(&session->deadline, MAIL_LEAVING_MS);
        session->is_hurried = true;
        session->leaving_reason = reason;
    } else if (mail_session_may_say_goodbye(session))
        mail_session_goodbye(session, "Server is going down, try again later", reason);
    else if (session->state.current == MAIL_STATE_WAITING)
        mail_session_turn_away(session, "421 4.3.2 Server is going down, try again later\r\n",
                               reason);
    else
        mail_session_end(session, reason);
}

/* A message that the store has whole keeps its time: the storage is not given up before. */
static void mail_session_asked_to_part(struct session *head, const char *reason)
{
    struct mail_session *session = CONTAINER_OF(head, struct mail_session, session);

    if (session->state.current == MAIL_STATE_ASKING && session->is_concluding)
        session->leaving_reason = reason;
    else
        mail_session_asked_to_end(head, reason);
}

/* Between two messages nothing is lost. */
static void mail_session_view(const struct session *head, struct session_view *view)
{
    const struct mail_session *session = CONTAINER_OF(head, struct mail_session, session);

    if (session->is_secured)
        view->tls = proxied_tls_name(session->client.ssl, session->is_secured);
    view->is_busy = session->state.current != MAIL_STATE_TALKING || session->transaction;
}

/* --- answers ------------------------------------------------------------------------- */

/* Content has a limit as a whole, too: a byte now and then does not keep a session. */
void mail_session_wait(struct mail_session *session)
{
    const struct session_service *service = session->session.service;
    uint64_t limit_ms = service->config->timeout.command_s * 1000ULL;

    if (session->has_content) {
        uint64_t end_ms = session->content_since_ms + service->config->timeout.content_s * 1000ULL;
        uint64_t now_ms = io_loop_now_ms(service->loop);
        uint64_t left_ms = end_ms > now_ms ? end_ms - now_ms : 0;

        limit_ms = left_ms < limit_ms ? left_ms : limit_ms;
    }
    deadline_set(&session->deadline, limit_ms);
}

void mail_session_slow(struct mail_session *session, const struct mail_reply *reply)
{
    state_move(&session->state, MAIL_STATE_SLOWED);
    session->held_reply = *reply;
    deadline_set(&session->deadline, session->session.service->config->smtp.tarpit_s * 1000ULL);
    (void)!mail_session_flush(session); /* those before it; a failure has ended the session */
}

bool mail_session_answer(struct mail_session *session, const struct mail_reply *reply)
{
    struct buffer out = io_loop_out(session->session.service->loop);

    smtp_server_reply(&session->machine, reply, &out);
    return mail_session_send(session, &out);
}

void mail_session_resume(struct mail_session *session)
{
    if (session->state.current == MAIL_STATE_ENDING)
        return;
    state_move(&session->state, MAIL_STATE_TALKING);
    mail_session_wait(session);
    if (session->leaving_reason) {
        mail_session_goodbye(session, "Server is going down, try again later",
                             session->leaving_reason);
        return;
    }
    if (session->is_pumping)
        return;
    transport_watch(&session->client, TRANSPORT_READABLE);
    mail_session_pump(session);
}

void mail_session_reply(struct mail_session *session, int code, const char *enhanced,
                        const char *text)
{
    const struct mail_reply reply = mail_reply_of(code, enhanced, text);

    if (mail_session_answer(session, &reply))
        mail_session_resume(session);
}

/* Another client's mail follows; it is counted as that one's. */
static void mail_session_forwarded(struct mail_session *session)
{
    struct session *head = &session->session;
    const struct forwarded *forwarded = &session->machine.xclient.client;
    struct mail_peers *peers = head->service->mail_peers;
    const char *why = NULL;

    session->refused_recipients = 0;
    if (head->service->peers_are_trusted) /* a frontend's: whose mail it is, is for the store */
        head->was_relayed = forwarded_was_relayed(forwarded);
    if (head->service->peers_are_trusted || !forwarded->address[0])
        return;
    if (peers)
        mail_peers_remove(peers, &session->peer);
    snprintf(head->peer_address, sizeof(head->peer_address), "%s", forwarded->address);
    head->peer_port = forwarded->port;
    if (peers)
        why = mail_peers_add(peers, &session->peer, head->peer_address);
    if (why)
        mail_session_goodbye(session, why, why);
}

/* --- events ---------------------------------------------------------------------------- */

static void mail_session_event(struct mail_session *session, enum smtp_server_event event)
{
    switch (event) {
    case SMTP_SERVER_STARTTLS:
        mail_session_start_tls(session);
        return;
    case SMTP_SERVER_CONTENT:
        mail_session_content(session);
        return;
    case SMTP_SERVER_FORWARDED:
        mail_session_forwarded(session);
        return;
    case SMTP_SERVER_CONTENT_BROKEN:
    case SMTP_SERVER_RESET:
        mail_session_drop_transaction(session);
        return;
    case SMTP_SERVER_END:
        session->session.ended_itself = true;
        mail_session_end(session, "ended by the protocol");
        return;
    default:
        mail_session_ask(session, event);
        return;
    }
}

/* Runs the machine over what has come, until it needs more or waits for an answer. */
static void mail_session_pump(struct mail_session *session)
{
    bool has_content = false;

    session->is_pumping = true;
    while (session->state.current == MAIL_STATE_TALKING) {
        struct buffer out = io_loop_out(session->session.service->loop);
        enum smtp_server_event event =
            smtp_server_next(&session->machine, &session->intake.input, &out);

        if (!mail_session_send(session, &out) || event == SMTP_SERVER_NEED_INPUT)
            break;
        has_content |= event == SMTP_SERVER_CONTENT;
        if (event != SMTP_SERVER_FLUSH)
            mail_session_event(session, event);
    }
    session->is_pumping = false;
    if (has_content && session->transaction)
        mail_transaction_flush(session->transaction);
    if (session->state.current == MAIL_STATE_ENDING ||
        (session->state.current != MAIL_STATE_ASKING && !mail_session_flush(session)))
        return;
    intake_settle(&session->intake);
    if (session->state.current == MAIL_STATE_ASKING || session->state.current == MAIL_STATE_SLOWED)
        transport_watch(&session->client, 0);
}

/* --- the client -------------------------------------------------------------------------- */

/* While the client does not take our replies it is not heard. */
static void mail_session_listen(struct mail_session *session)
{
    if (session->state.current == MAIL_STATE_TALKING)
        transport_watch(&session->client,
                        transport_has_pending(&session->client) ? 0 : TRANSPORT_READABLE);
}

static void mail_session_readable(struct mail_session *session)
{
    while (session->state.current == MAIL_STATE_TALKING &&
           !transport_has_pending(&session->client)) {
        ssize_t count = intake_read(&session->intake, &session->client);

        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0) {
            mail_session_end(session, count == TRANSPORT_END ? "client closed"
                                                             : transport_error(&session->client));
            return;
        }
        mail_session_wait(session);
        mail_session_pump(session);
    }
}

static void mail_session_ready(struct transport *transport, unsigned readiness)
{
    struct mail_session *session = CONTAINER_OF(transport, struct mail_session, client);

    if (readiness & TRANSPORT_SECURED)
        mail_session_secured(session);
    else if (session->state.current == MAIL_STATE_SECURING && readiness & TRANSPORT_READABLE)
        mail_session_end(session, transport_error(transport)); /* the handshake failed */
    else if (session->state.current == MAIL_STATE_PROXIED && readiness & TRANSPORT_READABLE)
        mail_session_read_proxy(session);
    else if (session->state.current == MAIL_STATE_WAITING && readiness & TRANSPORT_READABLE)
        mail_session_talked_early(session);
    mail_session_readable(session);
    mail_session_listen(session);
}

static const struct transport_events mail_session_client_events = {
    .ready = mail_session_ready,
    .closed = mail_session_client_closed,
};

static void mail_session_expired(struct deadline *deadline)
{
    struct mail_session *session = CONTAINER_OF(deadline, struct mail_session, deadline);

    switch ((enum mail_state)session->state.current) {
    case MAIL_STATE_TALKING:
        if (session->has_content)
            mail_session_end(session, "no content in time");
        else
            mail_session_goodbye(session, "Timed out, closing", "no command in time");
        return;
    case MAIL_STATE_PROXIED:
        mail_session_end(session, "no PROXY header in time");
        return;
    case MAIL_STATE_WAITING:
        state_move(&session->state, MAIL_STATE_TALKING);
        mail_session_wait(session);
        mail_session_greet_now(session);
        return;
    case MAIL_STATE_SECURING:
        mail_session_end(session, "TLS handshake timed out");
        return;
    case MAIL_STATE_SLOWED:
        if (mail_session_answer(session, &session->held_reply))
            mail_session_resume(session);
        return;
    case MAIL_STATE_BLOCKED: /* the delivery has a deadline of its own */
        deadline_set(&session->deadline,
                     session->session.service->config->timeout.command_s * 1000ULL);
        return;
    case MAIL_STATE_ASKING:
        mail_session_end(session,
                         session->leaving_reason ? session->leaving_reason : "no answer in time");
        return;
    case MAIL_STATE_ENDING:
        return;
    }
}

void mail_session_start(struct session_service *service, const struct listener_config *listener,
                        int fd, const struct sockaddr_storage *peer)
{
    struct mail_session *session = memory_new(sizeof(*session));
    bool is_proxied = peer_is_in(&listener->proxy_protocol_from, peer);
    bool is_implicit = listener->tls == TLS_MODE_IMPLICIT;
    bool is_submission = listener->protocol == PROTOCOL_SUBMISSION;

    session_start(&session->session, service, listener, peer, mail_session_asked_to_end);
    session->session.part = mail_session_asked_to_part;
    session->session.view = mail_session_view;
    session->open_handles = 2;
    session->is_trusted = service->peers_are_trusted || peer_is_in(&listener->xclient_from, peer);
    state_init(&session->state, mail_states,
               is_proxied    ? MAIL_STATE_PROXIED
               : is_implicit ? MAIL_STATE_SECURING
                             : MAIL_STATE_TALKING);
    intake_init(&session->intake, is_submission); /* a password may come */
    if (is_submission)
        session->submission = mail_submission_new(session);
    session->replies = bytes_empty(MAIL_REPLIES_MAX);
    resolver_request_init(&session->request, mail_session_request_done);
    transport_init(&session->client, service->loop, fd, &mail_session_client_events);
    deadline_init(&session->deadline, service->loop, mail_session_expired);
    session->proxy_header = bytes_empty(PROXY_HEADER_MAX);
    if (!is_proxied) {
        mail_session_begin(session);
        return;
    }
    deadline_set(&session->deadline, service->config->timeout.connect_s * 1000ULL);
    transport_watch(&session->client, TRANSPORT_READABLE);
}
