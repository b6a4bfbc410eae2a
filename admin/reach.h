/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of the cluster as this command reaches them: the frontends and backends of the section
 * cluster, each over its control socket when it has one on this machine, else over its admin port.
 */
#ifndef MAILSTEAD_ADMIN_REACH_H
#define MAILSTEAD_ADMIN_REACH_H

#include <jansson.h>

#include "common/service/config.h"

enum { REACH_NAME_SIZE = 128, REACH_TIMEOUT_MS = 5000 };

enum reach_role {
    REACH_FRONTEND,
    REACH_BACKEND,
    REACH_UNLISTED /* this machine's daemon, when the section cluster does not have it */
};

struct reach_https; /* the connections to admin ports (reach_https.h) */

struct reach_node {
    enum reach_role role;
    bool is_own;                    /* its daemon's configuration is ours */
    char name[REACH_NAME_SIZE];     /* "fe1", or "this machine's daemon" */
    char path[CONFIG_ERROR_SIZE];   /* its control socket; empty: it is on another machine */
    const char *address, *tls_name; /* of the configuration; NULL: unlisted */
    uint16_t admin_port;            /* 0: none */
    struct reach_https *https;      /* for the admin port; NULL: no node needs one */
};

struct reach {
    struct reach_node
        *nodes; /* owned; those of the configuration, in its order, then the unlisted */
    size_t count;
    struct reach_https *https;
};

/* Lists the nodes; `config` stays the caller's and must outlive it.  Asks nobody. */
void reach_init(struct reach *reach, const struct config *config);
void reach_fini(struct reach *reach);

/* The node of that name, of the configuration's; NULL: there is none. */
const struct reach_node *reach_find(const struct reach *reach, const char *name);

/* The daemon whose configuration is ours: its control socket is in its run_directory. */
const struct reach_node *reach_own(const struct reach *reach);

/* Whether there is any way to ask it: many backends have none. */
bool reach_is_askable(const struct reach_node *node);

/* One question to one node. */
struct reach_question {
    const struct reach_node *node;
    json_t *request;     /* as for control.sock; the caller's */
    unsigned timeout_ms; /* from the start or the last line to the next; 0: REACH_TIMEOUT_MS */
    void (*line)(json_t *object, void *context); /* gets each line as it comes, borrowed; or NULL */
    void (*ended)(struct reach_question *question); /* when all is said; may be NULL */
    void *context;
    unsigned again_ms; /* set by `ended`: ask the same again after so long */
    /* How it ended: */
    bool is_answered;
    bool is_refused;               /* by the node itself, or its admin port, in `error` */
    char error[CONFIG_ERROR_SIZE]; /* one line without the node's name; unless it is answered */
};

/*
 * Asks all at once, and returns when each has ended: a node that is dead costs its own timeout,
 * once. Several questions may go to one node.
 */
void reach_ask_all(struct reach_question *questions, size_t count);

/*
 * Asks one node.  Takes over `request`.  False, and `error` without the node's name, when it cannot
 * be reached, does not answer in time, or says no.
 */
bool reach_ask(const struct reach_node *node, json_t *request, unsigned timeout_ms,
               void (*line)(json_t *object, void *context), void *context,
               char error[CONFIG_ERROR_SIZE]);

/* The same for an answer that is short: its lines in an array, the caller's; NULL and `error`. */
json_t *reach_ask_lines(const struct reach_node *node, json_t *request, unsigned timeout_ms,
                        char error[CONFIG_ERROR_SIZE]);

#endif
