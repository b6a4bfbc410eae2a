/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node as a whole: the role "storage" of mailstead-backend.  It decides, as it is ordered,
 * whether the node serves or leaves, and owns the storages.  Commands of control.sock:
 *
 *     node-status      one line: node, state (waiting, serving, leaving, left), is_synchronised,
 *                      is_overridden, why (what hinders it from leaving, or ""),
 *                      has_storages (storage.kind is not none), storages
 *                      (storage_row in storage.h), stores (protocol, is_reachable)
 *     metrics          samples of mailstead_store_up
 *     node-leave       deadline_s (10): serve nothing more, end the sessions, have the store stop
 *                      (stop_hook), release all storages.  Remembered over restarts.  Lines with
 *                      "event" while it goes on, then {"state":"left"}.  Sent again, it goes on.
 *     node-return      start_hook, the own storage, serve again
 *     node-override    is_on: serve before the first synchronisation since the start
 *     storage-attach   server; initialise (make its marker, the first time); fenced (an operator's
 *                      word that the node that holds it is off).  Ends when it is attached.
 *     storage-release  server; deadline_s (10): by then the sessions that use it have ended, or it
 *                      fails and is kept; force: it is given up all the same
 *     storage-init     server: makes its marker, and attaches it
 *
 * With storage.kind none, as with copies, the last three are about the accounts of a server that
 * are here: they are served until a release, and again from an attachment on.
 *
 * Orders may be repeated: what is done already ends well at once.
 */
#ifndef MAILSTEAD_BACKEND_NODE_H
#define MAILSTEAD_BACKEND_NODE_H

#include "common/service/child.h"

/* The run function of the role "storage". */
bool node_run(struct child *child);

#endif
