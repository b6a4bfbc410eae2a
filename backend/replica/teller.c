/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each command has a connection of its own: Dovecot 2.3 serves no second command on a dictionary
 * that it has just closed, and a process that has looked into a mailbox may not write it.
 */
#include "backend/replica/teller.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/io/deadline.h"

enum {
    TELLER_CHANGED_MS = 1000, /* between two statements */
    TELLER_KNOWN_MS = 5000,   /* between two of one bucket */
    TELLER_RETRY_MAX_MS = 60000,
    TELLER_BEHIND_MAX = 5000, /* accounts that a statement names */
    TELLER_NOTHING = -1,
    TELLER_BEHIND = LEDGER_BUCKETS
};

struct teller {
    struct io_loop *loop;
    const struct config *config;
    struct ledger *ledger;
    struct doveadm_lane_target target;
    struct doveadm_lane *lane;
    struct deadline deadline;
    int current; /* what is being told: a bucket, TELLER_BEHIND or TELLER_NOTHING */
    bool is_due[LEDGER_BUCKETS + 1];
    /* Of the wall clock: what `behind` says that is being told, and was told; the last hurry. */
    int64_t saying_ms, said_ms, hurried_ms;
    uint64_t told_ms[LEDGER_BUCKETS + 1]; /* monotonic; 0: not yet */
    unsigned failures;
    unsigned open_parts;
    void (*stopped)(void *context);
    void *context;
};

void teller_key(const char *node, const char *what, int bucket, char key[TELLER_KEY_SIZE])
{
    struct buffer text = buffer_over(key, TELLER_KEY_SIZE - 1);

    buffer_append_string(&text, "shared/");
    for (const char *byte = node; *byte; byte++) /* a key may become the name of a file */
        if (strchr("-_.", *byte) ? byte != node : isalnum((unsigned char)*byte))
            buffer_append_byte(&text, *byte);
        else
            buffer_append_format(&text, "%%%02X", (unsigned)(unsigned char)*byte);
    buffer_append_format(&text, "/%s", what);
    if (bucket >= 0)
        buffer_append_format(&text, ".%d", bucket);
    key[text.length] = '\0';
}

/* --- what is told ---------------------------------------------------------------------------- */

static void teller_add_behind(void *context, const struct ledger_row *row)
{
    json_t *behind = context;

    json_array_append_new(
        behind, json_pack("[s,s,I]", row->account, ledger_state(row),
                          (json_int_t)(row->dirty_ms > 0 ? row->dirty_ms : row->clean_ms)));
}

static json_t *teller_behind(struct teller *teller)
{
    json_t *behind = json_array();
    unsigned count =
        ledger_each_behind(teller->ledger, "", TELLER_BEHIND_MAX, teller_add_behind, behind);

    return json_pack("{s:I,s:b,s:o}", "at", (json_int_t)clock_wall_ms(), "is_complete",
                     count < TELLER_BEHIND_MAX, "behind", behind);
}

static void teller_done(struct doveadm_lane *lane, const struct doveadm_lane_result *result);

static void teller_tell(struct teller *teller, int what)
{
    bool is_behind = what == TELLER_BEHIND;
    const struct replica_config *config = &teller->config->replica;
    char key[TELLER_KEY_SIZE];
    json_t *value = is_behind ? teller_behind(teller)
                              : ledger_known(teller->ledger, (unsigned)what, config->to);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);
    struct doveadm_command command;

    teller_key(teller->config->node.name, is_behind ? "behind" : "known", is_behind ? -1 : what,
               key);
    command = (struct doveadm_command){ .words = { SPAN_EMPTY, SPAN_EMPTY, SPAN_LITERAL("dict set"),
                                                   span_from_string(config->state_dict),
                                                   span_from_string(key), span_from_string(text) },
                                        .count = 6 };
    teller->current = what;
    teller->is_due[what] = false;
    if (is_behind)
        teller->saying_ms = json_integer_value(json_object_get(value, "at"));
    doveadm_lane_run(teller->lane, &command, TELLER_TIMEOUT_MS, teller_done);
    free(text);
    json_decref(value);
}

/* --- when ------------------------------------------------------------------------------------ */

static void teller_wake_in(struct teller *teller, uint64_t after_ms)
{
    uint64_t at_ms = io_loop_now_ms(teller->loop) + after_ms;

    if (!teller->stopped && (teller->deadline.at_ms == 0 || teller->deadline.at_ms > at_ms))
        deadline_set(&teller->deadline, after_ms);
}

static bool teller_is_due(const struct teller *teller, int what, uint64_t rest_ms)
{
    return teller->is_due[what] &&
           (teller->told_ms[what] == 0 ||
            io_loop_now_ms(teller->loop) >= teller->told_ms[what] + rest_ms);
}

static int teller_choose(const struct teller *teller)
{
    uint64_t now_ms = io_loop_now_ms(teller->loop);
    bool is_hurried = clock_wall_ms() < teller->hurried_ms + TELLER_KNOWN_MS;

    if (teller->said_ms < teller->hurried_ms ||
        teller_is_due(teller, TELLER_BEHIND, TELLER_CHANGED_MS) ||
        now_ms >= teller->told_ms[TELLER_BEHIND] + TELLER_BEAT_MS)
        return TELLER_BEHIND;
    for (int bucket = 0; bucket < LEDGER_BUCKETS; bucket++)
        if (teller_is_due(teller, bucket, is_hurried ? 0 : TELLER_KNOWN_MS))
            return bucket;
    return TELLER_NOTHING;
}

static void teller_expired(struct deadline *deadline)
{
    struct teller *teller = CONTAINER_OF(deadline, struct teller, deadline);
    int what;

    if (teller->stopped || doveadm_lane_is_busy(teller->lane))
        return;
    what = teller_choose(teller);
    if (what != TELLER_NOTHING)
        teller_tell(teller, what);
    else
        teller_wake_in(teller, TELLER_CHANGED_MS);
}

static void teller_done(struct doveadm_lane *lane, const struct doveadm_lane_result *result)
{
    struct teller *teller = doveadm_lane_context(lane);
    unsigned doublings = teller->failures < 6 ? teller->failures : 6;
    uint64_t retry_ms = UINT64_C(1000) << doublings;
    int what = teller->current;

    teller->current = TELLER_NOTHING;
    if (result->end == DOVEADM_LANE_OK) {
        teller->failures = 0;
        teller->told_ms[what] = io_loop_now_ms(teller->loop);
        if (what == TELLER_BEHIND)
            teller->said_ms = teller->saying_ms;
        teller_wake_in(teller, 0);
        return;
    }
    teller->is_due[what] = true;
    if (++teller->failures == 3)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "replica_state_not_told",
                  LOG_TEXT("peer", teller->config->replica.to), LOG_TEXT("why", result->text));
    teller_wake_in(teller, retry_ms < TELLER_RETRY_MAX_MS ? retry_ms : TELLER_RETRY_MAX_MS);
}

void teller_changed(struct teller *teller)
{
    teller->is_due[TELLER_BEHIND] = true;
}

void teller_knows(struct teller *teller, unsigned bucket)
{
    teller->is_due[bucket] = true;
}

void teller_hurry(struct teller *teller)
{
    teller->hurried_ms = clock_wall_ms();
    teller_wake_in(teller, 0);
}

bool teller_has_told(const struct teller *teller, int64_t since_ms)
{
    for (int bucket = 0; bucket < LEDGER_BUCKETS; bucket++)
        if (teller->is_due[bucket] || teller->current == bucket)
            return false;
    return teller->said_ms >= since_ms;
}

int64_t teller_age_ms(const struct teller *teller)
{
    uint64_t told_ms = teller->told_ms[TELLER_BEHIND];

    return told_ms == 0 ? -1 : (int64_t)(io_loop_now_ms(teller->loop) - told_ms);
}

/* --- life ------------------------------------------------------------------------------------- */

struct teller *teller_start(struct io_loop *loop, const struct config *config,
                            struct ledger *ledger)
{
    struct teller *teller = memory_new(sizeof(*teller));
    const struct backend_config *peer = config_backend(config, config->replica.to);

    assert(peer); /* config_check.c */
    teller->loop = loop;
    teller->config = config;
    teller->ledger = ledger;
    teller->current = TELLER_NOTHING;
    if (!doveadm_lane_target_init(&teller->target, config, peer)) {
        free(teller);
        return NULL;
    }
    for (int what = 0; what <= TELLER_BEHIND; what++)
        teller->is_due[what] = true; /* what was told before this start may be another's */
    teller->lane = doveadm_lane_start(loop, &teller->target, teller);
    deadline_init(&teller->deadline, loop, teller_expired);
    teller_wake_in(teller, TELLER_CHANGED_MS);
    return teller;
}

static void teller_part_stopped(struct teller *teller)
{
    if (--teller->open_parts > 0)
        return;
    teller->stopped(teller->context);
    SSL_CTX_free(teller->target.tls);
    free(teller);
}

static void teller_lane_stopped(void *context)
{
    teller_part_stopped(context);
}

static void teller_deadline_closed(struct deadline *deadline)
{
    teller_part_stopped(CONTAINER_OF(deadline, struct teller, deadline));
}

void teller_stop(struct teller *teller, void (*stopped)(void *context), void *context)
{
    teller->stopped = stopped;
    teller->context = context;
    teller->open_parts = 2;
    doveadm_lane_stop(teller->lane, teller_lane_stopped);
    deadline_close(&teller->deadline, teller_deadline_closed);
}
