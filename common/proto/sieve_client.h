/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ManageSieve towards a backend, up to its answer to the credentials: RFC 5804, and XCLIENT as
 * Dovecot takes it, when the backend says that it does.
 *
 * What it gives as text of an answer has a response code in brackets, as in IMAP.
 */
#ifndef MAILSTEAD_PROTO_SIEVE_CLIENT_H
#define MAILSTEAD_PROTO_SIEVE_CLIENT_H

#include "common/base/state.h"
#include "common/proto/login.h"

struct sieve_client {
    struct state state;
    struct login_client_options options;
    bool takes_xclient;   /* a capability */
    size_t literal_left;  /* bytes of a literal that are passed over */
    bool in_literal_line; /* the next line is the rest of one whose literal was passed over */
    enum login_denial denial;
    bool has_challenge;
    unsigned status; /* of the reply that is being read */
    enum sasl_mechanism mechanism;
    char challenge[SASL_CHALLENGE_SIZE]; /* by which a token was refused; or empty */
    char text[LOGIN_TEXT_SIZE];
};

extern const struct login_client_ops sieve_client_ops;

#endif
