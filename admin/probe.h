/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a backend still answers, asked from this machine before its accounts are moved. */
#ifndef MAILSTEAD_ADMIN_PROBE_H
#define MAILSTEAD_ADMIN_PROBE_H

#include "common/service/backend.h"

enum { PROBE_TIMEOUT_MS = 3000, PROBE_TEXT_SIZE = 512 };

enum probe_result {
    PROBE_ANSWERS, /* somewhere it accepts a connection */
    PROBE_SILENT,  /* nowhere */
    PROBE_UNKNOWN  /* nowhere, and not all of its addresses could be tried */
};

/*
 * Tries the LMTP, IMAP and POP3 ports of `backend`, at each of its addresses, at the same
 * time, for `timeout_ms`.  A connection counts even without a greeting: a server that hangs may
 * wake up, and one that does not know us hangs up.  `text` then says which, and what it said; else
 * why one of them did not, or could not be tried.
 */
enum probe_result probe_backend(const struct backend *backend, unsigned timeout_ms,
                                char text[PROBE_TEXT_SIZE]);

#endif
