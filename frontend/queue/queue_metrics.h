/* SPDX-License-Identifier: Apache-2.0 */
/* What the queue shows at /metrics (common/service/metrics.h). */
#ifndef MAILSTEAD_FRONTEND_QUEUE_METRICS_H
#define MAILSTEAD_FRONTEND_QUEUE_METRICS_H

#include "frontend/queue/commands.h"

/* The command "metrics", with a struct commands as context. */
void queue_metrics_run(struct control_request *request, json_t *arguments, void *context);

#endif
