/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects to the first of some endpoints that takes a connection: resolves a name (in libuv's
 * pool), tries its addresses in turn, then the next endpoint, all within one deadline.
 */
#ifndef MAILSTEAD_IO_CONNECTOR_H
#define MAILSTEAD_IO_CONNECTOR_H

#include "common/io/endpoint.h"
#include "common/io/watch.h"

struct connector; /* on the heap, owned by itself until done */

/*
 * The end of a connector: `watch` has a connected non-blocking, close-on-exec socket and is the
 * callee's from now on (transport_init_connected), or is NULL, with `error` (a text for the log).
 * The connector is gone when this call returns; the callee must not cancel it.
 */
typedef void connector_done(struct connector *connector, struct io_watch *watch, const char *error);

/*
 * Starts; `done` is always called later from the loop, once, unless
 * connector_cancel comes first.  The 1 to ENDPOINTS_MAX endpoints are copied; `sources`, where
 * the connection goes out from, is borrowed until then, NULL leaves it to the kernel.  `timeout_ms`
 * above 0 covers everything; each endpoint has its share of what is left of it.
 */
struct connector *connector_start(struct io_loop *loop, const struct endpoint *endpoints,
                                  size_t endpoint_count, const struct endpoint_sources *sources,
                                  unsigned timeout_ms, connector_done *done, void *context);

/* Gives up: `done` is not called; the connector frees itself. */
void connector_cancel(struct connector *connector);

/* What was given to connector_start. */
void *connector_context(const struct connector *connector);

#endif
