/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS side of a transport; for transport.c only, but for transport_receive, which is there.
 * Each call leaves the transport's input, output, tls_wants and error as they are to be read next,
 * and calls no event.
 */
#ifndef MAILSTEAD_IO_TRANSPORT_TLS_H
#define MAILSTEAD_IO_TRANSPORT_TLS_H

#include "common/io/transport.h"

/* TLS can need the other direction of the descriptor than its caller does. */
enum transport_tls_wants {
    TRANSPORT_TLS_READ_WANTS_WRITABLE = 1, /* also: the handshake does */
    TRANSPORT_TLS_WRITE_WANTS_READABLE = 2
};

/* The most that a write which cannot be sent has already sealed in a record (RFC 8446 section 5.1).
 */
enum { TRANSPORT_TLS_RECORD_MAX = 16384 };

/* recv(2), never interrupted; leaves transport->is_dry as it is to be read next. */
ssize_t transport_receive(struct transport *transport, char *target, size_t size);

/* Makes the SSL object; false when there is no memory for it or `verify_name` cannot be set. */
bool transport_tls_start_server(struct transport *transport, SSL_CTX *context)
    __attribute__((warn_unused_result));
bool transport_tls_start_client(struct transport *transport, SSL_CTX *context,
                                const char *verify_name, const char *peer)
    __attribute__((warn_unused_result));

/* Goes on with the handshake; moves transport->handshake when it is done, or breaks the transport.
 */
void transport_tls_advance(struct transport *transport);

/* As transport_read. */
ssize_t transport_tls_read(struct transport *transport, char *target, size_t size);

/* Tries one write of at least one byte: the count, 0 when blocked, or ERROR. */
ssize_t transport_tls_write(struct transport *transport, struct span bytes);

/* Sends close_notify; false when the descriptor does not take it now. */
bool transport_tls_shutdown(struct transport *transport) __attribute__((warn_unused_result));

#endif
