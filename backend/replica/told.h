/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what another node has told of its copies here (teller.h), from the own Dovecot. */
#ifndef MAILSTEAD_BACKEND_REPLICA_TOLD_H
#define MAILSTEAD_BACKEND_REPLICA_TOLD_H

#include <jansson.h>

#include "backend/replica/doveadm_lane.h"
#include "common/service/config.h"

struct told {
    int64_t at_ms;     /* wall clock of the last statement; 0: nothing was ever told */
    bool is_complete;  /* it names all that are behind */
    json_t *known;     /* an object: its keys are the accounts that were ever synchronised */
    json_t *behind;    /* an object: account -> [name, state, since ms] */
    const char *error; /* NULL: it was read */
};

struct told_reading; /* on the heap; gone after told_read_cancel, or when `done` has returned */

/* `done` comes later from the loop, once, unless it is cancelled; the objects are its to release.
 */
struct told_reading *told_read(struct io_loop *loop, const struct config *config, const char *node,
                               void (*done)(void *context, struct told *told), void *context);
void told_read_cancel(struct told_reading *reading);

void told_release(struct told *told);

#endif
