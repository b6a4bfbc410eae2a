/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administrator's orders to recipients that wait:
 *
 *     queue-hold      they wait until they are released
 *     queue-release   those that are held or set aside are due now
 *     queue-flush     pending ones are due now; not those whose last reply was lost, unless
 *                     "unknown" is true
 *     queue-delete    they are taken out, and nobody is told
 *     queue-bounce    they are given up, and their sender is told
 *
 * Which ones: see filter.h; "dry_run" true: only count.  Who is being delivered at the moment
 * is left alone.  The answer's last line says what was "matched", "changed", of how many
 * "messages", how many were "in_delivery" or "unknown" and so left alone, and is_dry_run. Lines
 * with "is_partial" before it say that a long order goes on.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_ORDERS_H
#define MAILSTEAD_FRONTEND_QUEUE_ORDERS_H

#include "frontend/queue/commands.h"

/* The run functions of the commands, with a struct commands as context. */
void order_run_hold(struct control_request *request, json_t *arguments, void *context);
void order_run_release(struct control_request *request, json_t *arguments, void *context);
void order_run_flush(struct control_request *request, json_t *arguments, void *context);
void order_run_delete(struct control_request *request, json_t *arguments, void *context);
void order_run_bounce(struct control_request *request, json_t *arguments, void *context);

#endif
