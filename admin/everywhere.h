/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes of the cluster a command line means, and asking all of them the same. */
#ifndef MAILSTEAD_ADMIN_EVERYWHERE_H
#define MAILSTEAD_ADMIN_EVERYWHERE_H

#include "admin/command.h"
#include "admin/reach.h"

/* What a command is for without --node and --local. */
enum everywhere_kind {
    EVERYWHERE_FRONTENDS, /* or this machine's daemon, where there is no frontend to be asked */
    EVERYWHERE_ALL,       /* the backends, too */
    EVERYWHERE_HERE       /* this machine's daemon; with --all, the frontends */
};

struct everywhere {
    struct config *config;
    struct reach reach;
    const struct reach_node **nodes; /* those that are to be asked */
    size_t count;
    /* Those of them that nobody can ask, although others can be: neither port nor socket. */
    const struct reach_node **unasked;
    size_t unasked_count;
};

/* False after it was said what is wrong; then nothing is open. */
bool everywhere_open(struct everywhere *everywhere, const struct arguments *arguments,
                     enum everywhere_kind kind);
void everywhere_close(struct everywhere *everywhere);

/*
 * Asks them all at once; `line` gets the lines as they come, mixed, each signed with its node's
 * name (daemon_sign).  Says what went wrong where.  All of them answered: COMMAND_OK; some, or some
 * that could not be asked: COMMAND_PARTLY; none: COMMAND_FAILED.  `request` is taken over.
 */
enum command_status everywhere_ask(const struct everywhere *everywhere, json_t *request,
                                   void (*line)(const struct reach_node *node, json_t *object,
                                                void *context),
                                   void *context);

/* Both. */
enum command_status everywhere_run(
    const struct arguments *arguments, enum everywhere_kind kind, json_t *request,
    void (*line)(const struct reach_node *node, json_t *object, void *context), void *context);

#endif
