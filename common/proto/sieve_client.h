/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ManageSieve towards a backend, up to its answer to the credentials: RFC 5804, and XCLIENT as
 * Dovecot takes it, when the backend says that it does.
 *
 * What it gives as text of an answer has a response code in brackets, as in IMAP.
 */
#ifndef MAILSTEAD_PROTO_SIEVE_CLIENT_H
#define MAILSTEAD_PROTO_SIEVE_CLIENT_H

#include "common/proto/login_head.h"

struct sieve_client {
    struct login_client head;
    bool takes_xclient;   /* a capability */
    size_t literal_left;  /* bytes of a literal that are passed over */
    bool in_literal_line; /* the next line is the rest of one whose literal was passed over */
    unsigned status;      /* of the reply that is being read */
};

extern const struct login_client_ops sieve_client_ops;

#endif
