/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The role "admin" of both daemons: HTTPS with client certificates, on the address that section
 * admin_port has; without one there is no such process.
 *
 *     POST /v1/order   an object of control.sock's as body; its lines, application/x-ndjson
 *     GET  /v1/status  the answer to {"command":"status"}, one object
 *     GET  /metrics    OpenMetrics text
 *     GET  /health     200 when this daemon can serve, else 503; {"is_healthy":b,"reasons":[...]}
 *
 * Who has no certificate of admin_port.client_ca gets no further than the handshake.  Whose
 * certificate has no name of read or operate, or not of the role that a command needs, gets 403.
 * What comes before an order is sent on: 400 no order, 404 no such command, 405, 413 too long, 503
 * the daemon's own control process is away.
 */
#ifndef MAILSTEAD_SERVICE_ADMIN_PORT_H
#define MAILSTEAD_SERVICE_ADMIN_PORT_H

#include "common/service/child.h"

/* The run function of the role "admin", and whether it has anything to do. */
bool admin_port_run(struct child *child);
bool admin_port_is_wanted(const struct config *config);

#endif
