/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postfix's XCLIENT: a mail server or filter that is trusted says whose mail it passes on.  With
 * Dovecot's SESSION and TTL, a frontend or node does.
 * Attributes come in any number of commands; what one does not name stays as it was.
 */
#ifndef MAILSTEAD_PROTO_SMTP_XCLIENT_H
#define MAILSTEAD_PROTO_SMTP_XCLIENT_H

#include "common/proto/login.h"

/* Those that are read: what EHLO says of it. */
#define SMTP_XCLIENT_ATTRIBUTES "NAME ADDR PORT PROTO HELO SESSION TTL"

struct smtp_xclient {
    struct forwarded client; /* an empty address: nothing, or it is not known */
    char name[256];          /* of the client by DNS, printable; empty: as before */
    char helo[256];          /* what it called itself; the same */
    bool is_extended;        /* it said EHLO */
};

/*
 * Reads "ADDR=192.0.2.1 PORT=1025 ..." into `xclient`.  False, and nothing changed, when an
 * attribute is not known or not well-formed.
 */
bool smtp_xclient_read(struct span arguments, struct smtp_xclient *xclient)
    __attribute__((warn_unused_result));

#endif
