/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What OpenLDAP 2.5 does with a transaction (servers/slapd/txn.c, connection.c), and what
 * follows from it here:
 *
 * Its operations run in threads of their own, and each answers before its thread has let go of
 * it.  The end of the transaction frees them all: at once when it is given up, or when one of the
 * first fails.  A thread that comes back after that uses freed memory, and the server dies.
 * Nothing that a client can ask proves that the threads are through, so time has to: an
 * end is sent only after every answer (one that overtakes operations would also lose them while
 * reporting success) and a pause, which costs nothing while another lane commits; and no
 * transaction is ever given up.
 *
 * A connection that ends while its transaction is being committed frees the operations under the
 * commit's feet: guard.c keeps it open when we are killed.
 *
 * A transaction that is not committed has been told to followers all the same, up to the
 * operation that failed (the provider notifies first).  Doing its entries again makes
 * that true; an entry which somebody else has changed meanwhile was told anew by that.
 */
#include "directory/reassign/lane.h"

#include "directory/ber.h"
#include "directory/reassign/guard.h"
#include "directory/reassign/refusal.h"

enum {
    LANE_WINDOW = 96, /* changes in flight: servers bound what may wait (100 in OpenLDAP) */
    LANE_PAUSE_MS = 50,
    LANE_FAILURES_MAX = 10, /* of transactions, before the rest of a batch is done one by one */
    LANE_TIMEOUT_MS = 60000,
    LANE_COMMIT_MS = 300000
};

enum lane_state {
    LANE_IDLE,
    LANE_BEGINNING,
    LANE_FILLING,
    LANE_WAITING,
    LANE_COMMITTING,
    LANE_SINGLE,
    LANE_ENDED
};

static const struct state_row lane_states[] = {
    [LANE_IDLE] = { "idle",
                    STATE_BIT(LANE_BEGINNING) | STATE_BIT(LANE_SINGLE) | STATE_BIT(LANE_ENDED) },
    [LANE_BEGINNING] = { "beginning",
                         STATE_BIT(LANE_FILLING) | STATE_BIT(LANE_SINGLE) | STATE_BIT(LANE_ENDED) },
    [LANE_FILLING] = { "filling", STATE_BIT(LANE_WAITING) | STATE_BIT(LANE_ENDED) },
    [LANE_WAITING] = { "waiting for its turn", STATE_BIT(LANE_COMMITTING) | STATE_BIT(LANE_ENDED) },
    [LANE_COMMITTING] = { "committing", STATE_BIT(LANE_IDLE) | STATE_BIT(LANE_BEGINNING) |
                                            STATE_BIT(LANE_SINGLE) | STATE_BIT(LANE_ENDED) },
    [LANE_SINGLE] = { "single", STATE_BIT(LANE_IDLE) | STATE_BIT(LANE_ENDED) },
    [LANE_ENDED] = { "ended", 0 },
};

static void lane_take_batch(struct lane *lane);
static void lane_commit(struct lane *lane);
static ldap_done lane_on_single, lane_on_filled, lane_on_begun;

/* --- turns ---------------------------------------------------------------------------------- */

void lane_turn_init(struct lane_turn *turn)
{
    turn->holder = NULL;
    list_init(&turn->waiting);
}

static void lane_give_turn(struct lane_turn *turn)
{
    struct lane *lane;

    if (turn->holder || list_is_empty(&turn->waiting))
        return;
    lane = LIST_ELEMENT(turn->waiting.next, struct lane, waiting);
    list_remove(&lane->waiting);
    turn->holder = lane;
    lane_commit(lane);
}

/* Who tries again what was not committed still has its turn. */
static void lane_ask_turn(uv_timer_t *timer)
{
    struct lane *lane = timer->data;

    state_move(&lane->state, LANE_WAITING);
    if (lane->turn->holder == lane) {
        lane_commit(lane);
        return;
    }
    list_append(&lane->turn->waiting, &lane->waiting);
    lane_give_turn(lane->turn);
}

/* Lets the next one commit, if it is this lane's turn. */
static void lane_release_turn(struct lane *lane)
{
    list_remove(&lane->waiting);
    if (lane->turn->holder != lane)
        return;
    lane->turn->holder = NULL;
    lane_give_turn(lane->turn);
}

/* --- ends ----------------------------------------------------------------------------------- */

static void lane_end(struct lane *lane)
{
    uv_timer_stop(&lane->pause);
    guard_mark(lane->guarded, false);
    lane_release_turn(lane);
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

/* --- what is sent ----------------------------------------------------------------------- */

/* Whether the entry has no part in what is being done. */
static bool lane_passes(const struct lane *lane, const struct lane_single *single)
{
    return lane->state.current == LANE_FILLING ? single->part != LANE_PART_NOW
                                               : single->part == LANE_PART_DONE;
}

static int lane_send(struct lane *lane, struct lane_single *single)
{
    bool is_filling = lane->state.current == LANE_FILLING;
    struct plan_change change;

    plan_write_change(lane->plan, lane->names, single->item, &change);
    change.modify.timeout_ms = LANE_TIMEOUT_MS;
    if (is_filling)
        change.modify.transaction = span_of(lane->transaction, lane->transaction_length);
    if (!lane->has_assertions)
        change.modify.assertion = NULL;
    single->number = ldap_link_modify(lane->link, &change.modify,
                                      is_filling ? lane_on_filled : lane_on_single, single);
    return single->number;
}

/*
 * Sends what the window has room for, once half of it is free: a server does many requests that
 * arrive at once with less effort.  A request that cannot be sent is followed by the link's end.
 */
static void lane_fill_window(struct lane *lane)
{
    if (lane->sent - lane->answered > LANE_WINDOW / 2)
        return;
    for (; lane->next < lane->batch_count && !lane->is_refused; lane->next++) {
        struct lane_single *single = &lane->singles[lane->next];

        if (lane_passes(lane, single))
            continue;
        if (lane->sent - lane->answered == LANE_WINDOW || lane_send(lane, single) <= 0)
            return;
        lane->sent++;
    }
}

static bool lane_is_through(const struct lane *lane)
{
    return lane->answered == lane->sent && (lane->next == lane->batch_count || lane->is_refused);
}

static void lane_begin_batch(struct lane *lane, enum lane_state state)
{
    state_move(&lane->state, state);
    lane->next = lane->sent = lane->answered = 0;
    lane_fill_window(lane);
}

/* --- entry by entry ------------------------------------------------------------------- */

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
        lane->is_refused |= lane->events->refused(lane->context, single->item, answer);
    } else {
        lane->events->failed(lane->context, single->item, answer->text);
    }
    lane->answered++;
    lane_fill_window(lane);
    if (!lane_is_through(lane))
        return;
    state_move(&lane->state, LANE_IDLE);
    lane_take_batch(lane);
}

/* --- in a transaction ---------------------------------------------------------------------- */

static void lane_begin_transaction(struct lane *lane)
{
    state_move(&lane->state, LANE_BEGINNING);
    (void)ldap_link_begin_transaction(lane->link, LANE_TIMEOUT_MS, lane_on_begun, lane);
}

/* Gives another part to all entries that have this one; true when there are any. */
static bool lane_change_part(struct lane *lane, enum lane_part from, enum lane_part to)
{
    bool has_any = false;

    for (size_t i = 0; i < lane->batch_count; i++)
        if (lane->singles[i].part == from) {
            lane->singles[i].part = to;
            has_any = true;
        }
    return has_any;
}

static bool lane_has_part(const struct lane *lane, enum lane_part part)
{
    for (size_t i = 0; i < lane->batch_count; i++)
        if (lane->singles[i].part == part)
            return true;
    return false;
}

/* What is left of the batch. */
static void lane_go_on(struct lane *lane)
{
    if (lane_has_part(lane, LANE_PART_NOW) ||
        lane_change_part(lane, LANE_PART_LATER, LANE_PART_NOW)) {
        lane_begin_transaction(lane);
    } else if (lane_has_part(lane, LANE_PART_ALONE)) {
        lane_begin_batch(lane, LANE_SINGLE);
    } else {
        state_move(&lane->state, LANE_IDLE);
        lane_take_batch(lane);
    }
}

/* Tells of the entries that were in the transaction. */
static void lane_tell_moved(struct lane *lane)
{
    for (size_t first = 0, end; first < lane->batch_count; first = end + 1) {
        for (end = first; end < lane->batch_count && lane->singles[end].part == LANE_PART_NOW;
             end++)
            ;
        if (end > first)
            lane->events->moved(lane->context, lane->batch + first, end - first);
    }
    (void)lane_change_part(lane, LANE_PART_NOW, LANE_PART_DONE);
}

/* The request for which the server did not commit, by number (RFC 5805 section 2.4); 0: unsaid. */
static int lane_read_culprit(struct span answer)
{
    struct span end, number;
    unsigned culprit = 0;

    if (!answer.data || !ber_take_tagged(&answer, BER_SEQUENCE, &end) ||
        !ber_take_tagged(&end, BER_INTEGER, &number) || number.length > sizeof(culprit))
        return 0;
    for (size_t i = 0; i < number.length; i++)
        culprit = culprit << 8 | (unsigned char)number.data[i];
    return (int)culprit;
}

/*
 * Parts the transaction that was not committed: those before the culprit, of which followers have
 * been told, are done at once, those after it later, it on its own.  False when it is not known.
 */
static bool lane_part_at(struct lane *lane, int culprit)
{
    size_t i = 0;

    while (i < lane->batch_count &&
           (lane->singles[i].part != LANE_PART_NOW || lane->singles[i].number != culprit))
        i++;
    if (i == lane->batch_count)
        return false;
    lane->singles[i].part = LANE_PART_ALONE;
    for (; i < lane->batch_count; i++)
        if (lane->singles[i].part == LANE_PART_NOW)
            lane->singles[i].part = LANE_PART_LATER;
    return true;
}

static void lane_on_committed(void *context, const struct ldap_answer *answer)
{
    struct lane *lane = context;

    guard_mark(lane->guarded, false);
    if (!lane_has_answer(lane, answer))
        return;
    if (answer->code == LDAP_CODE_SUCCESS) {
        lane->has_committed = true;
        lane_tell_moved(lane);
        lane_go_on(lane);
    } else if (++lane->failures < LANE_FAILURES_MAX &&
               lane_part_at(lane, lane_read_culprit(answer->value))) {
        lane_go_on(lane);
    } else {
        lane_begin_batch(lane, LANE_SINGLE);
    }
}

static void lane_commit(struct lane *lane)
{
    state_move(&lane->state, LANE_COMMITTING);
    guard_mark(lane->guarded, true);
    (void)ldap_link_end_transaction(lane->link,
                                    span_of(lane->transaction, lane->transaction_length), true,
                                    LANE_COMMIT_MS, lane_on_committed, lane);
}

/* What is refused here has no part in the transaction. */
static void lane_on_filled(void *context, const struct ldap_answer *answer)
{
    struct lane_single *single = context;
    struct lane *lane = single->lane;

    if (!lane_has_answer(lane, answer))
        return;
    if (answer->code != LDAP_CODE_SUCCESS)
        single->part = LANE_PART_ALONE;
    lane->answered++;
    lane_fill_window(lane);
    if (lane_is_through(lane))
        uv_timer_start(&lane->pause, lane_ask_turn, LANE_PAUSE_MS, 0);
}

static void lane_on_begun(void *context, const struct ldap_answer *answer)
{
    struct lane *lane = context;

    if (!lane_has_answer(lane, answer))
        return;
    if (answer->code != LDAP_CODE_SUCCESS || !answer->value.data ||
        answer->value.length > sizeof(lane->transaction)) {
        lane->has_transactions = false;
        lane_begin_batch(lane, LANE_SINGLE);
        return;
    }
    memcpy(lane->transaction, answer->value.data, answer->value.length);
    lane->transaction_length = answer->value.length;
    lane_begin_batch(lane, LANE_FILLING);
}

/* --- batches --------------------------------------------------------------------------------- */

static void lane_on_waited(uv_timer_t *timer)
{
    lane_take_batch(timer->data);
}

static void lane_take_batch(struct lane *lane)
{
    unsigned wait_ms;

    lane_release_turn(lane);
    lane->batch_count = lane->events->take(lane->context, &lane->batch, &wait_ms);
    if (lane->batch_count == 0 && wait_ms > 0) {
        uv_timer_start(&lane->pause, lane_on_waited, wait_ms, 0);
        return;
    }
    if (lane->batch_count == 0) {
        lane_end(lane);
        return;
    }
    for (size_t i = 0; i < lane->batch_count; i++)
        lane->singles[i] = (struct lane_single){ .lane = lane, .item = lane->batch[i] };
    lane->failures = 0;
    if (lane->has_transactions && lane->batch_count > 1)
        lane_begin_transaction(lane);
    else
        lane_begin_batch(lane, LANE_SINGLE);
}

void lane_start(struct lane *lane, struct io_loop *loop, struct ldap_link *link)
{
    lane->link = link;
    list_init(&lane->waiting);
    uv_timer_init(&loop->uv, &lane->pause);
    lane->pause.data = lane;
    state_init(&lane->state, lane_states, LANE_IDLE);
    lane_take_batch(lane);
}

void lane_close(struct lane *lane)
{
    uv_close((uv_handle_t *)&lane->pause, NULL);
}
