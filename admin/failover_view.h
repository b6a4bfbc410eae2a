/* SPDX-License-Identifier: Apache-2.0 */
/* What a failover or failback shows: each phase with its time. */
#ifndef MAILSTEAD_ADMIN_FAILOVER_VIEW_H
#define MAILSTEAD_ADMIN_FAILOVER_VIEW_H

#include <jansson.h>

#include "admin/failover.h"

struct failover_view {
    bool is_json;
    uint64_t started_ms, phase_ms; /* monotonic: the beginning of all, of the phase */
    enum failover_phase phase;     /* that is under way */
    bool has_copies;               /* of accounts on several nodes: no storage is shared */
};

void failover_view_init(struct failover_view *view, bool is_json);

/* What is said of the last answer, if anything. */
void failover_view_note(const struct failover_view *view, const struct failover *failover);

/* A line on its own; with --json `line` instead, an event that is taken over. */
void failover_view_event(const struct failover_view *view, json_t *line, const char *text);

/* What a node says while it works. */
void failover_view_progress(const struct failover_view *view, const char *node, const char *what);

/*
 * To be called before each action: shows the phase that is done when another begins, and gives its
 * milliseconds, else -1.
 */
int64_t failover_view_step(struct failover_view *view, const struct failover *failover);

/* How it ended. */
void failover_view_end(const struct failover_view *view, const struct failover *failover);

/* Milliseconds since it began. */
uint64_t failover_view_elapsed_ms(const struct failover_view *view);

#endif
