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
    SSL_CTX *tls_relay;  /* towards the relay host; NULL: without TLS */
    struct list running; /* list_init before the first deliver_start */
};

/* Carries `job` out and finishes it; `service` outlives it. */
void deliver_start(struct deliver_service *service, struct queue_delivery *job);

/*
 * Ends all that run: what has not been sent to its end goes back to the queue as it was, else
 * the outcome is unknown.  A job whose file is being read finishes after that; `running` is
 * empty then.
 */
void deliver_give_up_all(struct deliver_service *service);

#endif
