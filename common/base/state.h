/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state has a name, a table that says which states may follow, and one
 * mover.  A move that the table does not allow is a bug and aborts.
 */
#ifndef MAILSTEAD_BASE_STATE_H
#define MAILSTEAD_BASE_STATE_H

#include <stdint.h>

struct state_row {
    const char *name;
    uint32_t next; /* bit set of the states that may follow: STATE_BIT(a) | ... */
};

#define STATE_BIT(state) (UINT32_C(1) << (state))

struct state {
    const struct state_row *table; /* static, indexed by state number below 32 */
    unsigned current;
};

/* Starts at `initial` of `table`. */
static inline void state_init(struct state *state, const struct state_row *table, unsigned initial)
{
    *state = (struct state){ table, initial };
}

/* Moves to `next`; aborts with both names when the table does not allow it. */
void state_move(struct state *state, unsigned next);

/* The current state's name, for the log. */
static inline const char *state_name(const struct state *state)
{
    return state->table[state->current].name;
}

#endif
