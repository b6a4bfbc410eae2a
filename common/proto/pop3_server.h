/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POP3 towards the mail client, up to its credentials: RFC 1939's AUTHORIZATION
 * state with CAPA (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034), response codes
 * (RFC 2449, RFC 3206), and XCLIENT from a trusted peer.
 */
#ifndef MAILSTEAD_PROTO_POP3_SERVER_H
#define MAILSTEAD_PROTO_POP3_SERVER_H

#include "common/proto/login_head.h"

enum {
    POP3_SERVER_LINE_MAX = SASL_LINE_MAX, /* bytes of a command or response with its CRLF */
    POP3_SERVER_ERRORS_MAX = 10 /* commands answered with -ERR for their form before the end */
};

struct pop3_server {
    struct login_server head;
};

extern const struct login_server_ops pop3_server_ops;

#endif
