/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS sessions that a client context can resume.  They belong to the context, and with it to
 * what it demands of a peer: another configuration has another context and none of these.
 */
#ifndef MAILSTEAD_IO_TLS_SESSIONS_H
#define MAILSTEAD_IO_TLS_SESSIONS_H

#include <stdbool.h>

#include <openssl/ssl.h>

enum {
    TLS_SESSIONS_EACH = 8,     /* kept of one peer */
    TLS_SESSIONS_PEERS = 4096, /* of more peers none is kept */
    /* The peer shows its certificate so often, and when the last that it showed has ended. */
    TLS_SESSIONS_AGE_S = 2 * 3600
};

/* Has `context` keep sessions; they are freed with it. */
bool tls_sessions_keep(SSL_CTX *context) __attribute__((warn_unused_result));

/*
 * Before a handshake as client: sessions that the peer gives are kept for `peer` (a name and
 * port, for instance) when it has proved to be `verify_name` (NULL: anybody), and one such is
 * offered now.  One of TLS 1.3 is offered once only (RFC 8446 appendix C.4).
 */
void tls_sessions_offer(SSL *ssl, const char *verify_name, const char *peer);

#endif
