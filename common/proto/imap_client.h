/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IMAP towards a backend, up to its answer to the credentials: RFC 3501, RFC 9051,
 * STARTTLS, ID (RFC 2971) with whom we speak for, SASL-IR (RFC 4959).
 *
 * A login is one round trip after the greeting: ID and AUTHENTICATE with its
 * response where the greeting says that this is understood, else ID and LOGIN with
 * quoted strings.  Only a token, and credentials that are not ASCII, towards a backend that
 * announced nothing (it cannot, before STARTTLS), need one more.  A token that is refused by a
 * challenge (RFC 7628 section 3.2.3) is given up at once, and the challenge is kept.
 */
#ifndef MAILSTEAD_PROTO_IMAP_CLIENT_H
#define MAILSTEAD_PROTO_IMAP_CLIENT_H

#include "common/proto/login_head.h"

struct imap_client {
    struct login_client head;
    bool knows_capabilities; /* the three below were announced, not guessed */
    bool has_id, has_sasl_ir, has_mechanism;
    unsigned after_id;     /* the state that follows the answer to ID */
    uint64_t literal_left; /* bytes of untagged data still to pass over */
    bool in_untagged;      /* the next line goes on with untagged data, behind a literal */
};

extern const struct login_client_ops imap_client_ops;

#endif
