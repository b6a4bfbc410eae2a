/* SPDX-License-Identifier: Apache-2.0 */
/* Which frontends route by what was just written to the directory. */
#ifndef MAILSTEAD_ADMIN_FOLLOW_H
#define MAILSTEAD_ADMIN_FOLLOW_H

#include "common/service/config.h"

enum { FOLLOW_TIMEOUT_MS = 5000 };

/*
 * To be called when the directory has answered the last change.  Shows, as they come, the
 * frontends whose mirror has followed up to there, exactly: up to the server's contextCSN.  After
 * FOLLOW_TIMEOUT_MS the others are named, with what is known of their delay.  That one lags or
 * cannot be asked is said, and is no error: it follows by itself.
 */
void follow_report(const struct config *config, bool is_json);

#endif
