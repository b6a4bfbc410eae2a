/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/event_counts.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/hash.h"

static struct event_counts *followed;

/* Whoever takes a free row names it; until then nobody shows it. */
static struct event_count *find_row(struct event_counts *counts, uint64_t key, const char *event)
{
    for (size_t i = 0; i < EVENT_COUNTS_ROWS; i++) {
        struct event_count *row = &counts->rows[(key + i) % EVENT_COUNTS_ROWS];
        uint64_t found = 0;

        if (atomic_compare_exchange_strong(&row->key, &found, key)) {
            snprintf(row->name, sizeof(row->name), "%s", event);
            atomic_store(&row->is_named, 1);
            return row;
        }
        if (found == key)
            return row;
    }
    return NULL;
}

void event_counts_add(struct event_counts *counts, const char *event)
{
    uint64_t key = hash_string(event) | 1;
    struct event_count *row = find_row(counts, key, event);

    if (!row)
        return;
    atomic_fetch_add(&row->count, 1);
    atomic_store(&row->last_s, clock_wall_ms() / 1000);
}

static void on_event(enum log_level level, const char *event)
{
    if (followed && level >= LOG_LEVEL_WARNING)
        event_counts_add(followed, event);
}

void event_counts_follow_log(struct event_counts *counts)
{
    followed = counts;
    log_set_observer(counts ? on_event : NULL);
}
