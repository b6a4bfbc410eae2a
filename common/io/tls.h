/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts: ours towards clients, and towards backends. */
#ifndef MAILSTEAD_IO_TLS_H
#define MAILSTEAD_IO_TLS_H

#include <stdbool.h>

#include <openssl/ssl.h>

enum { TLS_ERROR_SIZE = 256, TLS_TICKET_KEY_SIZE = 80 };

/*
 * A server context: TLS 1.2 and newer, the certificate chain and key in the
 * PEM texts `certificate` and `key`, released buffers when idle.  `ticket_key`
 * (TLS_TICKET_KEY_SIZE bytes, or NULL) makes tickets of one worker good in all.
 * NULL and `error` when the PEM is wrong; `error` never holds key material.
 */
SSL_CTX *tls_server_context(const char *certificate, const char *key,
                            const unsigned char *ticket_key, char error[TLS_ERROR_SIZE]);

/*
 * A client context towards backends or the relay host.  `verify` demands a
 * chain to `ca` (a PEM file; NULL: the system's store).
 */
SSL_CTX *tls_client_context(const char *ca_file, bool verify, char error[TLS_ERROR_SIZE]);

#endif
