/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon tells of its backends on control.sock. */
#ifndef MAILSTEAD_DIRECTORY_BACKEND_STATUS_H
#define MAILSTEAD_DIRECTORY_BACKEND_STATUS_H

#include <jansson.h>

#include "common/service/backend.h"
#include "common/service/board.h"

/*
 * One backend as an object, the caller's: backend, source (configuration, directory), state,
 * weight, addresses, lmtp_port, imap_port, pop3_port, sieve_port, and for lmtp, imap, pop3 and
 * sieve each what this daemon's `board` knows: state (unknown, up, down), since_s and, by the rules
 * of `config`, is_ramped: it is let in again slowly.
 */
json_t *backend_status(const struct backend *backend, struct board *board,
                       const struct health_config *config);

/*
 * Calls `sample` with each sample (common/service/metrics.h) of what the board knows of this
 * backend, which it takes over; a protocol of which nothing is known has none.
 */
void backend_metrics(const struct backend *backend, struct board *board,
                     const struct health_config *config,
                     void (*sample)(json_t *sample, void *context), void *context);

/* The backend of such an object, but for its health; false when it is none. */
bool backend_from_status(const json_t *status, struct backend *backend)
    __attribute__((warn_unused_result));

#endif
