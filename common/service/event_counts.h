/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often each warning and error was logged, in all processes of a daemon: what alarms are made
 * of.  On the board; rows are found by the event's name and only ever added.
 */
#ifndef MAILSTEAD_SERVICE_EVENT_COUNTS_H
#define MAILSTEAD_SERVICE_EVENT_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/log.h"

enum { EVENT_COUNTS_ROWS = 256, EVENT_NAME_SIZE = 48 };

struct event_count {
    _Atomic uint64_t key; /* 0: the row is free */
    _Atomic int is_named; /* `name` is whole */
    char name[EVENT_NAME_SIZE];
    _Atomic uint64_t count;
    _Atomic int64_t last_s; /* Unix time */
};

/* Zeroed: none yet. */
struct event_counts {
    struct event_count rows[EVENT_COUNTS_ROWS];
};

/* Counts one now; when all rows are taken, a new event is not counted. */
void event_counts_add(struct event_counts *counts, const char *event);

/* This process, and those that it forks from now on, count there what they log. */
void event_counts_follow_log(struct event_counts *counts);

#endif
