/* SPDX-License-Identifier: Apache-2.0 */
/* directory.sock: answers the questions of workers and queue, and tells them what changed. */
#ifndef MAILSTEAD_DIRECTORY_SERVER_H
#define MAILSTEAD_DIRECTORY_SERVER_H

#include "directory/binder.h"
#include "directory/confirm.h"

struct directory_server; /* on the heap; frees itself after directory_server_stop */

/*
 * Serves from the listening socket `fd`, which stays the caller's.  `confirm` and `binder` are
 * borrowed; they are stopped just before the server, so that what is open is answered.  A process
 * that has just connected is told DIRECTORY_CHANGED_MANY of `revision`, since it may have missed
 * changes.
 */
struct directory_server *directory_server_start(struct io_loop *loop, int fd,
                                                struct confirm *confirm, struct binder *binder,
                                                uint64_t revision);
void directory_server_stop(struct directory_server *server);

/*
 * Tells every connected process; see messages.h.  Changes that are told in one turn of the loop go
 * together, in the next one.
 */
void directory_server_tell_changed(struct directory_server *server, uint64_t revision,
                                   struct span account, struct span host);
void directory_server_tell_many(struct directory_server *server, uint64_t revision);

void directory_server_tell_backends(struct directory_server *server);

/* Processes that are connected. */
size_t directory_server_peers(const struct directory_server *server);

#endif
