/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts: ours towards clients, and towards backends. */
#ifndef MAILSTEAD_IO_TLS_H
#define MAILSTEAD_IO_TLS_H

#include <stdbool.h>

#include <openssl/ssl.h>

enum { TLS_ERROR_SIZE = 256 };

struct tls_tickets;

/* PEM texts: a certificate with its chain behind it, and its key. */
struct tls_certificate {
    const char *certificate, *key;
};

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_server_options {
    const struct tls_certificate
        *certificates;                 /* the first one is for clients that name no other */
    size_t certificate_count;          /* 1 or more */
    const struct tls_tickets *tickets; /* NULL: tickets are good in this context alone */
    enum tls_version min_version;
    const char *ciphers;        /* of TLS 1.2; NULL: the library's */
    const char *client_ca_file; /* PEM: clients are asked for a certificate; NULL: they are not */
};

/*
 * A server context that shows each client the certificate for the name that it asks for (SNI, RFC
 * 6066 section 3): one with just that name, or one with a wildcard in place of its first label, or
 * the first of all.  Of two certificates for a name the earlier one is shown; but certificates
 * with the same names and keys of different algorithms are one choice, made by what the client can
 * verify.  Buffers are released when idle.
 *
 * With client_ca_file a client may show a certificate.  One that is not valid does not end the
 * handshake: who it is must be asked by tls_peer_identity (tls_certificate.h).
 *
 * The texts are not kept.  NULL and `error` when something is wrong, with `*wrong` the
 * number of the certificate, or certificate_count when it is something else; `error` never holds
 * key material.
 */
SSL_CTX *tls_server_context(const struct tls_server_options *options, size_t *wrong,
                            char error[TLS_ERROR_SIZE]);

/*
 * A client context towards backends or the relay host.  `verify` demands a
 * chain to `ca` (a PEM file; NULL: the system's store).  Sessions are resumed as
 * transport_start_tls_client says.
 */
SSL_CTX *tls_client_context(const char *ca_file, bool verify, char error[TLS_ERROR_SIZE]);

/* Has a client context show a certificate to servers that ask for one; false and `error` when it is
 * of no use. */
bool tls_client_show(SSL_CTX *context, const struct tls_certificate *certificate,
                     char error[TLS_ERROR_SIZE]) __attribute__((warn_unused_result));

#endif
