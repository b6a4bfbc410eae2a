/* SPDX-License-Identifier: Apache-2.0 */
/* `mailstead node`: what a backend node does, and the orders to leave, to return, to serve. */
#ifndef MAILSTEAD_ADMIN_NODE_H
#define MAILSTEAD_ADMIN_NODE_H

#include <jansson.h>

#include "admin/command.h"

enum command_status node_status_run(const struct arguments *arguments);
enum command_status node_leave_run(const struct arguments *arguments);
enum command_status node_return_run(const struct arguments *arguments);
enum command_status node_override_run(const struct arguments *arguments);

/*
 * Gives an order to the node of this machine, and waits as long as its hooks and `deadline_s` may
 * take.  `request` is taken over; what comes meanwhile is printed.  The last line that is no event,
 * owned by the caller; NULL after it was said what went wrong.
 */
json_t *node_order(const struct arguments *arguments, json_t *request, unsigned deadline_s);

/* What the node says of itself, owned by the caller; NULL after it was said what went wrong. */
json_t *node_ask_status(const struct arguments *arguments);

/* The state of a storage for people: "held" for one that is detached until a word comes. */
const char *node_storage_state(const json_t *storage);

/* Writes the storages as a table. */
void node_print_storages(const json_t *storages);

#endif
