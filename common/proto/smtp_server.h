/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server side of SMTP (RFC 5321) and LMTP (RFC 2033), with PIPELINING,
 * SIZE, 8BITMIME, ENHANCEDSTATUSCODES and STARTTLS.  A machine: see machine.h.
 *
 * Message content comes out as spans of `in`, free of dot-stuffing, with the final
 * CRLF of its last line.  Only CRLF.CRLF ends it; a bare CR or LF anywhere in
 * it ends nothing and makes the machine refuse the whole message with 5xx at its end (the
 * session is told by CONTENT_BROKEN), so that nothing of it can be smuggled to a backend.
 */
#ifndef MAILSTEAD_PROTO_SMTP_SERVER_H
#define MAILSTEAD_PROTO_SMTP_SERVER_H

#include "common/base/state.h"
#include "common/proto/mail.h"

enum smtp_server_event {
    SMTP_SERVER_NEED_INPUT,
    SMTP_SERVER_FLUSH,
    SMTP_SERVER_STARTTLS,    /* question: as LOGIN_STARTTLS; answered by smtp_server_tls_started */
    SMTP_SERVER_MAIL,        /* question: reverse_path, parameters */
    SMTP_SERVER_RCPT,        /* question: recipient */
    SMTP_SERVER_DATA,        /* question: go ahead (354) or refuse */
    SMTP_SERVER_CONTENT,     /* no question: `content` is valid until the next call */
    SMTP_SERVER_CONTENT_END, /* question: SMTP one answer, LMTP one for each accepted recipient */
    SMTP_SERVER_CONTENT_BROKEN, /* no question: the message was refused by the machine; drop it */
    SMTP_SERVER_RESET,       /* no question: the transaction, if any, is over (RSET, EHLO, STARTTLS) */
    SMTP_SERVER_END
};

struct smtp_server_options {
    enum mail_flavor flavor;
    const char *hostname;    /* outlives the machine */
    uint64_t size_max;       /* bytes of a message, announced and enforced */
    unsigned recipients_max; /* of one message; 452 above it */
    unsigned errors_max;     /* 5xx to commands before 421 and the end */
    bool tls_available;
    bool tls_active;
};

struct smtp_server {
    struct state state;
    struct smtp_server_options options;
    char helo[256];      /* what the client called itself; empty before EHLO */
    bool is_extended;    /* EHLO or LHLO, not HELO */
    char reverse_path[MAIL_PATH_SIZE];
    struct mail_parameters parameters;
    char recipient[MAIL_PATH_SIZE]; /* the one in question */
    unsigned recipients_accepted;
    unsigned final_replies; /* LMTP: answers given since CONTENT_END */
    unsigned errors;
    uint64_t content_bytes; /* of this message so far */
    struct span content;
    /* ... the implementation's own members below */
    unsigned line_state;
    bool content_is_broken;
    bool content_is_too_big;
};

/* Starts the machine and writes the greeting. */
void smtp_server_init(struct smtp_server *server, const struct smtp_server_options *options,
                      struct buffer *out);

enum smtp_server_event smtp_server_next(struct smtp_server *server, struct span *in,
                                        struct buffer *out);

/* Answers SMTP_SERVER_STARTTLS, once the handshake is done. */
void smtp_server_tls_started(struct smtp_server *server);

/*
 * Answers MAIL, RCPT, DATA or CONTENT_END.  The class of the code decides what
 * follows: 2xx (3xx for DATA) accepts.  Code 421 ends the session.
 */
void smtp_server_reply(struct smtp_server *server, const struct mail_reply *reply,
                       struct buffer *out);

/* Writes an unasked 421, at any time outside of content; the machine is done. */
void smtp_server_goodbye(struct smtp_server *server, const char *text, struct buffer *out);

#endif
