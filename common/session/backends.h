/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backends as sessions see them: name to address, and this daemon's shared
 * view of whether each is reachable.  A backend is down after several failures in a
 * row, of probes or of real connections, and up again after good probes.
 */
#ifndef MAILSTEAD_SESSION_BACKENDS_H
#define MAILSTEAD_SESSION_BACKENDS_H

#include "common/service/board.h"
#include "common/service/config.h"

struct backends {
    const struct config *config;
    struct board *board;
    bool is_detached; /* this process drains: the board's rows follow a newer configuration */
};

/* Forgets what is on the board: every backend counts as reachable until it was probed. */
void backends_reset(const struct backends *backends);

/* The index of the backend called `name`, or -1. */
int backends_find(const struct backends *backends, const char *name);

/* Where backend `index` serves `protocol` (LMTP, IMAP or POP3). */
void backends_endpoint(const struct backends *backends, int index, enum protocol protocol,
                       struct endpoint *endpoint);

/* False only when it is known to be down. */
bool backends_is_up(const struct backends *backends, int index, enum protocol protocol);

/*
 * Tells how a connection of the session `session_id`, or a probe (NULL), ended.  `index` -1 is
 * ignored.  A good connection of a session ends a row of failures; only good probes bring a
 * backend up that is down.  A session's failure counts only once in a row: what one session meets
 * again and again may be its own account's trouble.
 */
void backends_report(const struct backends *backends, int index, enum protocol protocol,
                     bool is_good, const char *session_id);

#endif
