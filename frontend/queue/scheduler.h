/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler decides what is attempted, where and when.  Everything lies in the store;
 * in memory there is only a window of due jobs for each destination, and what workers
 * have in hand, so that the backlog's size does not matter.
 *
 * A destination is a backend's name, "" for the relay host, or "unresolved" for recipients
 * that have none yet.  A recipient is resolved again at each attempt; when it has moved,
 * it changes its destination instead of being attempted.
 *
 * Fairness: destinations take turns, and none takes more than half of what slots are
 * left to it, so that a slow backend never holds all of them.  A backend that cannot be reached
 * is left alone until its health is up or its back-off has passed, and then ramped: one attempt at
 * a time first and one more after each that reached it, and no more in a second than may_begin
 * says.
 *
 * Whose outcome is not known (the reply was lost, or the worker that had it ended and did not
 * come back) is tried again after queue.unknown_delay_s and logged: the backend may have it.
 *
 * It has no timers and no clock: the owner calls scheduler_tick a few times a second.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_SCHEDULER_H
#define MAILSTEAD_FRONTEND_QUEUE_SCHEDULER_H

#include "common/base/map.h"
#include "directory/route.h"
#include "frontend/queue/deposit.h"
#include "frontend/queue/settle.h"

struct scheduler;
struct destination;
struct job;

enum {
    SCHEDULER_RETURN_MS = 2000 /* how long a worker that was lost may take to come back */
};

/* What the scheduler asks of the process around it; a test has its own. */
struct scheduler_ops {
    int64_t (*now_ms)(void *context); /* dates, but never jumps */
    /* Routes by the mirror, at once. */
    void (*route)(void *context, struct span address, struct route *route);
    /* Asks whether `address`, which the mirror does not know, is really unknown:
     * scheduler_confirmed later. */
    void (*confirm)(void *context, uint64_t row, struct span address);
    /* The number of the mirror's last change. */
    uint64_t (*revision)(void *context);
    bool (*is_known)(void *context, const char *backend); /* there is such a backend */
    bool (*is_up)(void *context, const char *backend);    /* false: known to be down */
    /* Asked before each attempt, which is counted; false: it is up since a moment, and has enough.
     */
    bool (*may_begin)(void *context, const char *backend);
    unsigned (*free_slots)(void *context);
    /* Gives the attempt to a worker, whose number goes to job->worker; false: none takes it. */
    bool (*deliver)(void *context, struct job *job);
    /* The result of `attempt` is committed; `worker` reported it. */
    void (*acknowledge)(void *context, uint64_t worker, uint64_t attempt);
};

/* One recipient in hand. */
struct job_row {
    struct map_node node;
    uint64_t row;
    struct job *job;
    struct span address;
    const struct store_job_row *stored; /* of its job's; NULL: it is another worker's to deliver */
    char *recipient; /* owned: what to use in RCPT; NULL while it is not part of the attempt */
    bool is_in_hand; /* false once it is done with */
};

enum job_state {
    JOB_READY,   /* in its destination's window */
    JOB_SENT,    /* a worker delivers it */
    JOB_SETTLING /* what became of it is being written */
};

/* Recipients of one message for one destination, in hand. */
struct job {
    struct list node;  /* in its destination's `jobs` */
    struct list ready; /* in its destination's `ready` */
    struct map_node attempt_node;
    uint64_t attempt;      /* 0: never sent */
    uint64_t worker;       /* who has it, or who reported its result */
    int64_t lost_until_ms; /* 0: the worker is there */
    enum job_state state;
    struct destination *destination; /* NULL: claimed by a worker, from before our start */
    struct store_job *stored;        /* NULL: likewise */
    bool is_forced; /* attempted although its destination is down, before it expires */
    size_t in_hand; /* rows; at 0 the job is gone */
    size_t row_count;
    struct job_row rows[];
};

/* A recipient's fate as a worker reports it. */
struct report_row {
    uint64_t row;
    enum queue_fate fate;
    unsigned not_before_s;
    struct span text;
};

/* The backend of an attempt: "" for the relay host. */
const char *scheduler_job_backend(const struct job *job);

struct scheduler_options {
    struct settle_rules rules;
    bool has_relay_host;
    const struct scheduler_ops *ops;
    void *context;
};

/*
 * Makes a scheduler over `committer`, whose store must be open and not in use yet: what is due is
 * read here.  With a queue that is not empty nothing is attempted for SCHEDULER_RETURN_MS, in which
 * workers say what they have in hand.
 */
struct scheduler *scheduler_new(const struct scheduler_options *options,
                                struct committer *committer);

/* Frees it; no operation may be under way (the committer has stopped). */
void scheduler_free(struct scheduler *scheduler);

/* No new attempts and reads: what was reported is still written. */
void scheduler_stop(struct scheduler *scheduler);

/* To be called about five times a second. */
void scheduler_tick(struct scheduler *scheduler);

/* To be called when a slot has become free. */
void scheduler_run(struct scheduler *scheduler);

/* Gives a deposit's recipients their destinations, before it is submitted. */
void scheduler_resolve(struct scheduler *scheduler, struct deposit *deposit);
/* It is committed: what is due can be attempted. */
void scheduler_deposited(struct scheduler *scheduler, const struct deposit *deposit);

/* A worker reports `attempt`, now or again. */
void scheduler_report(struct scheduler *scheduler, uint64_t worker, uint64_t attempt,
                      const struct report_row *rows, size_t count);
/* A worker that has connected again still delivers `attempt`. */
void scheduler_claim(struct scheduler *scheduler, uint64_t worker, uint64_t attempt,
                     const uint64_t *rows, size_t count);
void scheduler_worker_lost(struct scheduler *scheduler, uint64_t worker);

/* The answer to ops->confirm; not `is_absent`: in doubt. */
void scheduler_confirmed(struct scheduler *scheduler, uint64_t row, bool is_absent);

/* Recipients were made due by hand: looks at every destination, also those that are waited for. */
void scheduler_wake(struct scheduler *scheduler);
/* Recipients for `name` (NULL: unresolved), which may be new here, were stored by hand. */
void scheduler_wake_destination(struct scheduler *scheduler, const char *name);

/*
 * Takes rows that are to be changed by hand: nobody attempts them until scheduler_unreserve.
 * `is_reserved[i]` false: rows[i] is being delivered or settled right now.  NULL: all are.
 */
struct job *scheduler_reserve(struct scheduler *scheduler, const uint64_t *rows, size_t count,
                              bool *is_reserved);
void scheduler_unreserve(struct scheduler *scheduler, struct job *job);

/* Forgets what was read and is not attempted yet: the database was set aside. */
void scheduler_drop_windows(struct scheduler *scheduler);

/* Whether a row is being delivered or settled right now. */
bool scheduler_is_in_hand(struct scheduler *scheduler, uint64_t row);

/* The rules by which outcomes are written, as configured. */
struct settle_rules scheduler_rules(const struct scheduler *scheduler);

/* Suspends expiry (the clock jumped) or lets it be as configured. */
void scheduler_suspend_expiry(struct scheduler *scheduler, bool is_suspended);

/* Each destination, for the status: visit gets its name (NULL: unresolved), jobs in hand, and
 * whether it is waited for. */
void scheduler_each(struct scheduler *scheduler,
                    void (*visit)(void *context, const char *name, size_t in_hand, bool is_waiting),
                    void *context);

#endif
