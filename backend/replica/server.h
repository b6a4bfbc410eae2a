/* SPDX-License-Identifier: Apache-2.0 */
/* replica.sock: hears from the workers which accounts were touched (messages.h). */
#ifndef MAILSTEAD_BACKEND_REPLICA_SERVER_H
#define MAILSTEAD_BACKEND_REPLICA_SERVER_H

#include "common/io/loop.h"
#include "directory/route.h"

struct replica_server; /* on the heap; frees itself after replica_server_stop */

struct replica_server_events {
    void (*touched)(void *context, enum route_key key, const char *name);
    /* Changes may have been missed: why, for the log. */
    void (*missed)(void *context, const char *why);
    void (*stopped)(void *context);
};

/* Serves from the listening socket `fd`, which stays the caller's. */
struct replica_server *replica_server_start(struct io_loop *loop, int fd,
                                            const struct replica_server_events *events,
                                            void *context);

/* What was told before is on disk. */
void replica_server_noted(struct replica_server *server);

/* What was told and not noted is lost: the workers connect again, and tell it again. */
void replica_server_reset(struct replica_server *server);

/* Workers that are connected. */
size_t replica_server_peers(const struct replica_server *server);

void replica_server_stop(struct replica_server *server);

#endif
