/* SPDX-License-Identifier: Apache-2.0 */
/* Whether certificates and their keys can be used, before any process depends on them. */
#ifndef MAILSTEAD_SERVICE_CONFIG_CERTIFICATE_H
#define MAILSTEAD_SERVICE_CONFIG_CERTIFICATE_H

#include <stdbool.h>

#include "common/service/config.h"

/*
 * True when tls_server_context takes all of it; else `*wrong` and `error` as it says.  Asks a
 * process of its own, since the library leaves parts of a key in the memory that it frees, and what
 * the caller forks later must not have them.  Waits for that process.
 */
bool config_certificates_are_usable(const struct tls_config *tls, size_t *wrong,
                                    char error[TLS_ERROR_SIZE]) __attribute__((warn_unused_result));

/*
 * What tls_server_context wants for `tls`, which has a certificate; `certificates` has room for
 * other_count + 1.
 */
struct tls_server_options config_tls_options(const struct tls_config *tls,
                                             struct tls_certificate *certificates);

#endif
