/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POP3 towards a backend, up to its answer to the credentials: RFC 1939, STLS
 * (RFC 2595), AUTH (RFC 5034), XCLIENT as Dovecot takes it.
 *
 * A backend whose greeting has [XCLIENT] trusts us and is Dovecot or our own: it
 * gets XCLIENT and AUTH PLAIN in one packet, so that a login is one round trip.
 * One that has announced SASL PLAIN and AUTH-RESP-CODE gets AUTH PLAIN, too; when it refuses that
 * without the code that it promised for wrong credentials, it may have become another, and gets
 * what any other gets: USER and PASS, which every POP3 server knows, unless the name or
 * the password cannot be said that way.  A token that is refused by a challenge (RFC 7628
 * section 3.2.3) is given up at once, and the challenge is kept.
 */
#ifndef MAILSTEAD_PROTO_POP3_CLIENT_H
#define MAILSTEAD_PROTO_POP3_CLIENT_H

#include "common/proto/login_head.h"

struct pop3_client {
    struct login_client head;
    bool is_trusted;        /* the greeting had [XCLIENT] */
    unsigned after_xclient; /* the state that follows the reply to XCLIENT */
    bool may_say_user;      /* USER and PASS can follow an AUTH that was not understood */
};

extern const struct login_client_ops pop3_client_ops;

#endif
