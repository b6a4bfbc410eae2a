/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of one worker to backends and the relay host that wait for their next
 * transaction: a few for each target, each for a short time, since many a mail store keeps a
 * process for every connection.  The last one that was given back is taken first.  What is more
 * than these few waits only a second: under load it is taken again within it, and no new one is
 * made for each message.
 */
#ifndef MAILSTEAD_SESSION_MAIL_POOL_H
#define MAILSTEAD_SESSION_MAIL_POOL_H

#include "common/session/mail_link.h"

struct mail_pool {
    struct list idle; /* of struct mail_link, the oldest first */
    unsigned per_target_max;
    unsigned idle_s; /* how long each may wait */
    struct list
        asking; /* of struct mail_group: transactions that only ask about recipients so far */
    bool is_closed;
};

void mail_pool_init(struct mail_pool *pool, unsigned per_target_max, unsigned idle_s);

/* Ends all that wait; what is given back from now on is not taken. */
void mail_pool_close(struct mail_pool *pool);

/* A connection to `target` with these options, held by nobody; NULL when none waits. */
struct mail_link *mail_pool_take(struct mail_pool *pool, const struct target *target,
                                 const struct mail_link_options *options);

/* Has `link` wait; false when even for a moment it is one too many. */
bool mail_pool_put(struct mail_pool *pool, struct mail_link *link)
    __attribute__((warn_unused_result));

#endif
