/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning of a mail session: the header of a balancer, whether the client may come in, TLS
 * from the first byte, the greeting.
 */
#include <stdio.h>

#include "common/proto/offers.h"
#include "common/session/mail_session_private.h"
#include "common/session/proxied.h"

void mail_session_greet_now(struct mail_session *session)
{
    const struct session *head = &session->session;
    const struct config *config = head->service->config;
    const struct smtp_server_options options = {
        .flavor = head->listener->protocol == PROTOCOL_LMTP ? MAIL_LMTP : MAIL_SMTP,
        .hostname = config->cluster.hostname,
        .size_max = config->smtp.message_size_max,
        .recipients_max = config->smtp.recipients_max,
        .errors_max = config->smtp.errors_max,
        .tls_available = head->listener->tls == TLS_MODE_STARTTLS,
        .tls_active = session->is_secured,
        .peer_is_trusted = session->is_trusted,
        .converts_line_ends = config->smtp.bare_line_endings == LINE_ENDINGS_CONVERT,
        .offers_utf8 =
            session_service_offers(head->service, PROTOCOL_LMTP) & OFFER_BIT(LMTP_OFFER_SMTPUTF8),
        .offers_dsn = head->service->fallback != NULL, /* who reports */
        .auth = session->submission ? mail_submission_auth(session->submission) : NULL,
    };
    struct buffer out = io_loop_out(head->service->loop);

    smtp_server_init(&session->machine, &options, &out);
    if (mail_session_send(session, &out))
        transport_watch(&session->client, TRANSPORT_READABLE);
}

/* RFC 5321 section 4.3.1: a client waits for the greeting; what does not is seldom a mail server.
 */
static void mail_session_greet(struct mail_session *session)
{
    const struct session *head = &session->session;
    unsigned delay_ms = head->service->config->smtp.greeting_delay_ms;

    if (delay_ms == 0 || head->listener->protocol != PROTOCOL_SMTP) {
        mail_session_greet_now(session);
        return;
    }
    state_move(&session->state, MAIL_STATE_WAITING);
    deadline_set(&session->deadline, delay_ms);
    transport_watch(&session->client, TRANSPORT_READABLE);
}

void mail_session_turn_away(struct mail_session *session, const char *line, const char *reason)
{
    if (transport_send(&session->client, span_from_string(line)))
        mail_session_end(session, reason);
    else
        mail_session_end(session, transport_error(&session->client));
}

void mail_session_talked_early(struct mail_session *session)
{
    char byte;

    if (transport_read(&session->client, &byte, 1) > 0)
        mail_session_turn_away(session, "554 5.5.1 You talk before you are greeted\r\n",
                               "talked before the greeting");
    else
        mail_session_end(session, "client closed");
}

void mail_session_secured(struct mail_session *session)
{
    const char *why;

    state_move(&session->state, MAIL_STATE_TALKING);
    session->is_secured = true;
    if (session->session.listener->tls != TLS_MODE_STARTTLS) {
        mail_session_greet(session);
        return;
    }
    smtp_server_tls_started(&session->machine);
    why = session_why_not_served(&session->session, session->client.ssl);
    if (why)
        mail_session_goodbye(session, why, "it has no frontend's certificate");
}

/* False when it has come to its end: its address, or the worker, has too many. */
static bool mail_session_admit(struct mail_session *session)
{
    const struct session *head = &session->session;
    char line[128];
    const char *why = NULL;

    if (head->service->mail_peers)
        why = mail_peers_add(head->service->mail_peers, &session->peer, head->peer_address);
    if (!why)
        return true;
    snprintf(line, sizeof(line), "421 4.7.0 %s\r\n", why);
    if (head->listener->tls == TLS_MODE_IMPLICIT) /* nobody could read it */
        mail_session_end(session, why);
    else
        mail_session_turn_away(session, line, why);
    return false;
}

void mail_session_begin(struct mail_session *session)
{
    mail_session_wait(session);
    if (!mail_session_admit(session))
        return;
    if (session->session.listener->tls != TLS_MODE_IMPLICIT)
        mail_session_greet(session);
    else if (!transport_start_tls_server(&session->client, session->session.service->tls_server))
        mail_session_end(session, "TLS cannot be started");
}

void mail_session_read_proxy(struct mail_session *session)
{
    struct session *head = &session->session;
    struct proxy_header header;

    switch (proxied_read(&session->client, &session->proxy_header, &header)) {
    case PROXIED_WAITS:
        return;
    case PROXIED_BROKEN:
        mail_session_end(session, "the PROXY header is broken");
        return;
    case PROXIED_LEFT:
        mail_session_end(session, "client closed");
        return;
    case PROXIED_READ:
        break;
    }
    proxied_apply(&header, head);
    session->is_secured = proxied_is_secured(&header, head->listener);
    if (header.address[0]) /* what the balancer may say is not its clients' to say */
        session->is_trusted = address_is_in(&head->listener->xclient_from, header.address);
    state_move(&session->state,
               head->listener->tls == TLS_MODE_IMPLICIT ? MAIL_STATE_SECURING : MAIL_STATE_TALKING);
    mail_session_begin(session);
}
