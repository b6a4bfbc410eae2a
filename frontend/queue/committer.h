/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit.  The loop collects operations; one batch at a time runs in libuv's
 * pool, and takes all that arrived during the last one, and who else gathers for it (gathering.h).
 * An operation that fails by itself fails alone: the others are done again without it.  Only the
 * committer touches the store, so that operations happen in the order in which they were submitted,
 * reads included.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_COMMITTER_H
#define MAILSTEAD_FRONTEND_QUEUE_COMMITTER_H

#include "common/io/loop.h"
#include "frontend/queue/gathering.h"
#include "frontend/queue/store.h"

struct operation {
    struct list node;
    /*
     * In the pool's thread, inside a batch; touches nothing but the store and the operation.
     * False: the store failed.  It may run several times before done is called, in vain but for the
     * last: each run starts from what the operation was when it was submitted.
     */
    bool (*apply)(struct operation *operation, struct store *store);
    /* On the loop: `is_committed` false: nothing of it happened.  The operation is its owner's
     * again. */
    void (*done)(struct operation *operation, bool is_committed);
    bool is_committed; /* the committer's own */
};

struct committer {
    struct io_loop *loop;
    struct store *store;
    void *context;
    /* Called after each batch, before the operations' own; may be NULL. */
    void (*committed)(struct committer *committer, const struct store_counts *counts);
    /* ... own members below */
    uv_work_t work;
    struct io_resumption turn;
    uv_timer_t pause;  /* after a failed batch, so that a full disk makes no storm; or to gather */
    uint64_t pause_ms; /* of the next one after a failure: each in a row is longer */
    struct list waiting, running;
    unsigned waiting_count, running_count;
    struct gathering gathering;
    bool is_running, is_paused, is_stopping, is_closed;
    bool has_failed;            /* nothing of the last batch is committed */
    struct store_counts counts; /* after the last batch */
    void (*stopped)(struct committer *committer);
};

/* Starts over an open store, which is borrowed until `stopped`. */
void committer_start(struct committer *committer, struct io_loop *loop, struct store *store);

/* Takes `operation` until its done event. */
void committer_submit(struct committer *committer, struct operation *operation);

/*
 * Runs what waits, then calls `stopped`.  Operations that are submitted by done events
 * meanwhile still run.
 */
void committer_stop(struct committer *committer, void (*stopped)(struct committer *committer));

#endif
