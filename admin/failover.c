/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state is one thing to do at one node, a row of a table: what it asks for, in which phase, and
 * what follows.  In doubt nothing is attached and nothing moves: a node that is silent
 * counts as one that has everything it was ever given.
 */
#include "admin/failover_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define ROW(name, ...)                                                                             \
    {                                                                                              \
        name, FOLLOWERS(__VA_ARGS__, ENDED, ENDED, ENDED, ENDED, ENDED)                            \
    }
#define FOLLOWERS(a, b, c, d, e, ...)                                                              \
    (STATE_BIT(ENDED) | STATE_BIT(a) | STATE_BIT(b) | STATE_BIT(c) | STATE_BIT(d) | STATE_BIT(e))

static const struct state_row rows[STATE_COUNT] = {
    [AWAY_LOOK] = ROW("look", AWAY_LOOK, AWAY_FREE, AWAY_SYNCHRONISE, AWAY_LEAVE, AWAY_ATTACH),
    [AWAY_FREE] = ROW("free", PROBE, AWAY_SYNCHRONISE, AWAY_LEAVE),
    [AWAY_SYNCHRONISE] = ROW("synchronise", AWAY_LEAVE),
    [AWAY_LEAVE] = ROW("leave", PROBE, AWAY_FENCE, AWAY_AGAIN, AWAY_ATTACH),
    [AWAY_AGAIN] = ROW("again", AWAY_ATTACH),
    [AWAY_FENCE] = ROW("fence", AWAY_ATTACH),
    [AWAY_ATTACH] = ROW("attach", AWAY_ATTACH, AWAY_READY, AWAY_UNDO),
    [AWAY_READY] = ROW("ready", AWAY_BEHIND, AWAY_UNDO),
    [AWAY_BEHIND] = ROW("behind", REWRITE),
    [AWAY_UNDO] = ROW("undo", AWAY_UNDO, AWAY_LOOK),
    [HOME_LOOK] = ROW("look", HOME_SYNCHRONISE, HOME_RETURN),
    [HOME_SYNCHRONISE] = ROW("synchronise", HOME_SYNCHRONISE, HOME_RELEASE),
    [HOME_RELEASE] = ROW("release", HOME_RELEASE, PROBE, HOME_RETURN),
    [HOME_RETURN] = ROW("return", HOME_ATTACH, HOME_UNDO_LEAVE),
    [HOME_ATTACH] = ROW("attach", HOME_READY, HOME_UNDO_LEAVE),
    [HOME_READY] = ROW("ready", HOME_LAST, REWRITE, HOME_UNDO_LEAVE),
    [HOME_LAST] = ROW("last", HOME_LAST, REWRITE, HOME_UNDO_LEAVE),
    [HOME_UNDO_LEAVE] = ROW("undo leave", HOME_UNDO_ATTACH),
    [HOME_UNDO_ATTACH] = ROW("undo attach", HOME_UNDO_ATTACH),
    [HOME_AGAIN] = ROW("again", HOME_AGAIN),
    [PROBE] = ROW("probe", AWAY_SYNCHRONISE, AWAY_LEAVE, AWAY_ATTACH, HOME_RELEASE, HOME_RETURN),
    [REWRITE] = ROW("rewrite", FOLLOW),
    [FOLLOW] = ROW("follow", HOME_AGAIN),
    [ENDED] = { "ended", 0 },
};

/* --- words ------------------------------------------------------------------------------ */

void failover_say(struct failover *failover, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vsnprintf(failover->note, sizeof(failover->note), format, values);
    va_end(values);
}

/* Once the backend has let go, something was done, whatever stops it. */
void failover_end(struct failover *failover, enum command_status status, const char *format, ...)
{
    bool is_partly = failover->has_let_go && status < COMMAND_PARTLY;
    va_list values;

    va_start(values, format);
    vsnprintf(failover->why, sizeof(failover->why), format, values);
    va_end(values);
    failover->status = is_partly ? COMMAND_PARTLY : status;
    state_move(&failover->state, ENDED);
}

static bool has_name(const struct failover_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0)
            return true;
    return false;
}

bool failover_is_said_to_be_off(const struct failover *failover, const char *node)
{
    return has_name(&failover->order->off, node);
}

const char *failover_fixed_taker(const struct failover_order *order)
{
    if (order->holders.count > 0)
        return order->holders.items[0];
    return order->to ? order->to : order->prior;
}

/* --- what is asked ---------------------------------------------------------------------------- */

static void backend_ask(struct failover *failover)
{
    failover->node = failover->order->backend;
    failover->server = failover->order->backend;
}

static void taker_ask(struct failover *failover)
{
    failover->node = failover->taker;
    failover->server = failover->order->backend;
}

static void same_ask(struct failover *failover)
{
    (void)failover; /* of the node that was silent */
}

/* --- a node that is said to be off --------------------------------------------------------------
 */

void failover_probe(struct failover *failover)
{
    failover->probed_from = failover->state;
    failover_go(failover, PROBE);
}

static void probe_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result != FAILOVER_DONE) {
        failover_end(failover, COMMAND_REFUSED, "%s is not off: %s; nothing was moved",
                     failover->node, why);
        return;
    }
    failover->was_fenced = true;
    if (failover->probed_from.current == AWAY_LEAVE)
        away_backend_is_off(failover);
    else if (failover->probed_from.current == AWAY_FREE)
        away_prior_is_off(failover);
    else
        home_holder_is_off(failover);
}

/* --- both ------------------------------------------------------------------------------------- */

static void rewrite_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result == FAILOVER_DONE)
        failover_go(failover, FOLLOW);
    else
        failover_end(failover, COMMAND_FAILED, "%s", why);
}

/* Who lags follows by itself. */
static void follow_take(struct failover *failover, enum failover_result result, const char *why)
{
    const struct failover_order *order = failover->order;

    (void)result;
    (void)why;
    failover->item = 0;
    failover_go(failover,
                order->kind == FAILOVER_HOME && order->holders.count > 0 ? HOME_AGAIN : ENDED);
}

struct step {
    enum failover_action action;
    enum failover_phase phase;
    void (*ask)(struct failover *failover);
    void (*take)(struct failover *failover, enum failover_result result, const char *why);
};

static const struct step steps[STATE_COUNT] = {
    [AWAY_LOOK] = { FAILOVER_ASK_TAKER, FAILOVER_LOOK, away_look_ask, away_look_take },
    [AWAY_FREE] = { FAILOVER_ORDER_RELEASE, FAILOVER_LET_GO, away_free_ask, away_free_take },
    [AWAY_SYNCHRONISE] = { FAILOVER_SYNCHRONISE, FAILOVER_LET_GO, backend_ask,
                           away_synchronise_take },
    [AWAY_LEAVE] = { FAILOVER_ORDER_LEAVE, FAILOVER_LET_GO, backend_ask, away_leave_take },
    [AWAY_AGAIN] = { FAILOVER_SYNCHRONISE, FAILOVER_LET_GO, backend_ask, away_again_take },
    [AWAY_FENCE] = { FAILOVER_FENCE, FAILOVER_LET_GO, backend_ask, away_fence_take },
    [AWAY_ATTACH] = { FAILOVER_ORDER_ATTACH, FAILOVER_ATTACH, away_storage_ask, away_attach_take },
    [AWAY_READY] = { FAILOVER_AWAIT_READY, FAILOVER_ATTACH, taker_ask, away_ready_take },
    [AWAY_BEHIND] = { FAILOVER_ASK_BEHIND, FAILOVER_ATTACH, taker_ask, away_behind_take },
    [AWAY_UNDO] = { FAILOVER_ORDER_RELEASE, FAILOVER_ATTACH, away_storage_ask, away_undo_take },
    [HOME_LOOK] = { FAILOVER_ASK_BACKEND, FAILOVER_LOOK, backend_ask, home_look_take },
    [HOME_SYNCHRONISE] = { FAILOVER_SYNCHRONISE, FAILOVER_LET_GO, home_holder_ask,
                           home_synchronise_take },
    [HOME_RELEASE] = { FAILOVER_ORDER_RELEASE, FAILOVER_LET_GO, home_holder_ask,
                       home_release_take },
    [HOME_RETURN] = { FAILOVER_ORDER_RETURN, FAILOVER_ATTACH, backend_ask, home_return_take },
    [HOME_ATTACH] = { FAILOVER_ORDER_ATTACH, FAILOVER_ATTACH, backend_ask, home_attach_take },
    [HOME_READY] = { FAILOVER_AWAIT_READY, FAILOVER_ATTACH, backend_ask, home_ready_take },
    [HOME_LAST] = { FAILOVER_SYNCHRONISE, FAILOVER_ATTACH, home_holder_ask, home_last_take },
    [HOME_UNDO_LEAVE] = { FAILOVER_ORDER_LEAVE, FAILOVER_ATTACH, backend_ask,
                          home_undo_leave_take },
    [HOME_UNDO_ATTACH] = { FAILOVER_ORDER_ATTACH, FAILOVER_ATTACH, home_holder_ask,
                           home_undo_attach_take },
    [HOME_AGAIN] = { FAILOVER_SYNCHRONISE, FAILOVER_FOLLOW, home_holder_ask, home_again_take },
    [PROBE] = { FAILOVER_PROBE, FAILOVER_LET_GO, same_ask, probe_take },
    [REWRITE] = { FAILOVER_DO_REWRITE, FAILOVER_REWRITE, taker_ask, rewrite_take },
    [FOLLOW] = { FAILOVER_SHOW_FOLLOWERS, FAILOVER_FOLLOW, taker_ask, follow_take },
    [ENDED] = { FAILOVER_END, FAILOVER_FOLLOW, same_ask, NULL },
};

/* What stands in the way before anybody is asked. */
static void judge(struct failover *failover)
{
    const struct failover_order *order = failover->order;

    if (order->kind == FAILOVER_HOME)
        return;
    if (order->holders.count > 1)
        failover_end(
            failover, COMMAND_REFUSED,
            "accounts whose mail is on the storage of %s are on several backends, %s and %s among "
            "them; one storage is on one node: mailstead failback %s first, or mailstead reassign",
            order->backend, order->holders.items[0], order->holders.items[1], order->backend);
    else if (order->holders.count == 1 && order->to &&
             strcmp(order->to, order->holders.items[0]) != 0)
        failover_end(
            failover, COMMAND_REFUSED,
            "the storage of %s is at %s, where accounts of it are already: --to %s, or mailstead "
            "failover %s first",
            order->backend, order->holders.items[0], order->holders.items[0],
            order->holders.items[0]);
    else if (!failover_fixed_taker(order) && order->siblings.count == 0)
        failover_end(failover, COMMAND_REFUSED,
                     "%s has no siblings; expected cluster.backend \"%s\".siblings, or --to",
                     order->backend, order->backend);
}

void failover_init(struct failover *failover, const struct failover_order *order)
{
    *failover = (struct failover){ .order = order, .status = COMMAND_OK };
    failover->taker = order->kind == FAILOVER_HOME ? order->backend : NULL;
    state_init(&failover->state, rows, order->kind == FAILOVER_HOME ? HOME_LOOK : AWAY_LOOK);
    judge(failover);
}

enum failover_action failover_next(struct failover *failover)
{
    const struct step *step = &steps[failover->state.current];

    step->ask(failover);
    return step->action;
}

void failover_answer(struct failover *failover, enum failover_result result, const char *why)
{
    const struct step *step = &steps[failover->state.current];

    assert(step->take);
    failover->note[0] = '\0';
    step->take(failover, result, why);
}

void failover_stop(struct failover *failover, enum command_status status, const char *why)
{
    failover_end(failover, status, "%s", why);
}

enum failover_phase failover_phase(const struct failover *failover)
{
    return steps[failover->state.current].phase;
}

const char *failover_phase_name(enum failover_kind kind, enum failover_phase phase)
{
    static const char *const names[2][FAILOVER_PHASES] = {
        [FAILOVER_AWAY] = { "look", "let go", "attach", "rewrite", "follow" },
        [FAILOVER_HOME] = { "look", "release", "return", "rewrite", "follow" },
    };

    return names[kind][phase];
}
