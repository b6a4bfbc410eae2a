/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a backend still answers, asked from this machine before its accounts are moved. */
#ifndef MAILSTEAD_ADMIN_PROBE_H
#define MAILSTEAD_ADMIN_PROBE_H

#include "common/service/backend.h"

enum { PROBE_TIMEOUT_MS = 3000, PROBE_TEXT_SIZE = 512 };

/*
 * Tries the LMTP, IMAP and POP3 ports of `backend`, at each of its addresses, at the same
 * time, for `timeout_ms`.  True when any accepts a connection, even without a greeting: a
 * server that hangs may wake up, and one that does not know us hangs up.  `text` then says
 * which, and what it said; else why one of them did not.
 */
bool probe_backend(const struct backend *backend, unsigned timeout_ms, char text[PROBE_TEXT_SIZE]);

#endif
