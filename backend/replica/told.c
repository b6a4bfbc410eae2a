/* SPDX-License-Identifier: Apache-2.0 */
/* What was never told is no error: then all of that node's accounts count as never synchronised. */
#include "backend/replica/told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/replica/teller.h"
#include "common/base/memory.h"

struct told_reading {
    const struct config *config;
    char node[128];
    struct doveadm_lane_target target;
    struct doveadm_lane *lane;
    int next; /* the bucket that is read; -1: the statement */
    struct told told;
    void (*done)(void *context, struct told *told); /* NULL: nobody waits */
    void *context;
};

static void told_ask(struct told_reading *reading);

static void told_free(void *context)
{
    struct told_reading *reading = context;

    SSL_CTX_free(reading->target.tls);
    if (reading->done)
        reading->done(reading->context, &reading->told);
    else
        told_release(&reading->told);
    free(reading);
}

static void told_take_behind(struct told *told, const json_t *value)
{
    const json_t *behind = json_object_get(value, "behind");
    json_t *row;
    size_t i;

    told->at_ms = json_integer_value(json_object_get(value, "at"));
    told->is_complete = json_is_true(json_object_get(value, "is_complete"));
    json_array_foreach (behind, i, row) {
        const char *name = json_string_value(json_array_get(row, 0));

        if (name)
            json_object_set(told->behind, name, row);
    }
}

static void told_take_known(struct told *told, const json_t *value)
{
    json_t *name;
    size_t i;

    json_array_foreach (value, i, name)
        if (json_is_string(name))
            json_object_set_new(told->known, json_string_value(name), json_null());
}

static void told_take(struct told_reading *reading, struct span text)
{
    json_t *value = json_loadb(text.data, text.length, JSON_DISABLE_EOF_CHECK, NULL);

    if (reading->next < 0)
        told_take_behind(&reading->told, value);
    else
        told_take_known(&reading->told, value);
    json_decref(value);
}

static void told_done(struct doveadm_lane *lane, const struct doveadm_lane_result *result)
{
    struct told_reading *reading = doveadm_lane_context(lane);
    bool is_absent = result->end == DOVEADM_LANE_CODE && strcmp(result->text, "NOTFOUND") == 0;

    if (result->end == DOVEADM_LANE_OK)
        told_take(reading, result->output);
    else if (!is_absent)
        reading->told.error = "the own Dovecot cannot be asked what it was told";
    reading->next++;
    if (reading->told.error || reading->told.at_ms == 0 || reading->next == LEDGER_BUCKETS)
        doveadm_lane_stop(lane, told_free);
    else
        told_ask(reading);
}

static void told_ask(struct told_reading *reading)
{
    char key[TELLER_KEY_SIZE];
    struct doveadm_command command;

    teller_key(reading->node, reading->next < 0 ? "behind" : "known", reading->next, key);
    command =
        (struct doveadm_command){ .words = { SPAN_EMPTY, SPAN_EMPTY, SPAN_LITERAL("dict get"),
                                             span_from_string(reading->config->replica.state_dict),
                                             span_from_string(key) },
                                  .count = 5 };
    doveadm_lane_run(reading->lane, &command, TELLER_TIMEOUT_MS, told_done);
}

struct told_reading *told_read(struct io_loop *loop, const struct config *config, const char *node,
                               void (*done)(void *context, struct told *told), void *context)
{
    struct told_reading *reading = memory_new(sizeof(*reading));

    reading->config = config;
    snprintf(reading->node, sizeof(reading->node), "%s", node);
    if (!doveadm_lane_target_init(&reading->target, config, NULL))
        reading->told.error = "TLS cannot be had";
    reading->next = -1;
    reading->told.known = json_object();
    reading->told.behind = json_object();
    reading->done = done;
    reading->context = context;
    reading->lane = doveadm_lane_start(loop, &reading->target, reading);
    if (reading->told.error)
        doveadm_lane_stop(reading->lane, told_free);
    else
        told_ask(reading);
    return reading;
}

void told_read_cancel(struct told_reading *reading)
{
    reading->done = NULL;
    doveadm_lane_stop(reading->lane, told_free);
}

void told_release(struct told *told)
{
    json_decref(told->known);
    json_decref(told->behind);
}
