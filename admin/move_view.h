/* SPDX-License-Identifier: Apache-2.0 */
/* What reassign and restore show of a run: its progress, what is wrong with entries, its result. */
#ifndef MAILSTEAD_ADMIN_MOVE_VIEW_H
#define MAILSTEAD_ADMIN_MOVE_VIEW_H

#include "directory/reassign/reassign.h"

enum { MOVE_VIEW_SAMPLES = 32 };

/* How much was done at a moment of the run. */
struct move_sample {
    uint64_t elapsed_ms, done;
};

struct move_view {
    const struct reassign_plan *plan;
    bool is_json;
    bool is_terminal; /* where progress goes: one line is written over */
    bool is_changing; /* the samples are of that phase */
    uint64_t shown_ms;
    unsigned complaints;
    struct move_sample samples[MOVE_VIEW_SAMPLES]; /* of the last seconds; a ring */
    size_t sample_count;                           /* ever; one at least */
    struct move_sample last;
};

/* `plan` outlives it. */
void move_view_init(struct move_view *view, const struct reassign_plan *plan, bool is_json);

/* To standard error for people, where a line is written over on a terminal; as JSON to standard
 * output. */
void move_view_progress(struct move_view *view, const struct reassign_progress *progress);
void move_view_complaint(struct move_view *view, const char *dn, const char *why);

/* That an interrupt was understood. */
void move_view_stopping(struct move_view *view);

void move_view_result(struct move_view *view, const struct reassign_result *result);

#endif
