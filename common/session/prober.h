/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes each backend for each protocol that a listener uses: connect, read the
 * greeting, close.  Now and then, and as soon as it greets, a probe also asks what the backend
 * offers (common/proto/offers.h), inside TLS when that is how sessions meet it; that asks of a
 * node's own store, too, whose health is not kept.  One worker of a daemon does it for all; the
 * outcome is on the board.
 */
#ifndef MAILSTEAD_SESSION_PROBER_H
#define MAILSTEAD_SESSION_PROBER_H

#include "common/session/service.h"

struct prober; /* on the heap */

/* Starts probing the service's backends, each `probe_interval_ms`. */
struct prober *prober_start(const struct session_service *service);

/* The set of backends has changed: takes in those that have joined, drops those that have left. */
void prober_follow(struct prober *prober);

/* Ends it; `stopped` is called later from the loop. */
void prober_stop(struct prober *prober, void (*stopped)(void *context), void *context);

#endif
