/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this machine's daemon has followed what was just written to the directory. */
#ifndef MAILSTEAD_ADMIN_FOLLOW_H
#define MAILSTEAD_ADMIN_FOLLOW_H

#include "common/service/config.h"

enum { FOLLOW_TIMEOUT_MS = 5000 };

struct follow {
    const struct config *config;
    bool is_reachable;
    int64_t revision; /* of the mirror before the write */
};

/* Notes how far the mirror is.  `config` outlives it. */
void follow_begin(struct follow *follow, const struct config *config);

/*
 * Waits until the mirror has moved and then rests, FOLLOW_TIMEOUT_MS at most, and
 * says so.  That no daemon answers here is said too, and is no error: the command may run
 * on a machine without one.
 */
void follow_report(const struct follow *follow, bool is_json);

#endif
