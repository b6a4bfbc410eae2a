/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an administrator asks and orders a worker about its sessions, over hub.sock:
 *
 *     who    a line for each session that is meant: id, protocol, account, address, backend,
 *            age_ms, tls, worker, pid, is_leaving
 *     kick   ends those that are meant, at limits.disconnects_per_second: one line, how many
 *
 * Which are meant: account, backend, address (or a network), session; all that are given must be
 * true.  Sessions are gone through in slices, so that no turn of the loop is long; a who waits
 * while the hub does not take its lines.
 */
#ifndef MAILSTEAD_SESSION_SESSION_ORDERS_H
#define MAILSTEAD_SESSION_SESSION_ORDERS_H

#include "common/service/control.h"
#include "common/session/service.h"

struct session_orders {
    struct child *child;
    struct session_service *service;
    struct control_client *client;
    struct list running; /* of struct session_order */
    uv_timer_t timer;
    void (*stopped)(struct session_orders *orders);
    bool is_stopped;
};

/* It does not keep the loop alive. */
void session_orders_start(struct session_orders *orders, struct child *child,
                          struct session_service *service);

/* Ends it; `stopped` comes from the loop, then the memory may be freed. */
void session_orders_stop(struct session_orders *orders,
                         void (*stopped)(struct session_orders *orders));

#endif
