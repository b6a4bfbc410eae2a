/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a certificate and its key can be used, before any process depends on them. */
#ifndef MAILSTEAD_SERVICE_CONFIG_CERTIFICATE_H
#define MAILSTEAD_SERVICE_CONFIG_CERTIFICATE_H

#include <stdbool.h>

#include "common/io/tls.h"

/*
 * True when tls_server_context takes the PEM texts; else `error` says why.  Asks a process of its
 * own, since the library leaves parts of a key in the memory that it frees, and what the caller
 * forks later must not have them.  Waits for that process.
 */
bool config_certificate_is_usable(const char *certificate, const char *key,
                                  char error[TLS_ERROR_SIZE]) __attribute__((warn_unused_result));

#endif
