/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailstead plan: who takes over whom, what is away from home, and what a failure would cost.
 *
 * Gathered (plan_gather.c) from the configuration, the daemons that can be asked and, when
 * none of them counts accounts, from the directory itself; judged by takeover.h; told by
 * plan_problems.c and plan_view.c.
 */
#ifndef MAILSTEAD_ADMIN_PLAN_H
#define MAILSTEAD_ADMIN_PLAN_H

#include <jansson.h>

#include "admin/command.h"
#include "admin/takeover.h"
#include "common/service/backend_set.h"
#include "directory/host_counts.h"

enum { PLAN_TEXT_SIZE = 256, PLAN_NODE_SIZE = 16, PLAN_SOURCE_SIZE = HOST_COUNTS_ERROR_SIZE + 64 };

/* How many frontends see a backend serve, and how many see it fail. */
struct plan_health {
    unsigned up, down;
    char node[PLAN_NODE_SIZE]; /* its own state, as node-status has it; empty: it was not told */
};

struct plan {
    const struct config *config;
    struct backend_set backends;
    struct takeover_backend *rows; /* owned; of the backends, in their order */
    struct plan_health *health;    /* owned; likewise */
    struct takeover_table table;   /* over `rows` */
    struct host_counts counts;
    bool is_counted;
    char source[PLAN_SOURCE_SIZE]; /* where the accounts were counted, or why they were not */
};

/* `config` is borrowed.  Waits for daemons and the directory, some seconds at most for each. */
void plan_gather(struct plan *plan, const struct config *config);
void plan_fini(struct plan *plan);

/* "up", "leaving", "down", "not known": of backend `index`, and who says so. */
const char *plan_state(const struct plan *plan, size_t index, char text[PLAN_TEXT_SIZE]);

/* Why nobody takes over, in words behind "nobody: ". */
const char *plan_lack(enum takeover_lack lack);

/* What needs attention: an array of texts that the caller owns. */
json_t *plan_problems(const struct plan *plan);

/* All of it as one object, the caller's; `problems` is borrowed. */
json_t *plan_to_json(const struct plan *plan, json_t *problems);

/* For people, to standard output. */
void plan_print(const struct plan *plan);

enum command_status plan_run(const struct arguments *arguments);

#endif
