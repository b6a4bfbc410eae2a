/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the daemon whose configuration the command was given, on its control.sock. */
#ifndef MAILSTEAD_ADMIN_DAEMON_H
#define MAILSTEAD_ADMIN_DAEMON_H

#include <jansson.h>

#include "admin/command.h"
#include "common/service/config.h"

enum { DAEMON_TIMEOUT_MS = 10000 };

/* The configuration for the command itself; NULL after every complaint was printed.  The caller
 * frees it. */
struct config *daemon_config(const struct arguments *arguments, bool read_secrets);

/*
 * Asks and collects the lines of the answer in an array that the caller owns.  Takes over
 * `request`.  NULL when the daemon cannot be reached or says no: `error` tells it in one line.
 */
json_t *daemon_ask(const struct config *config, json_t *request, char error[CONFIG_ERROR_SIZE]);

/* The path of the control socket of the daemon with this configuration. */
void daemon_socket(const struct config *config, char path[CONFIG_ERROR_SIZE]);

/*
 * As daemon_ask, of the daemon whose control socket is `path`; `line` gets each line as it comes,
 * borrowed, `timeout_ms` after the last one at most.
 */
bool daemon_ask_at(const char *path, json_t *request, unsigned timeout_ms,
                   void (*line)(json_t *object, void *context), void *context,
                   char error[CONFIG_ERROR_SIZE]);

/*
 * All of it for a subcommand that is one question: reads the configuration, asks `request`
 * (taken over), prints what went wrong.  NULL then.
 */
json_t *daemon_answer(const struct arguments *arguments, json_t *request);

#endif
