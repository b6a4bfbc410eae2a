/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies instead of a shared storage (backend/replica/orders.h).  A node that keeps none does not
 * know these commands: then there is nothing to ask.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin/failover_run.h"
#include "admin/interrupt.h"
#include "admin/output.h"
#include "common/base/clock.h"

enum {
    REPLICA_LINE_MS = 30000,   /* of silence; a long order tells how far it is each second */
    REPLICA_SETTLE_MS = 10000, /* that a backend which has just left may need to tell */
    REPLICA_SHOWN = 20
};

static bool is_unknown(const char *why)
{
    return strstr(why, "unknown command") != NULL;
}

/* --- what is behind --------------------------------------------------------------------------- */

struct behind {
    const struct failover_run *run;
    bool is_told, is_known; /* there was an answer; the backend has told of all its copies */
    int64_t accounts, never, late;
    int64_t told_age_ms; /* when the backend told it; -1: never */
    unsigned shown;      /* of the accounts, one by one */
    json_t *lines;       /* those to be shown, owned */
};

static void take_line(json_t *object, void *context)
{
    struct behind *behind = context;

    if (json_text(object, "server")) {
        behind->is_told = true;
        behind->is_known = json_flag(object, "is_complete") == 1;
        behind->accounts = json_number(object, "accounts", 0);
        behind->never = json_number(object, "never", 0);
        behind->late = json_number(object, "behind", 0);
        behind->told_age_ms = json_number(object, "told_age_ms", -1);
    } else if (behind->shown < REPLICA_SHOWN && json_text(object, "account")) {
        behind->shown++;
        json_array_append(behind->lines, object);
    }
}

static enum failover_result read_behind(const struct failover_run *run, struct behind *behind,
                                        char why[FAILOVER_TEXT_SIZE])
{
    json_t *request = json_pack("{s:s, s:o, s:b}", "command", "replica-status", "server",
                                json_any_text(run->failover.order->backend), "behind", 1);
    enum failover_result result;

    *behind = (struct behind){ .run = run, .told_age_ms = -1, .lines = json_array() };
    result = failover_ask_node(run, run->failover.node, request, FAILOVER_ORDER_MS, take_line,
                               behind, why);
    if (result == FAILOVER_REFUSED && is_unknown(why))
        return FAILOVER_DONE;
    if (result == FAILOVER_DONE && behind->is_told && behind->accounts > 0 &&
        (!behind->is_known || behind->never + behind->late > 0))
        return FAILOVER_REFUSED;
    return result;
}

static void show_account(const struct behind *behind, const json_t *line)
{
    const char *account = json_text(line, "account"), *state = json_text(line, "state");
    char text[FAILOVER_TEXT_SIZE];

    snprintf(text, sizeof(text), "%.320s: %.32s", account, state ? state : "?");
    failover_view_event(&behind->run->view,
                        json_pack("{s:s, s:o, s:o}", "event", "behind", "account",
                                  json_any_text(account), "state",
                                  json_any_text(state ? state : "?")),
                        text);
}

/* What the copies are worth, and how old that knowledge is. */
static void show_copies(const struct behind *behind)
{
    const char *backend = behind->run->failover.order->backend, *node = behind->run->failover.node;
    char text[FAILOVER_TEXT_SIZE], age[OUTPUT_TEXT_SIZE];
    json_t *line;
    size_t i;

    json_array_foreach (behind->lines, i, line)
        show_account(behind, line);
    if (behind->told_age_ms < 0)
        snprintf(text, sizeof(text), "%.128s never told what its copies at %.128s are worth",
                 backend, node);
    else
        snprintf(text, sizeof(text),
                 "copies of %" PRId64 " accounts at %.128s: %" PRId64 " never made, %" PRId64
                 " behind%s, as %.128s told %s ago; nothing is known of what came to it since",
                 behind->accounts, node, behind->never, behind->late,
                 behind->is_known ? "" : " that it named", backend,
                 format_duration(behind->told_age_ms, age));
    line = json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:b}", "event", "copies", "node",
                     json_any_text(node), "server", json_any_text(backend), "accounts",
                     (json_int_t)behind->accounts, "never", (json_int_t)behind->never, "behind",
                     (json_int_t)behind->late, "told_age_ms", (json_int_t)behind->told_age_ms,
                     "is_complete", behind->is_known);
    failover_view_event(&behind->run->view, line, text);
}

static void explain_behind(const struct behind *behind, char why[FAILOVER_TEXT_SIZE])
{
    const struct failover *failover = &behind->run->failover;
    const char *backend = failover->order->backend, *node = failover->node;
    size_t length;

    if (!behind->is_known)
        length = (size_t)snprintf(why, FAILOVER_TEXT_SIZE,
                                  "what the copies of the %" PRId64
                                  " accounts of %.128s at %.128s are worth was not "
                                  "told in full: %" PRId64 " are not known there",
                                  behind->accounts, backend, node, behind->never);
    else
        length = (size_t)snprintf(why, FAILOVER_TEXT_SIZE,
                                  "of the %" PRId64 " accounts of %.128s, %" PRId64
                                  " were never copied to %.128s, and "
                                  "the copies of %" PRId64 " are behind",
                                  behind->accounts, backend, behind->never, node, behind->late);
    if (behind->never + behind->late > behind->shown)
        snprintf(why + length, FAILOVER_TEXT_SIZE - length,
                 " (all of them: mailstead replica status --backend %.128s --server %.128s "
                 "--behind)",
                 node, backend);
}

enum failover_result failover_ask_behind(struct failover_run *run, char why[FAILOVER_TEXT_SIZE])
{
    uint64_t deadline_ms =
        clock_monotonic_ms() + (run->failover.order->is_planned ? REPLICA_SETTLE_MS : 0);
    enum failover_result result;
    struct behind behind;

    for (;;) {
        result = read_behind(run, &behind, why);
        if (result != FAILOVER_REFUSED || !behind.is_told || interrupt_came() ||
            clock_monotonic_ms() >= deadline_ms)
            break;
        json_decref(behind.lines);
        failover_rest();
    }
    if (behind.is_told) {
        run->view.has_copies = true;
        show_copies(&behind);
    }
    if (result == FAILOVER_REFUSED && behind.is_told)
        explain_behind(&behind, why);
    json_decref(behind.lines);
    return result;
}

/* --- synchronising ---------------------------------------------------------------------------- */

static void show_synchronised(const struct failover_run *run, uint64_t ms)
{
    const char *backend = run->failover.order->backend, *node = run->failover.node;
    char text[FAILOVER_TEXT_SIZE], time[OUTPUT_TEXT_SIZE];

    snprintf(text, sizeof(text), "%.128s has synchronised the accounts of %.128s (%s)", node,
             backend, format_duration((int64_t)ms, time));
    failover_view_event(&run->view,
                        json_pack("{s:s, s:o, s:o, s:I}", "event", "synchronised", "node",
                                  json_any_text(node), "server", json_any_text(backend), "ms",
                                  (json_int_t)ms),
                        text);
}

enum failover_result failover_synchronise(struct failover_run *run, char why[FAILOVER_TEXT_SIZE])
{
    const char *backend = run->failover.order->backend;
    json_t *request = json_pack("{s:s, s:b}", "command", "replica-sync", "all", 1);
    uint64_t began_ms = clock_monotonic_ms();
    enum failover_result result;

    if (strcmp(run->failover.node, backend) != 0)
        json_object_set_new(request, "server", json_any_text(backend));
    result = failover_ask_node(run, run->failover.node, request, REPLICA_LINE_MS, NULL, NULL, why);
    if (result == FAILOVER_REFUSED && is_unknown(why))
        return FAILOVER_DONE;
    run->view.has_copies = true;
    if (result == FAILOVER_DONE)
        show_synchronised(run, clock_monotonic_ms() - began_ms);
    return result;
}
