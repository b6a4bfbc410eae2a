/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/state.h"

#include <stdio.h>
#include <stdlib.h>

void state_move(struct state *state, unsigned next)
{
    const struct state_row *row = &state->table[state->current];

    if (!(row->next & STATE_BIT(next))) {
        fprintf(stderr, "mailstead: bug: state %s may not become %s\n", row->name,
                state->table[next].name);
        abort();
    }
    state->current = next;
}
