/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/queue/gathering.h"

#include <stdbool.h>

enum {
    GATHERING_CROWD_MIN = 4,   /* below it a sender may be alone, with what his messages lead to */
    GATHERING_WANTED_MAX = 32, /* more save little */
    GATHERING_PAUSE_MAX = 63,
    GATHERING_GAP_MS = 10, /* without one more */
    GATHERING_SMALL_GAP_MS = 5,
    GATHERING_SMALL_CROWD = 6,
    GATHERING_MS_MAX = 40, /* a busy machine lets fifty senders go on within it */
    GATHERING_MEMORY_MS = 200
};

void gathering_add(struct gathering *gathering, unsigned waiting, uint64_t now_ms)
{
    if (waiting == 1)
        gathering->first_ms = now_ms;
    gathering->last_ms = now_ms;
}

/* What three of four of them are is as much as is ever wanted. */
static bool is_large(unsigned crowd)
{
    return crowd - crowd / 4 >= GATHERING_WANTED_MAX;
}

static void plan_next_try(struct gathering *gathering, unsigned open)
{
    bool was_useful = gathering->crowd > 0 && open > gathering->crowd;

    if (gathering->pause > 0) {
        gathering->pause--;
    } else if (was_useful || is_large(gathering->crowd)) {
        gathering->pauses = 0;
    } else {
        gathering->pauses = gathering->pauses * 2 + 1;
        if (gathering->pauses > GATHERING_PAUSE_MAX)
            gathering->pauses = GATHERING_PAUSE_MAX;
        gathering->pause = gathering->pauses;
    }
}

void gathering_end_batch(struct gathering *gathering, unsigned count, unsigned waiting,
                         uint64_t now_ms)
{
    unsigned open = count + waiting;

    plan_next_try(gathering, open);
    if (open >= gathering->crowd)
        gathering->crowd = open;
    else
        gathering->crowd -= (gathering->crowd - open + 1) / 2;
    gathering->ended_ms = now_ms;
}

/* Three of four: not all who were here come again, and some are slow.  Or more: are there more? */
static unsigned wanted(const struct gathering *gathering)
{
    unsigned crowd = gathering->crowd;

    if (is_large(crowd))
        return GATHERING_WANTED_MAX;
    if (gathering->pause == 0)
        crowd += crowd / 2 + 1;
    else if (crowd < GATHERING_CROWD_MIN)
        return 0;
    else
        crowd -= crowd / 4;
    return crowd < GATHERING_WANTED_MAX ? crowd : GATHERING_WANTED_MAX;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t gathering_wait_ms(const struct gathering *gathering, unsigned waiting, uint64_t now_ms)
{
    uint64_t began_ms = later(gathering->first_ms, gathering->ended_ms);
    uint64_t gap_ms =
        gathering->crowd < GATHERING_SMALL_CROWD ? GATHERING_SMALL_GAP_MS : GATHERING_GAP_MS;
    uint64_t end_ms = began_ms + GATHERING_MS_MAX;
    uint64_t gap_end_ms = later(gathering->last_ms, began_ms) + gap_ms;

    if (waiting >= wanted(gathering) || now_ms > gathering->ended_ms + GATHERING_MEMORY_MS)
        return 0;
    if (gap_end_ms < end_ms)
        end_ms = gap_end_ms;
    return end_ms > now_ms ? end_ms - now_ms : 0;
}
