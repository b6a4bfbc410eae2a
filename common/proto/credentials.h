/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client presents when it logs in, by whatever mechanism.  Held in fixed
 * arrays, wiped as soon as somebody has judged them.
 */
#ifndef MAILSTEAD_PROTO_CREDENTIALS_H
#define MAILSTEAD_PROTO_CREDENTIALS_H

#include "common/base/span.h"

enum {
    LOGIN_NAME_SIZE = 320,      /* an authcid and its NUL */
    LOGIN_PASSWORD_SIZE = 1025, /* a password and its NUL */
    LOGIN_TOKEN_SIZE = 8193     /* a bearer token and its NUL */
};

enum credentials_kind {
    CREDENTIALS_PASSWORD,    /* LOGIN, USER and PASS, SASL PLAIN, SASL LOGIN */
    CREDENTIALS_XOAUTH2,     /* a bearer token, replayed by the mechanism that it came by */
    CREDENTIALS_OAUTHBEARER, /* the same, RFC 7628 */
    CREDENTIALS_EXTERNAL     /* no secret: the client's certificate was verified */
};

struct credentials {
    enum credentials_kind kind;
    char authcid[LOGIN_NAME_SIZE]; /* whose account, as presented; no CR, LF or NUL inside */
    union {
        char password[LOGIN_PASSWORD_SIZE]; /* PASSWORD: no CR, LF or NUL inside */
        char token[LOGIN_TOKEN_SIZE];       /* OAUTH: visible ASCII without spaces */
    };
};

/* Wipes all of it. */
void credentials_wipe(struct credentials *credentials);

/* The password or the token; empty when there is none. */
struct span credentials_secret(const struct credentials *credentials);

/* True when a machine may send `name`: not empty, not too long, no CR or LF. */
bool credentials_name_is_sendable(const char *name);

/* True when `token` may be sent: not empty, not too long, visible ASCII without spaces. */
bool credentials_token_is_sendable(const char *token);

/*
 * True when `credentials` can be replayed under `name`.  EXTERNAL ones cannot: they hold
 * nothing that a backend could verify.
 */
bool credentials_are_sendable(const struct credentials *credentials, const char *name);

#endif
