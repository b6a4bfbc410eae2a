/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's end of replica.sock: which accounts were touched.  Each is remembered until the
 * replica process has noted it, over its restarts; when there are too many, that is told instead.
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_TOUCHES_H
#define MAILSTEAD_BACKEND_REPLICA_TOUCHES_H

#include "common/session/service.h"

struct touches; /* on the heap; frees itself after touches_stop */

/*
 * Connects as soon as it can.  Sessions of `service` whose clients went on talking are touched
 * every replica.session_s.
 */
struct touches *touches_start(struct io_loop *loop, const struct config *config,
                              struct session_service *service);

/* The mail of this account, in the own store, may have changed. */
void touches_note(struct touches *touches, enum route_key key, const char *name);

/*
 * Ends it, when all is noted or a second has passed; `stopped` comes from the loop.
 */
void touches_stop(struct touches *touches, void (*stopped)(void *context), void *context);

#endif
