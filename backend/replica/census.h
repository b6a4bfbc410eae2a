/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sees to it that the ledger has all accounts of this node: goes through the mirror at the start
 * and when many changed, and looks for new entries whenever its revision is another.
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_CENSUS_H
#define MAILSTEAD_BACKEND_REPLICA_CENSUS_H

#include "backend/replica/ledger.h"
#include "common/session/resolver.h"

struct census {
    struct resolver *resolver;
    struct ledger *ledger;
    const char *node;
    uv_timer_t timer;
    int64_t after;     /* the entry that was seen last */
    uint64_t revision; /* of the mirror, when the last walk began */
    bool is_walking;
    void (*added)(void *context, const char *account); /* the ledger has it anew */
    void *context;
    void (*stopped)(void *context);
};

void census_start(struct census *census, struct io_loop *loop, struct resolver *resolver,
                  struct ledger *ledger, const char *node,
                  void (*added)(void *context, const char *account), void *context);
void census_stop(struct census *census, void (*stopped)(void *context));

/* Everything is to be looked at again. */
void census_restart(struct census *census);

#endif
