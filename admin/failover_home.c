/* SPDX-License-Identifier: Apache-2.0 */
/* What follows what while accounts go home to a backend. */
#include "admin/failover_private.h"

/* --- home ------------------------------------------------------------------------------------- */

/* The holder has synchronised, or there is a word of the operator for what it has not. */
static bool is_settled(const struct failover *failover, enum failover_result result)
{
    return result == FAILOVER_DONE || failover->order->accepts_behind ||
           (result == FAILOVER_SILENT && failover_is_said_to_be_off(failover, failover->node));
}

void home_look_take(struct failover *failover, enum failover_result result, const char *why)
{
    const char *backend = failover->order->backend;

    if (result != FAILOVER_DONE)
        failover_end(failover, COMMAND_REFUSED,
                     "%s cannot take its accounts back: %s; nothing was changed by this run",
                     backend, why);
    else
        failover_go(failover, failover->order->holders.count > 0 ? HOME_SYNCHRONISE : HOME_RETURN);
}

void home_holder_ask(struct failover *failover)
{
    failover->node = failover->order->holders.items[failover->item];
    failover->server = failover->order->backend;
}

void home_synchronise_take(struct failover *failover, enum failover_result result, const char *why)
{
    bool is_good = result == FAILOVER_DONE || failover_is_said_to_be_off(failover, failover->node);

    if (!is_good && failover->order->accepts_behind) {
        failover_say(failover,
                     "the accounts of %s at %s could not be synchronised with it: %s; they "
                     "go all the same",
                     failover->order->backend, failover->node, why);
        is_good = true;
    }
    if (!is_good) {
        failover_end(failover, COMMAND_REFUSED,
                     "the accounts of %s at %s could not be synchronised with it: %s; nothing was "
                     "changed by this run; --accept-behind moves them as they are",
                     failover->order->backend, failover->node, why);
    } else if (++failover->item < failover->order->holders.count) {
        failover_go(failover, HOME_SYNCHRONISE);
    } else {
        failover->item = 0;
        failover_go(failover, HOME_RELEASE);
    }
}

static void release_next(struct failover *failover)
{
    failover->has_let_go = true;
    if (++failover->item < failover->order->holders.count)
        failover_go(failover, HOME_RELEASE);
    else
        failover_go(failover, HOME_RETURN);
}

void home_release_take(struct failover *failover, enum failover_result result, const char *why)
{
    const char *backend = failover->order->backend;

    if (result == FAILOVER_DONE)
        release_next(failover);
    else if (result == FAILOVER_SILENT && failover_is_said_to_be_off(failover, failover->node))
        failover_probe(failover);
    else if (result == FAILOVER_SILENT)
        failover_end(
            failover, COMMAND_REFUSED,
            "%s has the storage of %s, and cannot be told to release it: %s; when you have seen "
            "that it is off, and stays off: --is-off %s",
            failover->node, backend, why, failover->node);
    else
        failover_end(failover, COMMAND_REFUSED, "%s did not release the storage of %s: %s",
                     failover->node, backend, why);
}

static void return_failed(struct failover *failover, enum failover_result result, const char *why)
{
    const char *backend = failover->order->backend;

    if (result == FAILOVER_SILENT)
        failover_end(failover, COMMAND_FAILED,
                     "%s was told to return, and does not answer any more: %s; run it again",
                     backend, why);
    else if (failover->order->holders.count == 0)
        failover_end(failover, COMMAND_FAILED, "%s cannot return: %s", backend, why);
    else {
        failover_say(failover, "%s cannot return: %s; its accounts go back to where they were",
                     backend, why);
        failover_go(failover, HOME_UNDO_LEAVE);
    }
}

void home_return_take(struct failover *failover, enum failover_result result, const char *why)
{
    /* Its storage may still be claimed by a node that is off: the next order has that word. */
    if (result == FAILOVER_DONE || (result == FAILOVER_REFUSED && failover->was_fenced))
        failover_go(failover, HOME_ATTACH);
    else
        return_failed(failover, result, why);
}

void home_attach_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (result == FAILOVER_DONE)
        failover_go(failover, HOME_READY);
    else
        return_failed(failover, result, why);
}

void home_ready_take(struct failover *failover, enum failover_result result, const char *why)
{
    failover->item = 0;
    if (result == FAILOVER_DONE)
        failover_go(failover, failover->order->holders.count > 0 ? HOME_LAST : REWRITE);
    else
        return_failed(failover, result, why);
}

static void last_failed(struct failover *failover, enum failover_result result, const char *why)
{
    const char *backend = failover->order->backend;

    if (result == FAILOVER_SILENT) {
        failover_end(failover, COMMAND_FAILED,
                     "%s has let go of the accounts of %s, was to synchronise them, and does not "
                     "answer any more: %s; run it again",
                     failover->node, backend, why);
    } else {
        failover_say(failover,
                     "what came to %s until it had let go of the accounts of %s is not "
                     "synchronised: %s; they go back to where they were",
                     failover->node, backend, why);
        failover_go(failover, HOME_UNDO_LEAVE);
    }
}

void home_last_take(struct failover *failover, enum failover_result result, const char *why)
{
    if (!is_settled(failover, result)) {
        last_failed(failover, result, why);
        return;
    }
    if (result != FAILOVER_DONE)
        failover_say(failover,
                     "what came to %s until it had let go is not synchronised: %s; the accounts go "
                     "all the same",
                     failover->node, why);
    failover_go(failover, ++failover->item < failover->order->holders.count ? HOME_LAST : REWRITE);
}

void home_undo_leave_take(struct failover *failover, enum failover_result result, const char *why)
{
    failover->item = 0;
    failover->was_fenced = false; /* the backend has released its storage itself */
    if (result == FAILOVER_DONE)
        failover_go(failover, HOME_UNDO_ATTACH);
    else
        failover_end(failover, COMMAND_FAILED,
                     "%s could not return, and did not let go again: %s; its accounts wait",
                     failover->order->backend, why);
}

void home_undo_attach_take(struct failover *failover, enum failover_result result, const char *why)
{
    const struct failover_order *order = failover->order;

    if (result != FAILOVER_DONE)
        failover_end(
            failover, COMMAND_FAILED,
            "%s could not return, and %s did not attach its storage again: %s; its accounts wait",
            order->backend, failover->node, why);
    else if (++failover->item < order->holders.count)
        failover_go(failover, HOME_UNDO_ATTACH);
    else
        failover_end(failover, COMMAND_FAILED,
                     "%s could not return; its accounts are served as before", order->backend);
}

void home_again_take(struct failover *failover, enum failover_result result, const char *why)
{
    const struct failover_order *order = failover->order;

    if (result != FAILOVER_DONE)
        failover_say(failover, "%s has not synchronised once more: %s", failover->node, why);
    if (!is_settled(failover, result))
        failover->unproven = failover->node;
    if (++failover->item < order->holders.count)
        failover_go(failover, HOME_AGAIN);
    else if (!failover->unproven)
        failover_go(failover, ENDED);
    else
        failover_end(
            failover, COMMAND_UNPROVEN,
            "the accounts of %s are home and served; that nothing is left at %s alone is not "
            "known: it goes on by itself, and mailstead replica status --backend %s --behind names "
            "what is left",
            order->backend, failover->unproven, failover->unproven);
}

void home_holder_is_off(struct failover *failover)
{
    release_next(failover);
}
