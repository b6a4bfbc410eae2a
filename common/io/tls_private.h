/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that make TLS contexts share: tls.c and tls_server.c. */
#ifndef MAILSTEAD_IO_TLS_PRIVATE_H
#define MAILSTEAD_IO_TLS_PRIVATE_H

#include "common/io/tls.h"

/* A context with what both sides want; NULL when there is no memory.  The library's error queue is
 * empty. */
SSL_CTX *tls_context_new(const SSL_METHOD *method);

/* Describes what the library's error queue says about `what`, and empties the queue. */
void tls_describe(const char *what, char error[TLS_ERROR_SIZE]);

#endif
