/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mailstead drain`: this machine takes no more connections, and its sessions go.
 *
 * The order is one word on the board (board->drain_deadline_ms), which the control process sets and
 * each worker looks at twice a second, and at its start: so that it holds for workers that
 * are started meanwhile, by a reload or after a crash, and ends with the daemon.
 *
 * The listening sockets listen no more: who connects is refused by the kernel at once, which is
 * what balancers, health checks, and clients that know another address understand.  What has been
 * accepted by the kernel is served.  Sessions go at limits.disconnects_per_second, each when it has
 * been silent for a moment, and a mail session between two messages; at the deadline all go.
 */
#ifndef MAILSTEAD_SESSION_DRAIN_H
#define MAILSTEAD_SESSION_DRAIN_H

#include <uv.h>

#include "common/io/listener.h"
#include "common/session/service.h"

struct drain {
    struct session_service *service;
    struct board *board;
    struct listener *listeners;
    const size_t *listener_count; /* those that are open: 0 once the worker stops accepting */
    uint64_t deadline_ms;         /* as this worker has obeyed it; 0: it is not drained */
    uv_timer_t timer;
    void (*stopped)(struct drain *drain);
};

/* Obeys the board now and from then on; all that is set in `drain` (zeroed else) stays valid. */
void drain_start(struct drain *drain);

/* Ends it; `stopped` comes from the loop. */
void drain_stop(struct drain *drain, void (*stopped)(struct drain *drain));

#endif
