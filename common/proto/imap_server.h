/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IMAP towards the mail client, up to its credentials: the not authenticated state
 * of RFC 3501 and RFC 9051 with STARTTLS, LOGIN, AUTHENTICATE, SASL-IR
 * (RFC 4959), LITERAL+ (RFC 7888) and ID (RFC 2971), which from a trusted peer
 * tells whom it speaks for.
 */
#ifndef MAILSTEAD_PROTO_IMAP_SERVER_H
#define MAILSTEAD_PROTO_IMAP_SERVER_H

#include "common/proto/imap_id.h"
#include "common/proto/imap_parse.h"
#include "common/proto/login_head.h"

enum {
    IMAP_SERVER_ERRORS_MAX = 10 /* commands answered with BAD or NO for their form before BYE */
};

struct imap_server {
    struct login_server head;
    char tag[IMAP_TAG_SIZE]; /* of the command that is being answered; "*" when it had none */
    struct imap_id id;  /* the first that came; of a trusted peer alone with what it forwards */
    bool has_id;        /* it has come; a later one is only answered */
    unsigned continued; /* literals of the unfinished command that were asked for */
};

extern const struct login_server_ops imap_server_ops;

#endif
