/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a commit waits for more to join it.  A sync costs the same for one message as for fifty,
 * and senders whose answers come together come again one by one, the more so on a busy machine:
 * without a wait they soon come in twos and threes, for ever.  So a batch waits until as many have
 * gathered as there seem to be senders, but for no more than a few milliseconds after the last one
 * came.  How many senders there are is found out: by what is open at a time, and by a wait for half
as many again, now and then, the more rarely the oftener it was in vain.  Who is alone waits 5 ms
once in 64 batches.  It has neither clock nor loop.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_GATHERING_H
#define MAILSTEAD_FRONTEND_QUEUE_GATHERING_H

#include <stdint.h>

/* All zero: nothing is known.  Times are in milliseconds, of any clock that never goes back. */
struct gathering {
    unsigned crowd; /* operations that were open at a time lately: at least as many senders */
    unsigned pause, pauses;     /* batches until the next try for more; how many it was last time */
    uint64_t ended_ms;          /* the last batch */
    uint64_t first_ms, last_ms; /* when the first and the last came of those who wait */
};

/* Another operation came; `waiting`: with it, and without those of a batch that runs. */
void gathering_add(struct gathering *gathering, unsigned waiting, uint64_t now_ms);

/* A batch of `count` operations has ended, and `waiting` came meanwhile. */
void gathering_end_batch(struct gathering *gathering, unsigned count, unsigned waiting,
                         uint64_t now_ms);

/*
 * How long the `waiting` operations, one at least, are to wait for others if nothing comes
 * meanwhile; 0: they go now.  To be asked again when one comes, and when the time is over.
 */
uint64_t gathering_wait_ms(const struct gathering *gathering, unsigned waiting, uint64_t now_ms);

#endif
