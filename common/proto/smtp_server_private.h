/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the SMTP server machine share; smtp_server.h is its interface. */
#ifndef MAILSTEAD_PROTO_SMTP_SERVER_PRIVATE_H
#define MAILSTEAD_PROTO_SMTP_SERVER_PRIVATE_H

#include "common/proto/smtp_server.h"

/* The states of the machine; their table is in smtp_server.c. */
enum {
    GREETED,
    READY, /* after the hello, no transaction */
    ASKED_MAIL,
    ENVELOPE, /* MAIL was accepted */
    ASKED_RCPT,
    ASKED_DATA,
    CONTENT,
    SKIPPING, /* the rest of a refused message */
    REFUSING, /* its replies are being written */
    ASKED_FINAL,
    ASKED_STARTTLS,
    ASKED_CHUNKS,   /* before the first chunk of BDAT */
    CHUNK,          /* content of known length */
    CHUNKS,         /* between two */
    CHUNK_SKIPPING, /* a chunk that is refused */
    CHUNK_REFUSING, /* its replies are being written */
    CHUNKS_FAILED,  /* until RSET, RFC 3030 section 2 */
    AUTHENTICATING, /* the next line is a response of its exchange */
    ASKED_AUTH,
    DONE
};

/* Those in which a command may stand. */
#define SMTP_SERVER_COMMAND_STATES                                                                 \
    (STATE_BIT(GREETED) | STATE_BIT(READY) | STATE_BIT(ENVELOPE) | STATE_BIT(CHUNKS) |             \
     STATE_BIT(CHUNKS_FAILED))

/* Writes a reply of the machine's own. */
void smtp_server_say(int code, const char *enhanced, const char *text, struct buffer *out);

/* Says who we are, as the first line of a session. */
void smtp_server_greet(const struct smtp_server *server, struct buffer *out);

/* Refuses a command by a 5xx, or by 421 and the end when there were too many. */
enum smtp_server_event smtp_server_refuse(struct smtp_server *server, int code,
                                          const char *enhanced, const char *text,
                                          struct buffer *out);

/*
 * Executes one clean command line, without its CRLF.  NEED_INPUT stands for "answered"; any other
 * event is for the session.
 */
enum smtp_server_event smtp_server_execute(struct smtp_server *server, struct span line,
                                           struct buffer *out);

/* True when AUTH may be used now, as far as TLS goes. */
bool smtp_server_may_authenticate(const struct smtp_server *server);

/* The line of the answer to EHLO, if there is one. */
void smtp_server_offer_auth(const struct smtp_server *server, struct buffer *out);

enum smtp_server_event smtp_server_execute_auth(struct smtp_server *server, struct span arguments,
                                                struct buffer *out);

/* In the state AUTHENTICATING: takes a clean line. */
enum smtp_server_event smtp_server_take_response(struct smtp_server *server, struct span line,
                                                 struct buffer *out);

/* In the state AUTHENTICATING: the exchange cannot go on. */
void smtp_server_give_up_auth(struct smtp_server *server);

/* Content may come, in `state`: CONTENT or CHUNK. */
void smtp_server_begin_content(struct smtp_server *server, unsigned state);

/*
 * Hands a piece of content out, but no byte behind the limit: what is beyond is content_is_too_big,
 * to be refused at the next call.  False: nothing of it fits, refuse it now.
 */
bool smtp_server_hand_out(struct smtp_server *server, struct span piece);

/* Hands out content, in the state CONTENT. */
enum smtp_server_event smtp_server_read_content(struct smtp_server *server, struct span *in);

/* In the state REFUSING: the replies for a message that the machine refused.  FLUSH: not yet all.
 */
enum smtp_server_event smtp_server_write_refusals(struct smtp_server *server, struct buffer *out);

/* One reply more after the content; the last one ends the transaction. */
void smtp_server_count_final_reply(struct smtp_server *server);

/* BDAT: a chunk follows, whatever becomes of it. */
enum smtp_server_event smtp_server_execute_bdat(struct smtp_server *server, struct span arguments,
                                                struct buffer *out);

/* The session's answer before the first chunk. */
void smtp_server_chunks_answered(struct smtp_server *server, const struct mail_reply *reply);

/*
 * In the states CHUNK, CHUNK_SKIPPING and CHUNK_REFUSING.  NEED_INPUT also when the chunk is over:
 * the state tells.
 */
enum smtp_server_event smtp_server_read_chunk(struct smtp_server *server, struct span *in,
                                              struct buffer *out);

#endif
