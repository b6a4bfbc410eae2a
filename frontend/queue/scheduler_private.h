/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the scheduler, for its own files alone. */
#ifndef MAILSTEAD_FRONTEND_QUEUE_SCHEDULER_PRIVATE_H
#define MAILSTEAD_FRONTEND_QUEUE_SCHEDULER_PRIVATE_H

#include "frontend/queue/scheduler.h"

struct destination {
    struct list node; /* in scheduler->destinations: the order of turns */
    struct map_node by_name;
    char name[ROUTE_HOST_SIZE];
    bool is_unresolved;
    struct list jobs;  /* in hand, in any state */
    struct list ready; /* the window */
    size_t ready_count, in_flight;
    size_t limit;        /* of in_flight: the ramp */
    int64_t next_due_ms; /* something may be due then; INT64_MAX: nothing is there */
    int64_t retry_at_ms; /* after a failed connection; 0: none */
    int64_t read_at_ms;  /* after what is due could not be read */
    unsigned read_failures;
    unsigned failures; /* connections in a row */
    bool was_down;     /* by its health, at the last tick */
    bool is_fetching;
    bool has_failed; /* an attempt found nobody there since our start, and none somebody since */
};

struct scheduler {
    struct scheduler_options options;
    struct committer *committer;
    struct list destinations;
    struct map by_name;
    struct destination unresolved;
    struct map rows;     /* struct job_row in hand, by row number */
    struct map attempts; /* struct job sent or settling, by attempt number */
    struct list retries; /* settle operations of failed batches */
    int64_t retries_at_ms;
    unsigned retry_failures;
    uint64_t last_attempt;
    size_t window_bytes; /* of all windows */
    int64_t start_at_ms; /* nothing is attempted before */
    int64_t expiry_ms, next_expiry_look_ms, next_trim_ms;
    bool is_stopping;
    bool has_skipped;    /* a due row was in other hands: look again */
    struct sweep *sweep; /* under way, or NULL */
    uint64_t swept_revision;
    int64_t next_sweep_ms;
    struct overdue *overdue; /* the look at what is old that is under way, or NULL */
    bool is_overdue_expiry;  /* the last look was for what expires: they take turns */
    int64_t next_overdue_ms;
    struct store_age
        told_until; /* what came before: its senders know, or need not, that it is late */
};

static inline int64_t scheduler_now(const struct scheduler *scheduler)
{
    return scheduler->options.ops->now_ms(scheduler->options.context);
}

/* How long to wait after so many failures (1 or more) of our own storage in a row. */
static inline int64_t scheduler_storage_pause_ms(unsigned failures)
{
    return INT64_C(200) << (failures < 7 ? failures - 1 : 6);
}

/* --- destinations (scheduler.c) ------------------------------------------------ */

/* The destination of that name (NULL: unresolved), made when it is new. */
struct destination *scheduler_destination(struct scheduler *scheduler, const char *name);
/* Its name as the store has it. */
const char *destination_name(const struct destination *destination);
/* Something may be due at `at_ms`. */
void destination_wake(struct destination *destination, int64_t at_ms);
/* True when attempts may be made now. */
bool destination_may_run(const struct scheduler *scheduler, const struct destination *destination);
/* True when one more attempt may begin now, which is counted. */
bool destination_may_begin(const struct scheduler *scheduler,
                           const struct destination *destination);

/* --- attempts (scheduler_attempt.c) --------------------------------------------- */

/* Where a recipient is to go; `reason` for one that can go nowhere now (the result is unresolved).
 */
struct destination *scheduler_choose(struct scheduler *scheduler, const struct route *route,
                                     bool may_relay, const char **reason);

/* --- jobs (scheduler_jobs.c) ----------------------------------------------------- */

/* A job with room for `count` rows, in its destination's list; NULL destination: in none. */
struct job *job_new(struct destination *destination, size_t count);
/* Adds a row; false when it is already in hand. */
bool job_add_row(struct scheduler *scheduler, struct job *job, uint64_t row, struct span address);
/* The row is done with; with its last row the job is gone. */
void job_release_row(struct scheduler *scheduler, struct job_row *row);
/* All that are still in hand; the job is gone then. */
void job_release(struct scheduler *scheduler, struct job *job);
/* Takes it out of its destination's window. */
void job_leave_window(struct job *job);
struct job_row *scheduler_find_row(struct scheduler *scheduler, uint64_t row);
struct job *scheduler_find_attempt(struct scheduler *scheduler, uint64_t attempt);
void job_set_attempt(struct scheduler *scheduler, struct job *job, uint64_t attempt);

/* --- reading (scheduler_fetch.c) ----------------------------------------------- */

/* Fills the window of `destination` when it is low and something is due. */
void scheduler_fetch(struct scheduler *scheduler, struct destination *destination);
/* Fetches a few recipients of a destination that is down and that would expire. */
void scheduler_fetch_expired(struct scheduler *scheduler, struct destination *destination);

/* --- writing (scheduler_settle.c) ------------------------------------------------ */

/* Writes outcomes down; `job` (may be NULL) has the rows in hand until then. */
struct settle *scheduler_settle(struct scheduler *scheduler, struct job *job, uint64_t attempt,
                                size_t count);
void scheduler_submit_settle(struct scheduler *scheduler, struct settle *settle);
void scheduler_retry_settles(struct scheduler *scheduler);
/* Writes a new destination for a row in hand, and releases it. */
void scheduler_move_row(struct scheduler *scheduler, struct job_row *row,
                        struct destination *destination);

/* --- lost workers (scheduler_report.c) ------------------------------------------- */

void scheduler_give_up_lost(struct scheduler *scheduler);

/* --- what is old (scheduler_overdue.c) --------------------------------------------- */

/* Starts a look when it is time. */
void scheduler_look_for_overdue(struct scheduler *scheduler);

/* --- sweeps (scheduler_sweep.c) --------------------------------------------------- */

/* Starts one when the mirror has changed since the last. */
void scheduler_sweep(struct scheduler *scheduler);

#endif
