/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers that are connected to the queue process: decodes what they say for the scheduler
 * and the committer, and gives them deliveries, the least busy one first.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_WORKERS_H
#define MAILSTEAD_FRONTEND_QUEUE_WORKERS_H

#include "common/io/channel.h"
#include "common/io/listener.h"
#include "frontend/queue/scheduler.h"

struct workers {
    struct io_loop *loop;
    struct committer *committer;
    struct scheduler *scheduler; /* set by the owner before workers_start */
    const struct store *store;   /* for the bodies that are files */
    const char *hostname;
    int64_t (*now_ms)(void *context);
    void *context;
    /* ... own members below */
    struct listener listener;
    struct list connections; /* of struct worker */
    uint64_t last_number;
    size_t deposit_bytes; /* handed over and not yet committed */
    unsigned open_handles;
    bool is_paused, is_refusing;
    void (*stopped)(struct workers *workers);
};

/* Accepts workers from the listening socket `fd`. */
void workers_start(struct workers *workers, int fd);

/* Tells all workers, and those that come, whether anything can be stored. */
void workers_set_refusing(struct workers *workers, bool is_refusing);

/* Hears nothing more; what was handed over can still be answered. */
void workers_pause(struct workers *workers);

/* Disconnects all and accepts no more; `stopped` comes from the loop. */
void workers_stop(struct workers *workers, void (*stopped)(struct workers *workers));

/* For scheduler_ops. */
unsigned workers_free_slots(const struct workers *workers);
bool workers_deliver(struct workers *workers, struct job *job);
void workers_acknowledge(struct workers *workers, uint64_t worker, uint64_t attempt);

#endif
