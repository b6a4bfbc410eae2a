/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes each backend for each protocol that a listener uses: connect, read the
 * greeting, close.  One worker of a daemon does it for all; the outcome is on the board.
 */
#ifndef MAILSTEAD_SESSION_PROBER_H
#define MAILSTEAD_SESSION_PROBER_H

#include "common/session/service.h"

struct prober; /* on the heap */

/* Starts probing the backends of the service's configuration, each `probe_interval_ms`. */
struct prober *prober_start(const struct session_service *service);

/* Ends it; `stopped` is called later from the loop. */
void prober_stop(struct prober *prober, void (*stopped)(void *context), void *context);

#endif
