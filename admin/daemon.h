/* SPDX-License-Identifier: Apache-2.0 */
/* Asking one daemon: that whose configuration the command was given, or that of --node. */
#ifndef MAILSTEAD_ADMIN_DAEMON_H
#define MAILSTEAD_ADMIN_DAEMON_H

#include <jansson.h>

#include "admin/command.h"
#include "admin/reach.h"
#include "common/service/config.h"

enum { DAEMON_TIMEOUT_MS = 10000 };

/* The configuration for the command itself; NULL after every complaint was printed.  The caller
 * frees it. */
struct config *daemon_config(const struct arguments *arguments, bool read_secrets);

/* The path of the control socket of the daemon with this configuration. */
void daemon_socket(const struct config *config, char path[CONFIG_ERROR_SIZE]);

/*
 * Asks this machine's daemon and collects the lines of the answer in an array that the caller owns.
 * Takes over `request`.  NULL when the daemon cannot be reached or says no: `error` tells it in one
 * line.
 */
json_t *daemon_ask(const struct config *config, json_t *request, unsigned timeout_ms,
                   char error[CONFIG_ERROR_SIZE]);

/*
 * For a subcommand that is for one node: opens the configuration, and finds that of --node in the
 * cluster, or this machine's daemon.  False after it was said what is wrong; then nothing is open.
 */
struct daemon_one {
    struct config *config;
    struct reach reach;
    const struct reach_node *node;
};
bool daemon_open(struct daemon_one *one, const struct arguments *arguments);
void daemon_close(struct daemon_one *one);

/* Asks it; `request` is taken over.  False after it was said, with the node's name, what is wrong.
 */
bool daemon_tell(const struct daemon_one *one, json_t *request, unsigned timeout_ms,
                 void (*line)(json_t *object, void *context), void *context);

/* The same for an answer that is short: an array that the caller owns, or NULL. */
json_t *daemon_lines(const struct daemon_one *one, json_t *request);

/* All of it for a subcommand that is one question. */
json_t *daemon_answer(const struct arguments *arguments, json_t *request);
bool daemon_stream(const struct arguments *arguments, json_t *request, unsigned timeout_ms,
                   void (*line)(json_t *object, void *context), void *context);

/* Says on standard error what went wrong at a node. */
void daemon_complain(const struct reach_node *node, const char *error);

/* Puts the node's name into a line of JSON, if it has one in the configuration. */
void daemon_sign(const struct reach_node *node, json_t *line);

#endif
