/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection that changes entries, a batch at a time: in a transaction, and entry by
 * entry where there is none, or when the server did not commit it.
 */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_LANE_H
#define MAILSTEAD_DIRECTORY_REASSIGN_LANE_H

#include "common/base/state.h"
#include "directory/reassign/plan.h"

enum { LANE_BATCH_MAX = 500, LANE_TRANSACTION_SIZE = 256 };

struct lane;

/* What a lane works for. */
struct lane_events {
    /*
     * Up to LANE_BATCH_MAX items, which are sent when it returns, so that here is the moment to
     * note what is intended.  0 with `*wait_ms` above 0: ask again after that time; 0 without:
     * no more, the lane ends.
     */
    size_t (*take)(void *context, struct plan_item ***items, unsigned *wait_ms);
    /* The server said that these are changed, and durable. */
    void (*moved)(void *context, struct plan_item *const *items, size_t count);
    void (*skipped)(void *context, struct plan_item *item, const char *why);
    void (*failed)(void *context, struct plan_item *item, const char *why);
    /* The entry is not as it was read: somebody else changes entries.  The batch is completed. */
    void (*contended)(void *context, struct plan_item *item);
    /* The server does not let us write, or the lane cannot go on: nothing more is to be taken. */
    void (*refused)(void *context, const struct ldap_answer *answer);
    void (*broken)(void *context, const char *why);
    /* Last call. */
    void (*ended)(void *context, struct lane *lane);
};

/* One entry that is changed on its own. */
struct lane_single {
    struct lane *lane;
    struct plan_item *item;
};

struct lane {
    const struct reassign_plan *plan;
    const struct directory_config *names;
    const struct lane_events *events;
    void *context;
    struct ldap_link *link; /* the caller's; ready */
    bool has_transactions, has_assertions;
    struct state state;
    struct plan_item **batch;
    size_t batch_count;
    size_t sent, answered;
    uv_timer_t pause; /* before a transaction's end, or before a batch is taken */
    bool is_spoilt;   /* an operation of the transaction was refused: do not commit */
    bool is_refused;
    bool has_committed; /* a transaction, at least once */
    char transaction[LANE_TRANSACTION_SIZE];
    size_t transaction_length;
    struct lane_single singles[LANE_BATCH_MAX];
};

/* Starts on a link that is ready, which stays the caller's. */
void lane_start(struct lane *lane, struct io_loop *loop, struct ldap_link *link);

/* Once a started lane has ended, or is to be left as it is; its memory stays until the loop has
 * run. */
void lane_close(struct lane *lane);

/* The link is gone, for `reason`: ends the lane. */
void lane_lose(struct lane *lane, const char *reason);

#endif
