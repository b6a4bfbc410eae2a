/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doing what the machine of failover.h says: asking nodes, fencing, rewriting, and showing it.
 * Blocking, with a deadline for each thing.
 */
#ifndef MAILSTEAD_ADMIN_FAILOVER_RUN_H
#define MAILSTEAD_ADMIN_FAILOVER_RUN_H

#include "admin/failover.h"
#include "admin/failover_journal.h"
#include "admin/failover_view.h"
#include "admin/reach.h"
#include "common/service/backend_set.h"

struct failover_run {
    const struct arguments *arguments;
    const struct config *config;
    const struct backend_set *backends;
    const struct reach *reach;
    struct failover_journal *journal;
    struct failover failover;
    struct failover_view view;
    uint64_t moved; /* accounts */
};

/* All but the machine and the view is set.  Walks it to its end; the exit status. */
enum command_status failover_run(struct failover_run *run, const struct failover_order *order);

enum { FAILOVER_ANSWER_MS = 3000, FAILOVER_ORDER_MS = 20000 };

/*
 * Asks the node of that name, with `timeout_ms` for its first answer and between two of its lines.
 * `request` is taken over; `line` may be NULL; `why` is what stands against it.
 */
enum failover_result failover_ask_node(const struct failover_run *run, const char *node,
                                       json_t *request, unsigned timeout_ms,
                                       void (*line)(json_t *object, void *context), void *context,
                                       char why[FAILOVER_TEXT_SIZE]);

/* A moment between two looks. */
void failover_rest(void);

/* failover_node.c: each is one action at failover.node. */
enum failover_result failover_ask_taker(const struct failover_run *run,
                                        char why[FAILOVER_TEXT_SIZE]);
enum failover_result failover_ask_backend(const struct failover_run *run,
                                          char why[FAILOVER_TEXT_SIZE]);
enum failover_result failover_order_leave(const struct failover_run *run,
                                          char why[FAILOVER_TEXT_SIZE]);
enum failover_result failover_order_return(const struct failover_run *run,
                                           char why[FAILOVER_TEXT_SIZE]);
enum failover_result failover_order_storage(const struct failover_run *run, const char *command,
                                            char why[FAILOVER_TEXT_SIZE]);
enum failover_result failover_await_ready(const struct failover_run *run,
                                          char why[FAILOVER_TEXT_SIZE]);

/* failover_replica.c: the same for copies; DONE where a node keeps none. */
enum failover_result failover_ask_behind(struct failover_run *run, char why[FAILOVER_TEXT_SIZE]);
enum failover_result failover_synchronise(struct failover_run *run, char why[FAILOVER_TEXT_SIZE]);

#endif
