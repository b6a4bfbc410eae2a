/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a mail session share; mail_session.h is its interface. */
#ifndef MAILSTEAD_SESSION_MAIL_SESSION_PRIVATE_H
#define MAILSTEAD_SESSION_MAIL_SESSION_PRIVATE_H

#include "common/base/state.h"
#include "common/io/deadline.h"
#include "common/proto/smtp_server.h"
#include "common/session/intake.h"
#include "common/session/mail_peers.h"
#include "common/session/mail_session.h"
#include "common/session/mail_submission.h"
#include "common/session/mail_transaction.h"

enum mail_state {
    MAIL_STATE_PROXIED,  /* a balancer tells whose connection it is */
    MAIL_STATE_WAITING,  /* with the greeting, for a client that talks too early */
    MAIL_STATE_SECURING, /* TLS handshake with the client */
    MAIL_STATE_TALKING,  /* commands and content */
    MAIL_STATE_ASKING,   /* a question is being answered */
    MAIL_STATE_SLOWED,   /* a refusal is held back */
    MAIL_STATE_BLOCKED,  /* content waits for the backend to take it */
    MAIL_STATE_ENDING
};

struct mail_session {
    struct session session;
    struct state state;
    struct transport client;
    struct deadline deadline;
    struct intake intake;
    struct smtp_server machine;
    struct resolver_request request;
    struct mail_transaction *transaction; /* from MAIL to its end */
    struct bytes proxy_header;            /* PROXIED: what has come of it */
    struct mail_peer peer;
    struct mail_submission *submission; /* NULL: the client is a mail server */
    struct mail_reply held_reply;       /* SLOWED */
    struct bytes replies;               /* to commands that came together, to go together */
    uint64_t replies_since_ms;
    unsigned refused_recipients;
    uint64_t content_since_ms; /* has_content: when it was asked for */
    bool is_trusted;           /* XCLIENT is believed */
    bool is_secured;
    bool is_pumping; /* an answer that comes at once must not pump again */
    bool has_content;
    bool is_concluding;         /* ASKING: the message is complete */
    bool is_hurried;            /* leaving: the answer has MAIL_LEAVING_MS */
    const char *leaving_reason; /* the service wants it to go as soon as the message is answered */
    unsigned messages;
    const char *end_reason;
    unsigned open_handles;
};

/* Ends it; idempotent. */
void mail_session_end(struct mail_session *session, const char *reason);

void mail_session_drop_transaction(struct mail_session *session);

/*
 * Sends what the machine wrote, or keeps it for a moment while the next commands are here already;
 * false, and it is over, when the client is gone.
 */
bool mail_session_send(struct mail_session *session, const struct buffer *out);

/* Sends what was kept; false as above. */
bool mail_session_flush(struct mail_session *session);

/* --- its beginning --- */

/* Reads on in the header of a balancer; behind it the session begins. */
void mail_session_read_proxy(struct mail_session *session);

/* Lets the client in, or says why not. */
void mail_session_begin(struct mail_session *session);

void mail_session_greet_now(struct mail_session *session);

/* Says `line` to one who was not greeted yet, and ends it for `reason`. */
void mail_session_turn_away(struct mail_session *session, const char *line, const char *reason);

/* Something came from a client that had to wait for the greeting. */
void mail_session_talked_early(struct mail_session *session);

/* The handshake is done. */
void mail_session_secured(struct mail_session *session);

/* --- commands and answers --- */

/* Gives the client its time for the next command. */
void mail_session_wait(struct mail_session *session);

/* Answers the question; false when the session is over. */
bool mail_session_answer(struct mail_session *session, const struct mail_reply *reply);

/* Holds the refusal of a recipient back for a while. */
void mail_session_slow(struct mail_session *session, const struct mail_reply *reply);

/* Says 421 and ends it. */
void mail_session_goodbye(struct mail_session *session, const char *text, const char *reason);

/* Goes on after a question was answered. */
void mail_session_resume(struct mail_session *session);

/* Both. */
void mail_session_reply(struct mail_session *session, int code, const char *enhanced,
                        const char *text);

/* Hands a question on.  It may be answered at once, or later. */
void mail_session_ask(struct mail_session *session, enum smtp_server_event event);

/* Content flows only as fast as the backend takes it. */
void mail_session_content(struct mail_session *session);

/* The MAIL in question is accepted. */
void mail_session_begin_transaction(struct mail_session *session);

void mail_session_start_tls(struct mail_session *session);

/* The route for a recipient is found. */
void mail_session_request_done(struct resolver_request *request);

#endif
