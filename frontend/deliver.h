/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deliveries from the queue: one message to some recipients on one backend, or at the
 * relay host.  The queue decides when and to whom; here it is carried out, and each
 * recipient's fate is told.
 */
#ifndef MAILSTEAD_FRONTEND_DELIVER_H
#define MAILSTEAD_FRONTEND_DELIVER_H

#include "common/session/service.h"
#include "frontend/queue_client.h"

struct deliver_service {
    const struct session_service *sessions;
    SSL_CTX *tls_relay; /* towards the relay host; NULL: without TLS */
};

/* Carries `job` out and finishes it. */
void deliver_start(const struct deliver_service *service, struct queue_delivery *job);

#endif
