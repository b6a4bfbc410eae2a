/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ManageSieve towards the mail client, up to its credentials: RFC 5804, with AUTHENTICATE by any
 * SASL mechanism, and XCLIENT, as Dovecot takes it, from a trusted peer.
 */
#ifndef MAILSTEAD_PROTO_SIEVE_SERVER_H
#define MAILSTEAD_PROTO_SIEVE_SERVER_H

#include "common/proto/imap_parse.h"
#include "common/proto/login_head.h"

enum { SIEVE_SERVER_ERRORS_MAX = 10 /* commands answered with NO for their form before BYE */ };

struct sieve_server {
    struct login_server head;
    unsigned continued;        /* literals of the unfinished command */
    bool is_owed_capabilities; /* TLS has begun: they are told unasked */
};

extern const struct login_server_ops sieve_server_ops;

#endif
