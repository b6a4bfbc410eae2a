/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server side of SMTP (RFC 5321) and LMTP (RFC 2033), with PIPELINING,
 * SIZE, 8BITMIME, CHUNKING, ENHANCEDSTATUSCODES, DSN, SMTPUTF8 and STARTTLS.  A machine: see
 * machine.h.
 *
 * A command line ends in CRLF.  One that holds a bare CR or LF or a NUL gets a 5xx for
 * each LF in it, and nothing of it is executed.
 *
 * Message content comes out as spans of `in`, free of dot-stuffing, with the final
 * CRLF of its last line.  Only CRLF.CRLF ends it.  A bare CR or LF anywhere in it (unless
 * they are to be converted: then the CRLF that it becomes is no part of `in`), or
 * more bytes than size_max, refuses the whole message: CONTENT_BROKEN tells the session
 * as soon as that is seen, before any further byte of it comes out, so that a delivery
 * to a backend can be aborted before its end is sent.  The transaction is over for the
 * session then; the machine drops the rest up to the message's true end and gives
 * the 5xx there, with LMTP one for each accepted recipient.
 *
 * BDAT gives the same events: DATA before the first chunk, whose 354 is not written, then content.
 * A chunk that is refused is dropped whole before its reply, and the transaction is over up to
 * RSET.  A chunk whose length cannot be read ends the session: nobody could say where it ends.
 *
 * With `auth` it is the server of RFC 6409: AUTH (RFC 4954) comes before MAIL.
 */
#ifndef MAILSTEAD_PROTO_SMTP_SERVER_H
#define MAILSTEAD_PROTO_SMTP_SERVER_H

#include "common/base/state.h"
#include "common/proto/mail.h"
#include "common/proto/sasl.h"
#include "common/proto/smtp_content.h"
#include "common/proto/smtp_xclient.h"

enum smtp_server_event {
    SMTP_SERVER_NEED_INPUT,
    SMTP_SERVER_FLUSH,
    SMTP_SERVER_STARTTLS,    /* question: as LOGIN_STARTTLS; answered by smtp_server_tls_started */
    SMTP_SERVER_CREDENTIALS, /* question: auth->credentials; answered by smtp_server_judged */
    SMTP_SERVER_MAIL,        /* question: reverse_path, parameters */
    SMTP_SERVER_RCPT,        /* question: recipient, recipient_parameters */
    SMTP_SERVER_DATA,        /* question: go ahead (354) or refuse */
    SMTP_SERVER_CONTENT,     /* no question: `content` is valid until the next call */
    SMTP_SERVER_CONTENT_END, /* question: SMTP one answer, LMTP one for each accepted recipient */
    SMTP_SERVER_CONTENT_BROKEN, /* no question: the machine refuses the message; drop it now */
    SMTP_SERVER_FORWARDED,      /* no question: `xclient`, of a trusted peer */
    SMTP_SERVER_RESET, /* no question: the transaction that MAIL began is over (RSET, EHLO) */
    SMTP_SERVER_END    /* with whatever transaction there was */
};

/* What AUTH needs, in the session's memory, which it may free after an acceptance. */
struct smtp_server_auth {
    struct sasl_options sasl;
    bool plaintext_allowed; /* outside TLS */
    /* The machine's own: */
    struct sasl_exchange exchange;
    struct credentials credentials; /* wiped when nobody needs them */
};

struct smtp_server_options {
    enum mail_flavor flavor;
    const char *hostname;    /* outlives the machine */
    uint64_t size_max;       /* bytes of a message, announced and enforced */
    unsigned recipients_max; /* of one message; 452 above it */
    unsigned errors_max; /* commands that the machine itself refuses with 5xx; the next gets 421 */
    bool tls_available;
    bool tls_active;
    bool peer_is_trusted;          /* what it says by XCLIENT is believed */
    bool converts_line_ends;       /* a bare CR or LF in content becomes CRLF */
    bool offers_dsn;               /* RFC 3461 */
    bool offers_utf8;              /* SMTPUTF8, RFC 6531 */
    struct smtp_server_auth *auth; /* submission: MAIL needs AUTH; NULL: there is no AUTH */
};

struct smtp_server {
    struct state state;
    struct smtp_server_options options;
    char helo[256];   /* what the client called itself, printable; empty before EHLO */
    bool is_extended; /* EHLO or LHLO, not HELO */
    bool is_authenticated;
    char reverse_path[MAIL_PATH_SIZE]; /* as smtp_path_take gives it */
    struct mail_parameters parameters;
    char recipient[MAIL_PATH_SIZE]; /* the one in question, as smtp_path_take gives it */
    struct mail_recipient_parameters recipient_parameters; /* its own */
    struct smtp_xclient xclient;                           /* what XCLIENT has said so far */
    unsigned recipients_accepted;
    unsigned final_replies; /* LMTP: answers given since CONTENT_END */
    unsigned errors;
    uint64_t content_bytes; /* of this message so far */
    struct span content;
    bool content_is_scanned; /* no line in `content` but the first begins with a dot */
    /* ... the implementation's own members below */
    struct smtp_content content_reader;
    bool content_is_broken;
    bool content_is_too_big;
    uint64_t chunk_size, chunk_left; /* bytes of this chunk */
    bool chunk_is_last, chunk_ends_in_cr;
    struct mail_reply chunk_refusal; /* for the chunk that is being dropped */
    unsigned chunk_refusals;         /* how often that is to be said */
    unsigned chunk_state_after;
    bool line_is_broken; /* the input goes on inside a command line that had a bare LF */
    bool line_is_too_long;
    size_t line_skipped; /* bytes dropped of a line that is too long; the session ends at 64 KiB */
};

/* Starts the machine and writes the greeting. */
void smtp_server_init(struct smtp_server *server, const struct smtp_server_options *options,
                      struct buffer *out);

enum smtp_server_event smtp_server_next(struct smtp_server *server, struct span *in,
                                        struct buffer *out);

/*
 * Answers SMTP_SERVER_STARTTLS, once the handshake is done.  The input that was behind the
 * command is still in `in` at the question; the session refuses it (RFC 3207 section 6).
 */
void smtp_server_tls_started(struct smtp_server *server);

/*
 * Answers CREDENTIALS: 235 accepts, and what is in options.auth is needed no more; 535 says that
 * they are wrong, 454 that nobody knows now, 421 ends the session.
 */
void smtp_server_judged(struct smtp_server *server, const struct mail_reply *reply,
                        struct buffer *out);

/*
 * Answers MAIL, RCPT, DATA or CONTENT_END; the answer to DATA is 354 or a refusal, no
 * other answer is 3xx.  The class of the code decides what follows: 2xx and 354 accept.
 * Code 421 ends the session.  `out` has room for at least SMTP_REPLY_SIZE_MAX bytes.
 */
void smtp_server_reply(struct smtp_server *server, const struct mail_reply *reply,
                       struct buffer *out);

/*
 * Writes an unasked 421, at any time; the machine is done.  Within content nothing was
 * answered yet: the client keeps its message.
 */
void smtp_server_goodbye(struct smtp_server *server, const char *text, struct buffer *out);

#endif
