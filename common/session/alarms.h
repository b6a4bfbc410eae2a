/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alarms about entries of the directory that cannot be used, or that a store does not know.  Each
 * is one line at level error, however often clients ask for it: again after ALARM_AGAIN_MS at the
 * soonest, and of all of them together ALARMS_BURST at once and then one in ALARM_EACH_MS.  What
 * was not logged is counted, and told with the next one.  For one worker.
 */
#ifndef MAILSTEAD_SESSION_ALARMS_H
#define MAILSTEAD_SESSION_ALARMS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/proto/mail.h"

enum {
    ALARM_AGAIN_MS = 600000,
    ALARM_EACH_MS = 6000,
    ALARMS_BURST = 20,
    ALARMS_KEPT = 256 /* names that are remembered */
};

/* Zeroed: no alarm yet. */
struct alarms {
    struct {
        uint64_t name; /* a hash */
        uint64_t until_ms;
    } kept[ALARMS_KEPT];
    uint64_t debt_ms, paid_at_ms; /* the pace of all: what was said costs, and time pays */
    uint64_t unsaid;
};

/*
 * `key` cannot be resolved: `why`.  `host` is what its entry says (may be empty), `session_id`
 * who asked.  False when that is not logged.
 */
bool alarms_raise(struct alarms *alarms, uint64_t now_ms, const char *session_id, const char *key,
                  const char *host, const char *why);

/* A node's store does not know `account`, which the directory has given to that node. */
void alarms_raise_unknown(struct alarms *alarms, uint64_t now_ms, const char *session_id,
                          const char *account, const struct mail_reply *reply);

#endif
