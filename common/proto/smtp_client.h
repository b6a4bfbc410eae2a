/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of SMTP (RFC 5321) and LMTP (RFC 2033): one connection, one
 * transaction after the other.  A machine: see machine.h.  The session says
 * what to send; replies come back as events, in order.
 *
 *     init -> READY -> mail, rcpt ... -> REPLY (MAIL) REPLY (RCPT 0) ...
 *     -> data -> REPLY (DATA, 354) -> content by dot_stuffing.h -> content_end
 *     -> REPLY (FINAL 0..n-1: one with SMTP, one for each accepted RCPT with LMTP) -> mail ...
 */
#ifndef MAILSTEAD_PROTO_SMTP_CLIENT_H
#define MAILSTEAD_PROTO_SMTP_CLIENT_H

#include "common/base/state.h"
#include "common/proto/mail.h"

enum smtp_client_event {
    SMTP_CLIENT_NEED_INPUT,
    SMTP_CLIENT_FLUSH,
    SMTP_CLIENT_STARTTLS, /* question: handshake, then smtp_client_tls_started */
    SMTP_CLIENT_READY,    /* greeted: a transaction may begin.  Once, before the first one */
    SMTP_CLIENT_REPLY,    /* `reply` answers `replied`; for RCPT and FINAL, number `index` */
    SMTP_CLIENT_REFUSED,  /* greeting, hello, STARTTLS or AUTH refused: `reply` says how; close */
    SMTP_CLIENT_FAILED    /* the peer broke the protocol, closed with 421, or lacks a required extension */
};

enum smtp_client_command {
    SMTP_CLIENT_MAIL,
    SMTP_CLIENT_RCPT,
    SMTP_CLIENT_DATA,
    SMTP_CLIENT_FINAL,
    SMTP_CLIENT_RSET
};

struct smtp_client_options {
    enum mail_flavor flavor;
    const char *hostname;  /* for EHLO; outlives the machine */
    bool starttls;         /* must be used */
    const char *user;      /* NULL: no AUTH; outlives the machine */
    const char *password;  /* AUTH PLAIN, only inside TLS or towards loopback as the caller decides */
};

struct smtp_client {
    struct state state;
    struct smtp_client_options options;
    bool offers_pipelining, offers_8bitmime, offers_size, offers_starttls, offers_auth_plain,
        offers_smtputf8, offers_enhanced;
    uint64_t size_limit;                 /* what SIZE announced; 0: none known */
    enum smtp_client_command replied;    /* after SMTP_CLIENT_REPLY */
    unsigned index;                      /* of the recipient, from 0, in the order of smtp_client_rcpt */
    struct mail_reply reply;
    /* ... the implementation's own members below */
    bool tls_active;
    bool awaiting_mail, awaiting_data, awaiting_rset;
    unsigned recipients_sent, recipients_answered, finals_expected, finals_answered;
};

void smtp_client_init(struct smtp_client *client, const struct smtp_client_options *options);

enum smtp_client_event smtp_client_next(struct smtp_client *client, struct span *in,
                                        struct buffer *out);

void smtp_client_tls_started(struct smtp_client *client);

/* Begins a transaction after READY, or after the last FINAL or RSET reply of the one before. */
void smtp_client_mail(struct smtp_client *client, const char *reverse_path,
                      const struct mail_parameters *parameters, struct buffer *out);

/* Adds a recipient; with PIPELINING before the earlier replies have come, else one at a time by the caller. */
void smtp_client_rcpt(struct smtp_client *client, const char *recipient, struct buffer *out);

/* Asks to send the content, after every RCPT was answered and at least one accepted. */
void smtp_client_data(struct smtp_client *client, struct buffer *out);

/* After the caller has written the content and its end: `accepted` recipients make LMTP's count of replies. */
void smtp_client_content_end(struct smtp_client *client, unsigned accepted);

/* Gives the transaction up, when no reply is outstanding and DATA was not sent. */
void smtp_client_reset(struct smtp_client *client, struct buffer *out);

/* Says QUIT; no reply is waited for. */
void smtp_client_quit(struct smtp_client *client, struct buffer *out);

#endif
