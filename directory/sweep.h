/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a refresh that showed everything: counts what it did not show, judges whether that may
 * be believed, removes what may and holds the rest.  A large mirror takes many turns of the
 * loop, none of which is long; what is put meanwhile counts as shown.
 */
#ifndef MAILSTEAD_DIRECTORY_SWEEP_H
#define MAILSTEAD_DIRECTORY_SWEEP_H

#include "common/io/loop.h"
#include "directory/domain_counts.h"

struct sweep_events {
    /* So many are missing that somebody should look; false: the sweep is over, all stays. */
    bool (*doubted)(void *context, struct domain_counts *doubts);
    /* It is done; `doubts` (NULL: none) says who was held. */
    void (*done)(void *context, struct domain_counts *doubts);
};

struct sweep {
    struct io_loop *loop;
    struct mirror_writer *writer;
    const struct directory_config *config;
    const struct sweep_events *events;
    void *context;
    struct domain_counts *counts; /* NULL: too few are missing to count */
    bool is_counting;
    int64_t after;
    struct io_resumption more;
};

/* All is borrowed until the last sweep ended or was cancelled. */
void sweep_init(struct sweep *sweep, struct io_loop *loop, struct mirror_writer *writer,
                const struct directory_config *config, const struct sweep_events *events,
                void *context);

/* Starts; an event may come before it returns. */
void sweep_start(struct sweep *sweep);

/* No event from now on; also when none is under way. */
void sweep_cancel(struct sweep *sweep);

#endif
