/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ManageSieve towards the mail client, up to its credentials: RFC 5804, with AUTHENTICATE by any
 * SASL mechanism, and XCLIENT, as Dovecot takes it, from a trusted peer.
 */
#ifndef MAILSTEAD_PROTO_SIEVE_SERVER_H
#define MAILSTEAD_PROTO_SIEVE_SERVER_H

#include "common/base/state.h"
#include "common/proto/imap_parse.h"

enum { SIEVE_SERVER_ERRORS_MAX = 10 /* commands answered with NO for their form before BYE */ };

struct sieve_server {
    struct state state;
    struct login_server_options options;
    struct credentials credentials;
    struct sasl_exchange exchange;
    char refusal[LOGIN_TEXT_SIZE]; /* of a token, until the client has answered the challenge */
    struct forwarded forwarded;
    unsigned continued;        /* literals of the unfinished command */
    bool is_owed_capabilities; /* TLS has begun: they are told unasked */
    unsigned errors;
};

extern const struct login_server_ops sieve_server_ops;

#endif
