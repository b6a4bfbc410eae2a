/* SPDX-License-Identifier: Apache-2.0 */
/* The role "replica" of a backend node: keeps copies of its accounts on another backend. */
#ifndef MAILSTEAD_BACKEND_REPLICA_PROCESS_H
#define MAILSTEAD_BACKEND_REPLICA_PROCESS_H

#include "common/service/child.h"

/* Whether the section replica asks for it. */
bool replica_is_wanted(const struct config *config);

/*
 * Serves replica.sock (child->service_fd) and the commands of orders.h.  False when replica.db
 * cannot be opened.
 */
bool replica_run(struct child *child);

#endif
