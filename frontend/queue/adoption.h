/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking over the queue of a frontend that is dead:
 *
 *     queue-adopt {"directory"}   moves all that waits there into this queue: a line with
 *                                 "messages", "recipients" and "unreadable" (left there)
 *
 * Each message is moved exactly once, whenever either side is killed: it is in this queue, with a
 * note of where it came from, before it is taken out there; asked again, the adoption first takes
 * out there what is noted.  Lines with "is_partial" before the last say that it goes on.  When the
 * client leaves, it stops; asked again it goes on.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_ADOPTION_H
#define MAILSTEAD_FRONTEND_QUEUE_ADOPTION_H

#include "frontend/queue/commands.h"

/* The run function of the command, with a struct commands as context. */
void adoption_run(struct control_request *request, json_t *arguments, void *context);

/* The same without a client, for a database of our own that was set aside. */
void adoption_salvage(struct commands *commands, const char *directory);

#endif
