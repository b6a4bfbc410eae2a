/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of a worker that must go because their account went elsewhere.
 *
 * They wait in order and go no faster than limits.disconnects_per_second, which holds for all
 * workers of the daemon in both generations together (the board keeps the pace), so that their
 * clients do not all log in again at once.  The backend node does not wait.  Whoever is to go is
 * looked up once more at his turn: a session whose account came back meanwhile stays, and one
 * whose account is in doubt stays until the doubt is over.  A client that says something while it
 * waits goes next.
 */
#ifndef MAILSTEAD_SESSION_DEPARTURES_H
#define MAILSTEAD_SESSION_DEPARTURES_H

#include "common/base/list.h"
#include "common/io/loop.h"

struct session;
struct session_service;

struct departures {
    struct session_service *service;
    struct list waiting;            /* of struct session, first who goes next */
    size_t unchecked;               /* sessions that are still to be compared with the mirror */
    uint64_t ended, kept, began_ms; /* since somebody began to wait */
    uv_timer_t timer;
    uint64_t drain_deadline_ms; /* 0: it is not drained */
    bool is_blind;              /* the mirror could not be read just now */
    bool is_stopped;
    void (*stopped)(struct session_service *service);
};

void departures_init(struct departures *departures, struct session_service *service);

/* Ends it; who waits stays.  `stopped` is called later from the loop. */
void departures_stop(struct departures *departures,
                     void (*stopped)(struct session_service *service));

/* The directory says that the account of `session` is elsewhere. */
void departures_add(struct departures *departures, struct session *session);

/*
 * The backend of `session` has ended it, of its own accord: its client waits, whatever the
 * directory says.  `reason` is static.
 */
void departures_add_abandoned(struct departures *departures, struct session *session,
                              const char *reason);

/*
 * All sessions are to go, each when it is not busy; at `deadline_ms` (monotonic) whatever they do,
 * and all at once.
 */
void departures_drain(struct departures *departures, uint64_t deadline_ms);

/* Those that wait for that alone stay. */
void departures_undrain(struct departures *departures);

/* `session` need not go any more; does nothing for one that does not wait. */
void departures_remove(struct session *session);

/* True while it waits. */
bool departures_has(const struct session *session);

/* The client of `session`, which waits, said something: it goes next. */
void departures_hurry(struct departures *departures, struct session *session);

/* Compares all sessions with the mirror, some in each turn of the loop. */
void departures_check_all(struct departures *departures);

/* True when the mirror says now that the account of `session` is not where it is logged in. */
bool departures_has_moved(const struct session *session);

#endif
