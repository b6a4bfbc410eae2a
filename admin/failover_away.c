/* SPDX-License-Identifier: Apache-2.0 */
/* What follows what while accounts go away from a backend. */
#include "admin/failover_private.h"

/* --- away: who takes it ------------------------------------------------------------------- */

static const char *sibling_after(const struct failover_order *order, const char *taker)
{
    for (size_t i = 0; i < order->siblings.count; i++)
        if (strcmp(order->siblings.items[i], taker) != 0)
            return order->siblings.items[i];
    return NULL;
}

static bool has_another_candidate(const struct failover *failover)
{
    return !failover_fixed_taker(failover->order) &&
           failover->candidate + 1 < failover->order->siblings.count;
}

void away_look_ask(struct failover *failover)
{
    const char *fixed = failover_fixed_taker(failover->order);

    failover->taker = fixed ? fixed : failover->order->siblings.items[failover->candidate];
    failover->node = failover->taker;
    failover->server = failover->order->backend;
}

/* Whoever took the storage in an earlier run and is not the taker now has to give it up. */
static bool must_be_freed(const struct failover *failover)
{
    const struct failover_order *order = failover->order;

    return order->prior && order->holders.count == 0 && strcmp(order->prior, failover->taker) != 0;
}

static void leave_next(struct failover *failover)
{
    failover->item = 0;
    if (failover->has_let_go)
        failover_go(failover, AWAY_ATTACH);
    else
        failover_go(failover, failover->order->is_planned ? AWAY_SYNCHRONISE : AWAY_LEAVE);
}

static void refuse_fixed_taker(struct failover *failover, const char *why)
{
    const struct failover_order *order = failover->order;
    const char *next = sibling_after(order, failover->taker);

    if (order->holders.count > 0)
        failover_end(
            failover, COMMAND_REFUSED,
            "%s has the storage of %s attached, and cannot take its accounts: %s; if %s has "
            "failed too, mailstead failover %s comes first",
            failover->taker, order->backend, why, failover->taker, failover->taker);
    else if (!order->to)
        failover_end(
            failover, COMMAND_REFUSED,
            "%s was to take %s over before, may have its storage, and cannot take its accounts "
            "now: %s; with --to another one does, once %s has let go or --is-off %s is said",
            failover->taker, order->backend, why, failover->taker, failover->taker);
    else
        failover_end(failover, COMMAND_REFUSED, "%s cannot take the accounts of %s: %s%s%s",
                     failover->taker, order->backend, why,
                     next ? "; the next of its siblings: --to " : "; it has no other sibling",
                     next ? next : "");
}

void away_look_take(struct failover *failover, enum failover_result result, const char *why)
{
    const struct failover_order *order = failover->order;

    if (result == FAILOVER_DONE && must_be_freed(failover)) {
        failover_go(failover, AWAY_FREE);
    } else if (result == FAILOVER_DONE) {
        leave_next(failover);
    } else if (failover_fixed_taker(order)) {
        refuse_fixed_taker(failover, why);
    } else if (has_another_candidate(failover)) {
        failover_say(failover, "%s cannot take the accounts of %s: %s; %s is asked",
                     failover->taker, order->backend, why,
                     order->siblings.items[++failover->candidate]);
        failover_go(failover, AWAY_LOOK);
    } else {
        failover_end(failover, COMMAND_REFUSED,
                     "%s cannot take the accounts of %s: %s; it has no other "
                     "sibling",
                     failover->taker, order->backend, why);
    }
}

/* --- away: letting go ----------------------------------------------------------------------- */

void away_free_ask(struct failover *failover)
{
    failover->node = failover->order->prior;
    failover->server = failover->order->backend;
}

void away_free_take(struct failover *failover, enum failover_result result, const char *why)
{
    const struct failover_order *order = failover->order;

    if (result == FAILOVER_DONE)
        leave_next(failover);
    else if (result == FAILOVER_SILENT && failover_is_said_to_be_off(failover, order->prior))
        failover_probe(failover);
    else
        failover_end(
            failover, COMMAND_REFUSED,
            "%s was to take %s over before, and may have its storage; it did not release it: %s; "
            "if %s is off: --is-off %s",
            order->prior, order->backend, why, order->prior, order->prior);
}

void away_synchronise_take(struct failover *failover, enum failover_result result, const char *why)
{
    bool is_accepted = failover->order->accepts_behind;

    if (result != FAILOVER_DONE && is_accepted)
        failover_say(failover, "the copies of its accounts are not complete: %s", why);
    if (result == FAILOVER_DONE || is_accepted)
        failover_go(failover, AWAY_LEAVE);
    else
        failover_end(failover, COMMAND_REFUSED,
                     "the copies of its accounts could not be completed: %s; nothing was changed; "
                     "--accept-behind goes on all the same",
                     why);
}

static void backend_has_let_go(struct failover *failover, enum failover_manner manner)
{
    failover->manner = manner;
    failover->has_let_go = true;
    failover->item = 0;
    if (manner != FAILOVER_ACKNOWLEDGED)
        failover->was_fenced = true;
    failover_go(failover, failover->order->is_planned ? AWAY_AGAIN : AWAY_ATTACH);
}

/* What is missing shows when the taker is asked. */
void away_again_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result != FAILOVER_DONE)
        failover_say(failover, "what came until %s had left is not synchronised yet: %s",
                     failover->order->backend, why);
    failover_go(failover, AWAY_ATTACH);
}

/* It answers, so that nobody's word counts. */
static void leave_refused(struct failover *failover, const char *why)
{
    const struct failover_order *order = failover->order;

    if (order->has_fence && !order->is_planned) {
        failover_say(failover, "%s answers, and did not let go: %s; it is fenced", order->backend,
                     why);
        failover_go(failover, AWAY_FENCE);
    } else {
        failover_end(
            failover, COMMAND_REFUSED,
            "%s answers, and did not let go: %s; nothing was moved, and what it has begun goes on "
            "when this is run again",
            order->backend, why);
    }
}

static void leave_silent(struct failover *failover, const char *why)
{
    const struct failover_order *order = failover->order;

    if (order->is_planned) {
        failover_end(failover, COMMAND_REFUSED,
                     "%s cannot be told to leave: %s; without --planned it is taken for failed",
                     order->backend, why);
    } else if (failover_is_said_to_be_off(failover, order->backend)) {
        failover_probe(failover);
    } else if (order->has_fence) {
        failover_say(failover, "%s cannot be told to let go: %s; it is fenced", order->backend,
                     why);
        failover_go(failover, AWAY_FENCE);
    } else {
        failover_end(
            failover, COMMAND_REFUSED,
            "%s cannot be told to let go: %s; there is no admin.fence_hook, and nothing was moved; "
            "when you have seen that it is off, and stays off: --is-off %s",
            order->backend, why, order->backend);
    }
}

void away_leave_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result == FAILOVER_DONE)
        backend_has_let_go(failover, FAILOVER_ACKNOWLEDGED);
    else if (result == FAILOVER_REFUSED)
        leave_refused(failover, why);
    else
        leave_silent(failover, why);
}

void away_fence_take(struct failover *failover, enum failover_result result, const char *why)
{
    const char *backend = failover->order->backend;

    if (result == FAILOVER_DONE)
        backend_has_let_go(failover, FAILOVER_FENCED);
    else
        failover_end(
            failover, COMMAND_REFUSED,
            "%s was not fenced: %s; nothing was moved; when you have seen that it is off, and "
            "stays off: --is-off %s",
            backend, why, backend);
}

/* --- away: attaching ---------------------------------------------------------------------------
 */

void away_storage_ask(struct failover *failover)
{
    failover->node = failover->taker;
    failover->server = failover->order->storages.items[failover->item];
}

static void taker_failed(struct failover *failover, enum failover_result result, const char *why)
{
    const char *backend = failover->order->backend;

    if (result == FAILOVER_SILENT) {
        failover_end(
            failover, COMMAND_FAILED,
            "%s was told to attach the storage of %s, and does not answer any more: %s; run it "
            "again",
            failover->taker, failover->server, why);
    } else if (has_another_candidate(failover)) {
        failover_say(failover,
                     "%s cannot serve the storage of %s: %s; it gives up what it has of it",
                     failover->taker, failover->server, why);
        failover_go(failover, AWAY_UNDO);
    } else {
        failover_end(
            failover, COMMAND_FAILED,
            "%s cannot serve the storage of %s: %s; the accounts of %s wait: run it again when "
            "that is mended, or with --to another",
            failover->taker, failover->server, why, backend);
    }
}

void away_attach_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result != FAILOVER_DONE)
        taker_failed(failover, result, why);
    else if (++failover->item < failover->order->storages.count)
        failover_go(failover, AWAY_ATTACH);
    else
        failover_go(failover, AWAY_READY);
}

void away_ready_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result == FAILOVER_DONE) {
        failover_go(failover, AWAY_BEHIND);
        return;
    }
    failover->item = failover->order->storages.count - 1; /* it has them all */
    taker_failed(failover, result, why);
}

void away_behind_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result == FAILOVER_DONE) {
        failover_go(failover, REWRITE);
    } else if (failover->order->accepts_behind) {
        failover_say(failover, "%s; they go all the same", why);
        failover_go(failover, REWRITE);
    } else {
        failover_end(failover, COMMAND_REFUSED,
                     "%s; the accounts of %s wait; --accept-behind moves them as they are", why,
                     failover->order->backend);
    }
}

void away_undo_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result != FAILOVER_DONE) {
        failover_end(failover, COMMAND_FAILED,
                     "%s cannot take it, and did not give up the storage of %s either: %s",
                     failover->taker, failover->server, why);
    } else if (failover->item > 0) {
        failover->item--;
        failover_go(failover, AWAY_UNDO);
    } else {
        failover->candidate++;
        failover_say(failover, "%s is asked", failover->order->siblings.items[failover->candidate]);
        failover_go(failover, AWAY_LOOK);
    }
}

void away_backend_is_off(struct failover *failover)
{
    backend_has_let_go(failover, FAILOVER_WORD);
}

void away_prior_is_off(struct failover *failover)
{
    leave_next(failover);
}
