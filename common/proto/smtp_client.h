/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of SMTP (RFC 5321) and LMTP (RFC 2033): one connection, one
 * transaction after the other.  A machine: see machine.h.  The session says
 * what to send; replies come back as events, in order.
 *
 *     init -> READY -> mail, rcpt ... -> REPLY (MAIL) REPLY (RCPT 0) ...
 *     -> data -> REPLY (DATA, 354) -> content by dot_stuffing.h -> content_end
 *     -> REPLY (FINAL 0..n-1: one with SMTP, one for each accepted RCPT with LMTP) -> mail ...
 *
 * or, where CHUNKING is offered, instead of data: chunk -> content as it is -> REPLY (FINAL ...),
 * and a reset when one of these refuses.
 *
 * The session calls next until NEED_INPUT before it sends anything more, so that bytes which
 * nobody asked for are seen as such.  What is sent needs SMTP_CLIENT_COMMAND_MAX bytes of room.
 */
#ifndef MAILSTEAD_PROTO_SMTP_CLIENT_H
#define MAILSTEAD_PROTO_SMTP_CLIENT_H

#include "common/base/state.h"
#include "common/proto/login.h"
#include "common/proto/mail.h"
#include "common/proto/smtp_reply.h"

/* No command that the session causes is longer. */
enum { SMTP_CLIENT_COMMAND_MAX = 1280 };

enum smtp_client_event {
    SMTP_CLIENT_NEED_INPUT,
    SMTP_CLIENT_FLUSH,
    SMTP_CLIENT_STARTTLS, /* question: handshake, then smtp_client_tls_started */
    SMTP_CLIENT_READY,    /* greeted, or forwarded is answered: a transaction may begin */
    SMTP_CLIENT_REPLY,    /* `reply` answers `replied`; for RCPT and FINAL, number `index` */
    SMTP_CLIENT_REFUSED,  /* greeting, hello, STARTTLS or AUTH refused: `reply` says how; close */
    /*
     * The peer broke the protocol, or lacks a required extension: `reply` has code 0; or it says
     * 421 where a transaction was possible: `reply` is that, and answers all that was open.  Close.
     */
    SMTP_CLIENT_FAILED
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
    const char *hostname; /* for EHLO; outlives the machine */
    bool starttls;        /* must be used */
    const char *user;     /* NULL: no AUTH; at most 255 bytes; outlives the machine */
    const char *password; /* at most 1024 bytes; by AUTH PLAIN, else LOGIN, only inside TLS or
                             towards loopback as the caller decides */
};

struct smtp_client {
    struct state state;
    struct smtp_client_options options;
    bool offers_pipelining, offers_8bitmime, offers_size, offers_starttls, offers_auth_plain,
        offers_auth_login, offers_smtputf8, offers_enhanced, offers_dsn, offers_chunking,
        offers_xclient;               /* with all of ADDR, SESSION and TTL */
    uint64_t size_limit;              /* what SIZE announced; 0: none known */
    enum smtp_client_command replied; /* after SMTP_CLIENT_REPLY */
    unsigned index; /* of the recipient, from 0, in the order of smtp_client_rcpt */
    struct mail_reply reply;
    const char *problem; /* after FAILED: what is wrong, static; NULL: it broke the protocol */
    bool offers_less;    /* the problem: MAIL was said ahead, by a hello that does not hold */
    /* ... the implementation's own members below */
    struct smtp_reply_reader reader;
    bool tls_active, was_ready, is_xclient_refused, is_chunking_refused;
    bool is_utf8, is_chunk, is_chunk_refused; /* the transaction at hand */
    unsigned offered_before;                  /* of what a transaction uses; before XCLIENT */
    bool awaiting_mail, awaiting_data, awaiting_rset;
    unsigned recipients_sent, recipients_answered, finals_expected, finals_answered;
};

void smtp_client_init(struct smtp_client *client, const struct smtp_client_options *options);

enum smtp_client_event smtp_client_next(struct smtp_client *client, struct span *in,
                                        struct buffer *out);

/* Answers SMTP_CLIENT_STARTTLS; what came behind the reply is still in `in`: the session refuses
 * it. */
void smtp_client_tls_started(struct smtp_client *client);

/*
 * Says whose mail follows, by XCLIENT and another hello, where both offers_xclient and
 * offers_pipelining; between two transactions.  READY follows, whatever the peer says to it:
 * one that refuses takes the mail all the same, and is not offered as taking XCLIENT any more.
 * The transaction may begin at once, by what the hello before offered: its replies follow READY.
 * When the peer does not offer all of that again, nothing of it counts, and the connection fails.
 */
void smtp_client_forward(struct smtp_client *client, const struct forwarded *forwarded,
                         struct buffer *out);

/*
 * Begins a transaction after READY, after the last FINAL or RSET reply of the one before, or
 * behind smtp_client_forward.
 * SIZE, BODY, RET and ENVID are sent where the peer offers them; SMTPUTF8 is, and the caller has
 * seen that the peer offers it.  False, and nothing is sent, when the path is not safe
 * (smtp_path_is_safe), or is UTF-8 and the parameters are not.
 */
bool smtp_client_mail(struct smtp_client *client, const char *reverse_path,
                      const struct mail_parameters *parameters, struct buffer *out)
    __attribute__((warn_unused_result));

/*
 * Adds a recipient; with PIPELINING before the earlier replies have come, else one at a
 * time by the caller.  NOTIFY and ORCPT are sent where the peer offers them; `parameters` may be
 * NULL.  False, nothing is sent and no index is used, when it is empty or not safe.
 */
bool smtp_client_rcpt(struct smtp_client *client, const char *recipient,
                      const struct mail_recipient_parameters *parameters, struct buffer *out)
    __attribute__((warn_unused_result));

/*
 * Asks to send the content, after every RCPT was answered and at least one accepted; with
 * PIPELINING also before that.  When none is accepted then, the caller closes the connection:
 * what stands behind a 354 is content.
 */
void smtp_client_data(struct smtp_client *client, struct buffer *out);

/*
 * After the caller has written the content and its end: `accepted` recipients, above 0, make
 * LMTP's count of replies.
 */
void smtp_client_content_end(struct smtp_client *client, unsigned accepted);

/*
 * Announces the whole content, `size` bytes that the caller writes behind it and that end a line,
 * where offers_chunking (RFC 3030).  Every RCPT has been answered, `accepted` of them, above 0,
 * positively.  When the peer refuses, its transaction is open still: READY comes by a reset.  A
 * refusal of the command and not of the message (500 to 504) is given as 451, and CHUNKING is not
 * offered any more.
 */
void smtp_client_chunk(struct smtp_client *client, size_t size, unsigned accepted,
                       struct buffer *out);

/*
 * Gives the transaction up, when no reply is outstanding and DATA was not accepted; a chunk may
 * have been refused.
 */
void smtp_client_reset(struct smtp_client *client, struct buffer *out);

/* True when smtp_client_reset may be called. */
bool smtp_client_may_reset(const struct smtp_client *client);

/* True when smtp_client_mail may be called, but for what smtp_client_forward allows. */
bool smtp_client_is_ready(const struct smtp_client *client);

/* True when that is so, or will be after the reply to RSET. */
bool smtp_client_may_go_on(const struct smtp_client *client);

/* True when a command may stand: QUIT would not be taken for content. */
bool smtp_client_may_quit(const struct smtp_client *client);

/*
 * Says QUIT where a command may stand (not within content); no reply is waited for, all that
 * still comes is dropped.
 */
void smtp_client_quit(struct smtp_client *client, struct buffer *out);

#endif
