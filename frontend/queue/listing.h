/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administrator's questions about what waits:
 *
 *     queue-list {"limit", "after"}  a line a message, with those of its recipients that the
 *                                    filter means (filter.h), by rising id, after message "after"
 *     queue-show {"id"}              one such line, with all recipients
 *
 * A client that wants more than "limit" asks again, after the last id that it got: so nothing
 * piles up for one that reads slowly.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_LISTING_H
#define MAILSTEAD_FRONTEND_QUEUE_LISTING_H

#include "frontend/queue/commands.h"

/* The run functions of the commands, with a struct commands as context. */
void listing_run_list(struct control_request *request, json_t *arguments, void *context);
void listing_run_show(struct control_request *request, json_t *arguments, void *context);

#endif
