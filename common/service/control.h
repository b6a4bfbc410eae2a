/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane inside one daemon.  The child "control" listens on the root-only
 * stream socket control.sock (JSON, one object a line, for the `mailstead` command) and on
 * hub.sock, to which every other child connects.  A command goes to the
 * roles that have it; their answers come back line by line.
 *
 *     -> {"command":"queue-list","limit":100}
 *     <- {"id":1,...}\n{"id":2,...}\n{"end":true}\n          or {"end":true,"error":"..."}
 */
#ifndef MAILSTEAD_SERVICE_CONTROL_H
#define MAILSTEAD_SERVICE_CONTROL_H

#include <jansson.h>

#include "common/service/child.h"

struct control_request; /* one command being answered */

struct control_command {
    const char *name; /* "queue-list" */
    /* Answers now or later: any number of control_reply, then one control_finish. */
    void (*run)(struct control_request *request, json_t *arguments, void *context);
};

struct control_client; /* a child's connection to the hub, made again when it breaks */

/* Starts serving `commands` (ended by a NULL name) to the hub.  Owned by the caller until stop. */
struct control_client *control_client_start(struct child *child,
                                            const struct control_command *commands, void *context);
void control_client_stop(struct control_client *client);

/* One line of the answer; takes over the reference to `line`. */
void control_reply(struct control_request *request, json_t *line);

/* The end of the answer; `error` NULL: success.  Frees the request. */
void control_finish(struct control_request *request, const char *error);

/* The run function of the role "control", for both daemons. */
bool control_run(struct child *child);

/*
 * For the `mailstead` command: asks the daemon whose socket is `path`, blocking
 * up to `timeout_ms` between lines.  `line` gets each answer.  False and `error`
 * when it cannot be reached or answered with an error.
 */
bool control_ask(const char *path, json_t *request, unsigned timeout_ms,
                 void (*line)(json_t *object, void *context), void *context, char *error,
                 size_t error_size);

#endif
