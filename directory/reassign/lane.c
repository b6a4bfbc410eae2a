/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction is ended only after every answer to its operations, and a pause: OpenLDAP runs the
 * operations of one connection in parallel; an end that overtakes some loses them while
 * reporting success, and in 2.5 one that comes while their threads still clean up, after the
 * answer, crashes the server.
 *
 * A transaction that is not committed has been told to followers all the same, up to the
 * operation that failed (the provider notifies first).  Doing its entries again one by one makes
 * that true; an entry which somebody else has changed meanwhile was told anew by that.
 */
#include "directory/reassign/lane.h"

#include "directory/reassign/refusal.h"

enum {
    LANE_WINDOW = 64, /* changes in flight: servers bound what may wait (100 in OpenLDAP) */
    LANE_PAUSE_MS = 20,
    LANE_TIMEOUT_MS = 60000,
    LANE_COMMIT_MS = 300000
};

enum lane_state {
    LANE_IDLE,
    LANE_BEGINNING,
    LANE_FILLING,
    LANE_COMMITTING,
    LANE_SINGLE,
    LANE_ENDED
};

static const struct state_row lane_states[] = {
    [LANE_IDLE] = { "idle",
                    STATE_BIT(LANE_BEGINNING) | STATE_BIT(LANE_SINGLE) | STATE_BIT(LANE_ENDED) },
    [LANE_BEGINNING] = { "beginning",
                         STATE_BIT(LANE_FILLING) | STATE_BIT(LANE_SINGLE) | STATE_BIT(LANE_ENDED) },
    [LANE_FILLING] = { "filling", STATE_BIT(LANE_COMMITTING) | STATE_BIT(LANE_ENDED) },
    [LANE_COMMITTING] = { "committing",
                          STATE_BIT(LANE_IDLE) | STATE_BIT(LANE_SINGLE) | STATE_BIT(LANE_ENDED) },
    [LANE_SINGLE] = { "single", STATE_BIT(LANE_IDLE) | STATE_BIT(LANE_ENDED) },
    [LANE_ENDED] = { "ended", 0 },
};

static void lane_take_batch(struct lane *lane);
static void lane_fill_window(struct lane *lane, ldap_done *done);
static void lane_on_single(void *context, const struct ldap_answer *answer);

static void lane_end(struct lane *lane)
{
    uv_timer_stop(&lane->pause);
    state_move(&lane->state, LANE_ENDED);
    lane->events->ended(lane->context, lane);
}

void lane_lose(struct lane *lane, const char *reason)
{
    if (lane->state.current == LANE_ENDED)
        return;
    lane->events->broken(lane->context, reason);
    lane_end(lane);
}

/* An answer that never came ends the lane; that of a lost link is told by the link itself. */
static bool lane_has_answer(struct lane *lane, const struct ldap_answer *answer)
{
    if (lane->state.current == LANE_ENDED || answer->code == LDAP_CODE_LOST)
        return false;
    if (answer->code != LDAP_CODE_TIMEOUT)
        return true;
    lane_lose(lane, "the server does not answer");
    return false;
}

/* --- entry by entry ------------------------------------------------------------------- */

static void lane_finish_single(struct lane *lane)
{
    lane->answered++;
    if (lane->answered == lane->batch_count || (lane->is_refused && lane->answered == lane->sent)) {
        state_move(&lane->state, LANE_IDLE);
        lane_take_batch(lane);
    } else {
        lane_fill_window(lane, lane_on_single);
    }
}

static void lane_on_single(void *context, const struct ldap_answer *answer)
{
    struct lane_single *single = context;
    struct lane *lane = single->lane;

    if (!lane_has_answer(lane, answer))
        return;
    if (answer->code == LDAP_CODE_SUCCESS) {
        lane->events->moved(lane->context, &single->item, 1);
    } else if (answer->code == LDAP_CODE_ASSERTION_FAILED ||
               answer->code == LDAP_CODE_NO_SUCH_ATTRIBUTE) {
        lane->events->contended(lane->context, single->item);
    } else if (answer->code == LDAP_CODE_NO_SUCH_OBJECT) {
        lane->events->skipped(lane->context, single->item, "the entry is gone");
    } else if (refusal_is_of_all(answer->code)) {
        lane->is_refused = true;
        lane->events->refused(lane->context, answer);
    } else {
        lane->events->failed(lane->context, single->item, answer->text);
    }
    lane_finish_single(lane);
}

static bool lane_send(struct lane *lane, struct plan_item *item, ldap_done *done, void *context)
{
    struct plan_change change;

    plan_write_change(lane->plan, lane->names, item, &change);
    change.modify.timeout_ms = LANE_TIMEOUT_MS;
    if (lane->state.current == LANE_FILLING)
        change.modify.transaction = span_of(lane->transaction, lane->transaction_length);
    if (!lane->has_assertions)
        change.modify.assertion = NULL;
    return ldap_link_modify(lane->link, &change.modify, done, context) != 0;
}

/* Sends what the window has room for; a request that cannot be sent is followed by the link's end.
 */
static void lane_fill_window(struct lane *lane, ldap_done *done)
{
    while (lane->sent < lane->batch_count && lane->sent - lane->answered < LANE_WINDOW &&
           !lane->is_refused) {
        struct lane_single *single = &lane->singles[lane->sent];

        *single = (struct lane_single){ .lane = lane, .item = lane->batch[lane->sent] };
        if (!lane_send(lane, single->item, done, single))
            return;
        lane->sent++;
    }
}

/* Does the batch entry by entry. */
static void lane_do_singly(struct lane *lane)
{
    state_move(&lane->state, LANE_SINGLE);
    lane->sent = 0;
    lane->answered = 0;
    lane_fill_window(lane, lane_on_single);
}

/* --- in a transaction ---------------------------------------------------------------------- */

static void lane_on_committed(void *context, const struct ldap_answer *answer)
{
    struct lane *lane = context;

    if (!lane_has_answer(lane, answer))
        return;
    if (answer->code != LDAP_CODE_SUCCESS || lane->is_spoilt) {
        lane_do_singly(lane);
        return;
    }
    lane->has_committed = true;
    lane->events->moved(lane->context, lane->batch, lane->batch_count);
    state_move(&lane->state, LANE_IDLE);
    lane_take_batch(lane);
}

static void lane_commit(uv_timer_t *timer)
{
    struct lane *lane = timer->data;

    state_move(&lane->state, LANE_COMMITTING);
    (void)ldap_link_end_transaction(lane->link,
                                    span_of(lane->transaction, lane->transaction_length),
                                    !lane->is_spoilt, LANE_COMMIT_MS, lane_on_committed, lane);
}

static void lane_on_filled(void *context, const struct ldap_answer *answer)
{
    struct lane *lane = ((struct lane_single *)context)->lane;

    if (!lane_has_answer(lane, answer))
        return;
    if (answer->code != LDAP_CODE_SUCCESS)
        lane->is_spoilt = true;
    lane->answered++;
    if (lane->answered == lane->batch_count)
        uv_timer_start(&lane->pause, lane_commit, LANE_PAUSE_MS, 0);
    else
        lane_fill_window(lane, lane_on_filled);
}

static void lane_fill(struct lane *lane)
{
    state_move(&lane->state, LANE_FILLING);
    lane->sent = 0;
    lane->answered = 0;
    lane->is_spoilt = false;
    lane_fill_window(lane, lane_on_filled);
}

static void lane_on_begun(void *context, const struct ldap_answer *answer)
{
    struct lane *lane = context;

    if (!lane_has_answer(lane, answer))
        return;
    if (answer->code != LDAP_CODE_SUCCESS || !answer->value.data ||
        answer->value.length > sizeof(lane->transaction)) {
        lane->has_transactions = false;
        lane_do_singly(lane);
        return;
    }
    memcpy(lane->transaction, answer->value.data, answer->value.length);
    lane->transaction_length = answer->value.length;
    lane_fill(lane);
}

/* --- batches --------------------------------------------------------------------------------- */

static void lane_on_waited(uv_timer_t *timer)
{
    lane_take_batch(timer->data);
}

static void lane_take_batch(struct lane *lane)
{
    unsigned wait_ms;

    lane->batch_count = lane->events->take(lane->context, &lane->batch, &wait_ms);
    if (lane->batch_count == 0 && wait_ms > 0) {
        uv_timer_start(&lane->pause, lane_on_waited, wait_ms, 0);
        return;
    }
    if (lane->batch_count == 0) {
        lane_end(lane);
        return;
    }
    if (!lane->has_transactions || lane->batch_count == 1) {
        lane_do_singly(lane);
        return;
    }
    state_move(&lane->state, LANE_BEGINNING);
    (void)ldap_link_begin_transaction(lane->link, LANE_TIMEOUT_MS, lane_on_begun, lane);
}

void lane_start(struct lane *lane, struct io_loop *loop, struct ldap_link *link)
{
    lane->link = link;
    uv_timer_init(&loop->uv, &lane->pause);
    lane->pause.data = lane;
    state_init(&lane->state, lane_states, LANE_IDLE);
    lane_take_batch(lane);
}

void lane_close(struct lane *lane)
{
    uv_close((uv_handle_t *)&lane->pause, NULL);
}
