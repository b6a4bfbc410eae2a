/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each login machine begins with, whatever its protocol, and what is done with it alone.
 *
 * A machine of the server side has a `struct login_server` as its first member, one of the client
 * side a `struct login_client`: a pointer to the machine is a pointer to its head.
 */
#ifndef MAILSTEAD_PROTO_LOGIN_HEAD_H
#define MAILSTEAD_PROTO_LOGIN_HEAD_H

#include "common/base/state.h"
#include "common/proto/login.h"

/* The states of a server machine. */
enum {
    LOGIN_SERVER_COMMAND,  /* the next line is a command */
    LOGIN_SERVER_RESPONSE, /* the next line answers a challenge */
    LOGIN_SERVER_TLS,      /* LOGIN_STARTTLS is not answered yet */
    LOGIN_SERVER_TRYING,   /* LOGIN_CREDENTIALS is not answered yet */
    LOGIN_SERVER_DONE
};

struct login_server {
    struct state state;
    struct login_server_options options;
    struct credentials credentials; /* POP3: the authcid alone after USER */
    struct sasl_exchange exchange;
    bool has_exchange;             /* the credentials come by it */
    char refusal[LOGIN_TEXT_SIZE]; /* of a token, until the client has answered the challenge */
    struct forwarded forwarded;    /* by a trusted peer; an empty address: nothing */
    unsigned errors;               /* commands that were wrong in their form */
};

/* In LOGIN_SERVER_COMMAND, with copies of `options`. */
void login_server_init(struct login_server *server, const struct login_server_options *options);

/* Whether credentials may be sent now. */
bool login_server_takes_credentials(const struct login_server *server);

/* Whether STARTTLS is offered now. */
bool login_server_offers_tls(const struct login_server *server);

/* Whether it awaits a line: a command or a response. */
bool login_server_is_listening(const struct login_server *server);

/* After LOGIN_CREDENTIALS, until it is answered.  The session may wipe them. */
struct credentials *login_server_credentials(struct login_server *server);

/* A name and password are in `credentials`: they are to be tried. */
enum login_event login_server_try_password(struct login_server *server);

/* Begins an exchange, see sasl_start; a result of SASL_OK leads to TRYING, a challenge to RESPONSE.
 */
enum sasl_result login_server_start_exchange(struct login_server *server, struct span mechanism,
                                             const struct span *initial)
    __attribute__((warn_unused_result));

/* In RESPONSE: goes on with the exchange, see sasl_respond; the states as above, or COMMAND. */
enum sasl_result login_server_respond(struct login_server *server, struct span response)
    __attribute__((warn_unused_result));

/* The line that came cannot be read: an exchange is over, and what was to be told behind it. */
void login_server_drop_exchange(struct login_server *server);

/* TLS has begun: what was said before it is forgotten (RFC 9051 section 6.2.1, RFC 2595 section 4).
 */
void login_server_tls_started(struct login_server *server);

/*
 * The credentials were refused with `text`, one line.  Gives the challenge that has to be sent
 * when their mechanism is told by one, and keeps `text` for when that is answered; else an empty
 * span, and `text` is to be sent.
 */
struct span login_server_refused(struct login_server *server, const struct login_refusal *refusal,
                                 struct span text) __attribute__((warn_unused_result));

/* The credentials were accepted: they are wiped, the machine is done. */
void login_server_accepted(struct login_server *server);

/* Wipes what is secret.  May be called again. */
void login_server_fini(struct login_server *server);

struct login_client {
    struct state state;
    struct login_client_options options;
    enum sasl_mechanism mechanism;       /* of the credentials, when they go by one */
    enum login_denial denial;            /* after LOGIN_CLIENT_REFUSED */
    bool has_challenge;                  /* the token was refused by a challenge */
    char challenge[SASL_CHALLENGE_SIZE]; /* it, in base64; or empty */
    char text[LOGIN_TEXT_SIZE];          /* after the end: what the backend said */
};

/* A head that holds its options and else zeros begins in state `first` of `rows`. */
void login_client_start(struct login_client *client, const struct state_row *rows, unsigned first);

/*
 * The backend answers the whole credentials with a challenge, `text` in base64: it refuses a token,
 * and awaits SASL_FAILURE_ANSWER.  False when it cannot mean that: a password, or the second one.
 */
bool login_client_keep_challenge(struct login_client *client, struct span text)
    __attribute__((warn_unused_result));

/* After ACCEPTED, REFUSED or FAILED: less than LOGIN_TEXT_SIZE bytes, one line without CRLF. */
struct span login_client_text(const struct login_client *client);

/* After REFUSED: the challenge that told of it, in base64; empty when there was none. */
struct span login_client_challenge(const struct login_client *client);

#endif
