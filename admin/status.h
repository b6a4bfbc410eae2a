/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead status: what the nodes do, and what is wrong with them. */
#ifndef MAILSTEAD_ADMIN_STATUS_H
#define MAILSTEAD_ADMIN_STATUS_H

#include <jansson.h>

#include "admin/everywhere.h"
#include "admin/output.h"
#include "directory/csn.h"

enum command_status status_run(const struct arguments *arguments);

/* What one node answered. */
struct status_node {
    const struct reach_node *node;
    json_t *document; /* what several processes of it said; NULL: it could not be asked */
    char error[CONFIG_ERROR_SIZE]; /* why */
    struct csn_set csns;           /* up to where its mirror has followed */
    int64_t behind_ms;             /* the node that has followed furthest; -1: not known */
    size_t step;                   /* of the questions to it */
};

/*
 * Asks all nodes at once, each its questions one after the other (status_gather.c).  The array and
 * its documents are the caller's: everywhere.count of them, then everywhere.unasked_count.
 */
struct status_node *status_gather(const struct everywhere *everywhere);
void status_free(struct status_node *nodes, size_t count);

/*
 * What is wrong in an answer to "status" with the rows of "health" as "backends": an
 * array of texts that the caller owns, empty when all is well (status_problems.c).
 */
json_t *status_problems(const json_t *status);

/* The same without what the node sees of the backends. */
json_t *status_own_problems(const json_t *status);

/* Adds to them that a backend is leaving or down by order, if it is; of a row of "backends". */
void status_note_order(const json_t *backend, json_t *problems);

/* Its state by order, its weight and where it is from, as far as that is unusual: "up". */
const char *status_order_text(const json_t *backend, char text[OUTPUT_TEXT_SIZE]);

/* Writes the answer of one node for people (status_print.c). */
void status_print(const json_t *status, FILE *stream);

/* What the node sees of a backend, a row of "backends"; NULL: it does not know that one. */
const json_t *status_find_backend(const struct status_node *view, const char *name);

/* All backends that any of the nodes knows: an object of rows by name, the caller's. */
json_t *status_all_backends(const struct status_node *nodes, size_t count);

/* Writes what many nodes said (status_cluster.c). */
void status_print_cluster(const struct status_node *nodes, size_t count, FILE *stream);

/* The problems of all, each with its node's name: an array of texts that the caller owns
 * (status_cluster_problems.c). */
json_t *status_cluster_problems(const struct status_node *nodes, size_t count);

/* The protocols of a row of "health"; ended by NULL.  The first of them are those of mail itself.
 */
enum { STATUS_MAIL_PROTOCOLS = 3 };
extern const char *const status_protocols[];

#endif
