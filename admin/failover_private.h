/* SPDX-License-Identifier: Apache-2.0 */
/* What failover.c (the table), failover_away.c and failover_home.c (what follows what) share. */
#ifndef MAILSTEAD_ADMIN_FAILOVER_PRIVATE_H
#define MAILSTEAD_ADMIN_FAILOVER_PRIVATE_H

#include <string.h>

#include "admin/failover.h"

enum failover_state {
    AWAY_LOOK,
    AWAY_FREE,        /* who took it in an earlier run gives it up */
    AWAY_SYNCHRONISE, /* planned: the copies are complete when the backend leaves */
    AWAY_LEAVE,
    AWAY_AGAIN, /* planned: what came until it had left */
    AWAY_FENCE,
    AWAY_ATTACH,
    AWAY_READY,
    AWAY_BEHIND,
    AWAY_UNDO, /* the taker cannot take it: it gives back what it has, and the next one is asked */
    HOME_LOOK,
    HOME_SYNCHRONISE,
    HOME_RELEASE,
    HOME_RETURN,
    HOME_ATTACH,
    HOME_READY,
    HOME_LAST,       /* what came until they had let go */
    HOME_UNDO_LEAVE, /* the backend cannot return: its accounts go on where they are */
    HOME_UNDO_ATTACH,
    HOME_AGAIN, /* what came all the same */
    PROBE,      /* of a silent node that is said to be off */
    REWRITE,
    FOLLOW,
    ENDED,
    STATE_COUNT
};

/* What is to be said of the last answer. */
void failover_say(struct failover *failover, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* It ends so; COMMAND_PARTLY once something has let go. */
void failover_end(struct failover *failover, enum command_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline void failover_go(struct failover *failover, enum failover_state state)
{
    state_move(&failover->state, state);
}

bool failover_is_said_to_be_off(const struct failover *failover, const char *node);

/* The node was silent, and is said to be off: whether anything of it answers. */
void failover_probe(struct failover *failover);

/* The taker that there is no choice about, or NULL. */
const char *failover_fixed_taker(const struct failover_order *order);

/* What a state asks for: failover.node and failover.server. */
typedef void failover_ask(struct failover *failover);
failover_ask away_look_ask, away_free_ask, away_storage_ask, home_holder_ask;

/* What follows an answer. */
typedef void failover_take(struct failover *failover, enum failover_result result, const char *why);
failover_take away_look_take, away_free_take, away_synchronise_take, away_leave_take,
    away_again_take, away_fence_take, away_attach_take, away_ready_take, away_behind_take,
    away_undo_take;
failover_take home_look_take, home_synchronise_take, home_release_take, home_return_take,
    home_attach_take, home_ready_take, home_last_take, home_undo_leave_take, home_undo_attach_take,
    home_again_take;

/* A silent node really is off: on from where it was probed. */
void away_backend_is_off(struct failover *failover);
void away_prior_is_off(struct failover *failover);
void home_holder_is_off(struct failover *failover);

#endif
