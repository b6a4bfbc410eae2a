/* SPDX-License-Identifier: Apache-2.0 */
/* The queue process: the only owner of queue.db. */
#ifndef MAILSTEAD_FRONTEND_QUEUE_PROCESS_H
#define MAILSTEAD_FRONTEND_QUEUE_PROCESS_H

#include "common/service/child.h"

/* The run function of the role "queue". */
bool queue_run(struct child *child);

#endif
