/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection that changes entries, a batch at a time: in a transaction, and entry by
 * entry where there is none, or when the server did not commit it.
 */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_LANE_H
#define MAILSTEAD_DIRECTORY_REASSIGN_LANE_H

#include "common/base/list.h"
#include "common/base/state.h"
#include "directory/reassign/guard.h"
#include "directory/reassign/plan.h"

enum { LANE_BATCH_MAX = 1000, LANE_TRANSACTION_SIZE = 256 };

struct lane;

/*
 * Lanes that share one end their transactions one after the other: a server has one writer at a
 * time, and what waits for it blocks a thread.  The others fill theirs meanwhile.
 */
struct lane_turn {
    struct lane *holder; /* NULL: nobody */
    struct list waiting; /* of lanes that are ready to commit */
};

void lane_turn_init(struct lane_turn *turn);

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
    /* The server does not let us write this entry.  True when that goes for all: the lane sends
     * nothing more of its batch. */
    bool (*refused)(void *context, struct plan_item *item, const struct ldap_answer *answer);
    /* The lane cannot go on. */
    void (*broken)(void *context, const char *why);
    /* Last call. */
    void (*ended)(void *context, struct lane *lane);
};

enum lane_part {
    LANE_PART_NOW,   /* in the transaction that is being done */
    LANE_PART_LATER, /* in the next */
    LANE_PART_ALONE, /* in none: done on its own at last */
    LANE_PART_DONE   /* was in one */
};

/* One entry of a batch. */
struct lane_single {
    struct lane *lane;
    struct plan_item *item;
    int number; /* of its last request */
    enum lane_part part;
};

struct lane {
    const struct reassign_plan *plan;
    const struct directory_config *names;
    const struct lane_events *events;
    void *context;
    struct ldap_link *link;  /* the caller's; ready */
    struct lane_turn *turn;  /* the caller's */
    struct guarded *guarded; /* what keeps the link's connection; NULL: nothing does */
    struct list waiting;     /* in the turn's list */
    bool has_transactions, has_assertions;
    struct state state;
    struct plan_item **batch;
    size_t batch_count;
    size_t next;           /* of the batch, to be looked at */
    size_t sent, answered; /* requests */
    unsigned failures;     /* of the batch's transactions */
    uv_timer_t pause;      /* before a transaction's end, or before a batch is taken */
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
