/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage process's side of the hand: jobs that are started, have a deadline, and end.  A job
 * that is not over in time is killed, and what cannot be killed is given up a moment later: its
 * end is told in any case.
 */
#ifndef MAILSTEAD_BACKEND_STORAGE_JOBS_H
#define MAILSTEAD_BACKEND_STORAGE_JOBS_H

#include "backend/storage_claim.h"
#include "backend/storage_hand.h"
#include "common/base/list.h"
#include "common/io/channel.h"

struct storage_jobs {
    struct child *child;
    struct channel channel;
    bool is_open;
    struct list running; /* of struct storage_job */
    uint32_t last_number;
    void (*lost)(struct storage_jobs *jobs); /* the hand is gone: this process cannot go on */
};

/* Owned by whoever starts it; zeroed at first. */
struct storage_job {
    struct list node;
    uint32_t number; /* 0: it does not run */
    enum hand_task kind;
    uint64_t due_ms; /* monotonic */
    bool is_killed;
    char why[STORAGE_WHY_SIZE]; /* what was told last when all was not well */
    /* A keeper's word that all is well.  NULL: it is none. */
    void (*is_well)(struct storage_job *job);
    /* It is over, with `why` when it did not succeed; it may be started again from here. */
    void (*ended)(struct storage_job *job, bool is_good);
};

void storage_jobs_start(struct storage_jobs *jobs, struct child *child,
                        void (*lost)(struct storage_jobs *jobs));
void storage_jobs_stop(struct storage_jobs *jobs);

/* To be called a few times a second: ends what is overdue. */
void storage_jobs_look(struct storage_jobs *jobs);

/* Starts `job`, whose functions are set and which does not run, for `timeout_ms` at most. */
void storage_job_start(struct storage_jobs *jobs, struct storage_job *job, enum hand_task kind,
                       const char *server, bool flag, uint64_t timeout_ms);

/* It has so long from now on. */
void storage_job_extend(struct storage_job *job, uint64_t timeout_ms);

/* Asks a keeper to release its claim and end, in `timeout_ms`. */
void storage_job_dismiss(struct storage_jobs *jobs, struct storage_job *job, uint64_t timeout_ms);

#endif
