/* SPDX-License-Identifier: Apache-2.0 */
/* The worker of a frontend: sessions, and deliveries from the queue. */
#ifndef MAILSTEAD_FRONTEND_WORKER_H
#define MAILSTEAD_FRONTEND_WORKER_H

#include "common/service/child.h"

/* The run function of the role "worker". */
bool frontend_worker_run(struct child *child);

#endif
