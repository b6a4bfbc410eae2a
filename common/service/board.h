/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board: memory shared by all processes of a daemon, made by the supervisor
 * before the first fork.  Each child writes its own slot (heartbeat, counters);
 * anyone may read.  Only atomic operations, no locks.  A slot is the supervisor's to
 * give and take; when its process is gone, what it counted moves to `retired`.
 */
#ifndef MAILSTEAD_SERVICE_BOARD_H
#define MAILSTEAD_SERVICE_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/ramp.h"
#include "common/service/block_list.h"
#include "common/service/event_counts.h"
#include "common/service/meter.h"
#include "common/service/node_board.h"

enum {
    BOARD_SLOTS = 160,    /* processes at one time, both generations */
    BOARD_BACKENDS = 4096 /* backends whose health is kept, in the daemon's whole life */
};

/* What a frontend thinks of a backend. */
enum board_health_state { BOARD_HEALTH_UNKNOWN, BOARD_HEALTH_UP, BOARD_HEALTH_DOWN };
extern const char *const board_health_names[3]; /* "unknown", "up", "down" */

/* What a process counts; the names are in board_counter_names, in this order. */
enum board_counter {
    BOARD_SESSIONS,    /* open now */
    BOARD_CONNECTIONS, /* accepted in all */
    BOARD_LOGINS,      /* accepted by a backend */
    BOARD_LOGINS_REFUSED,
    BOARD_LOGINS_TEMPORARY, /* refused temporarily by us */
    BOARD_MESSAGES_CUT_THROUGH,
    BOARD_MESSAGES_QUEUED,
    BOARD_MESSAGES_REFUSED,
    BOARD_RECIPIENTS_DELIVERED,
    BOARD_RECIPIENTS_DEFERRED,
    BOARD_RECIPIENTS_FAILED,
    BOARD_RECIPIENTS_LIMITED, /* refused to an account that has had its share of the hour */
    BOARD_QUEUE_MESSAGES,     /* in the queue now */
    BOARD_QUEUE_RECIPIENTS,
    BOARD_COUNTERS
};
extern const char *const board_counter_names[BOARD_COUNTERS];

struct board_slot {
    _Atomic pid_t pid;             /* 0: free */
    _Atomic uint64_t heartbeat_ms; /* clock_monotonic_ms of the child's last turn */
    _Atomic uint64_t generation;
    _Atomic int role;     /* index into the program's roles */
    _Atomic int number;   /* of the worker; 0 otherwise */
    _Atomic int is_ready; /* its loop runs */
    _Atomic int is_draining;
    _Atomic int64_t counters[BOARD_COUNTERS];
    _Atomic unsigned storage_sessions[BOARD_STORAGES]; /* that use each; node_board_use */
};

/* The health of one backend for one protocol, as this frontend sees it. */
struct board_health {
    _Atomic int state;          /* enum board_health_state */
    _Atomic unsigned failures;  /* in a row */
    _Atomic unsigned successes; /* in a row */
    _Atomic uint64_t accuser;   /* who told of the last failure: 0 a probe, else a session */
    _Atomic uint64_t since_ms;  /* monotonic, of the last change of state */
    _Atomic unsigned relapses;  /* how often it came up and went down again soon */
    _Atomic uint64_t offers; /* what it said that it offers (common/proto/offers.h); 0: unknown */
    struct ramp returning;   /* all that is new, once it is up again */
    struct ramp crowd;       /* logins that have waited elsewhere, or for it */
};

struct board_backend {
    _Atomic uint64_t key;          /* backend_key; 0: the row is free */
    struct board_health health[5]; /* [enum protocol]: those of backends */
};

struct board {
    _Atomic uint64_t started_ms;
    _Atomic uint64_t generation;      /* the newest that serves */
    _Atomic uint64_t mirror_revision; /* of the last committed change; 0 before the first */
    _Atomic uint64_t mirror_entries;
    _Atomic int mirror_is_synchronised; /* at least once since the daemon started */
    _Atomic int directory_is_connected;
    _Atomic uint64_t mirror_stale_since_ms; /* monotonic; 0: it is up to date, or never was */
    _Atomic int queue_is_refusing;          /* nothing can be written there at the moment */
    struct turns departure;                 /* of sessions that must go */
    _Atomic uint64_t drain_deadline_ms;     /* monotonic; 0: connections are taken (drain.h) */
    struct board_slot slots[BOARD_SLOTS];
    struct board_slot retired; /* the counters of the processes that are gone */
    struct board_backend backends[BOARD_BACKENDS];
    struct tally tally; /* sessions and failures of strangers, whichever worker they come to */
    struct block_list blocks;
    struct meter recipients; /* that accounts submitted mail for */
    struct board_node node;  /* of a backend: node_board.h */
    struct event_counts events;
};

/* Makes the shared board, zeroed; NULL and errno when the system refuses. */
struct board *board_new(void);

/* Adds `amount` to a counter of `slot`. */
static inline void board_count(struct board_slot *slot, enum board_counter counter, int64_t amount)
{
    atomic_fetch_add_explicit(&slot->counters[counter], amount, memory_order_relaxed);
}

/* The sum of a counter over all processes, those that are gone too. */
int64_t board_sum(const struct board *board, enum board_counter counter);

/*
 * The row of the backend with this key; whichever process needs it first takes it, and it is never
 * given back.  NULL when there is none left: then nothing is known of the backend's health.
 */
struct board_backend *board_backend(struct board *board, uint64_t key);

/* Unmaps it; for tests, a daemon keeps it to its end. */
void board_free(struct board *board);

/* For the supervisor alone: a free slot, zeroed; NULL when all are taken. */
struct board_slot *board_take_slot(struct board *board);

/* For the supervisor alone: frees the slot of a process that is gone and keeps its counts in
 * `retired`. */
void board_retire_slot(struct board *board, struct board_slot *slot);

#endif
