/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/failover_view.h"

#include <stdio.h>

#include "admin/output.h"
#include "common/base/clock.h"

void failover_view_init(struct failover_view *view, bool is_json)
{
    uint64_t now_ms = clock_monotonic_ms();

    *view = (struct failover_view){ .is_json = is_json, .started_ms = now_ms, .phase_ms = now_ms };
}

uint64_t failover_view_elapsed_ms(const struct failover_view *view)
{
    return clock_monotonic_ms() - view->started_ms;
}

void failover_view_event(const struct failover_view *view, json_t *line, const char *text)
{
    if (view->is_json) {
        print_json_line(line);
    } else {
        print_harmless(stdout, text);
        fputc('\n', stdout);
    }
    json_decref(line);
    fflush(stdout);
}

void failover_view_note(const struct failover_view *view, const struct failover *failover)
{
    if (*failover->note)
        failover_view_event(
            view, json_pack("{s:s, s:o}", "event", "note", "text", json_any_text(failover->note)),
            failover->note);
}

void failover_view_progress(const struct failover_view *view, const char *node, const char *what)
{
    json_t *line;

    if (!view->is_json)
        return; /* the phases are short, and each is shown */
    line = json_pack("{s:s, s:o, s:o}", "event", "order", "node", json_any_text(node), "what",
                     json_any_text(what));
    print_json_line(line);
    json_decref(line);
    fflush(stdout);
}

/* --- phases ----------------------------------------------------------------------------- */

static void describe_letting_go(const struct failover_view *view, const struct failover *failover,
                                char text[FAILOVER_TEXT_SIZE])
{
    static const char *const words[] = {
        [FAILOVER_ACKNOWLEDGED] = "has let go",
        [FAILOVER_FENCED] = "was fenced",
        [FAILOVER_WORD] = "is off, as was said, and nothing of it answers",
    };
    const struct failover_order *order = failover->order;

    if (order->kind == FAILOVER_AWAY)
        snprintf(text, FAILOVER_TEXT_SIZE, "%s %s", order->backend, words[failover->manner]);
    else if (view->has_copies)
        snprintf(text, FAILOVER_TEXT_SIZE,
                 "the accounts of %s are let go of, synchronised unless it was said why not",
                 order->backend);
    else
        snprintf(text, FAILOVER_TEXT_SIZE, "the storage of %s is released", order->backend);
}

static void describe_attaching(const struct failover_view *view, const struct failover *failover,
                               char text[FAILOVER_TEXT_SIZE])
{
    const struct failover_order *order = failover->order;

    if (view->has_copies)
        snprintf(text, FAILOVER_TEXT_SIZE, "%s serves with its %s", failover->taker,
                 order->kind == FAILOVER_HOME ? "own mail" : "copies");
    else if (order->kind == FAILOVER_HOME)
        snprintf(text, FAILOVER_TEXT_SIZE, "%s serves with its own storage", order->backend);
    else if (order->storages.count > 1)
        snprintf(text, FAILOVER_TEXT_SIZE, "%s serves with the storage of %s and %zu more",
                 failover->taker, order->backend, order->storages.count - 1);
    else
        snprintf(text, FAILOVER_TEXT_SIZE, "%s serves with the storage of %s", failover->taker,
                 order->backend);
}

static void describe(const struct failover_view *view, const struct failover *failover,
                     enum failover_phase phase, char text[FAILOVER_TEXT_SIZE])
{
    const char *backend = failover->order->backend;

    switch (phase) {
    case FAILOVER_LOOK:
        snprintf(text, FAILOVER_TEXT_SIZE,
                 failover->order->kind == FAILOVER_HOME ? "%s follows the directory"
                                                        : "%s can take it over",
                 failover->taker);
        break;
    case FAILOVER_LET_GO:
        describe_letting_go(view, failover, text);
        break;
    case FAILOVER_ATTACH:
        describe_attaching(view, failover, text);
        break;
    case FAILOVER_REWRITE:
        snprintf(text, FAILOVER_TEXT_SIZE, "the accounts of %s are on %s", backend,
                 failover->taker);
        break;
    default:
        snprintf(text, FAILOVER_TEXT_SIZE, "all that can be asked have followed, or were named");
    }
}

static void show_phase(const struct failover_view *view, const struct failover *failover,
                       uint64_t ms)
{
    const char *name = failover_phase_name(failover->order->kind, view->phase);
    char text[FAILOVER_TEXT_SIZE], time[OUTPUT_TEXT_SIZE];
    json_t *line;

    describe(view, failover, view->phase, text);
    if (view->is_json) {
        line = json_pack("{s:s, s:s, s:o, s:I, s:I}", "event", "phase", "phase", name, "text",
                         json_any_text(text), "ms", (json_int_t)ms, "elapsed_ms",
                         (json_int_t)failover_view_elapsed_ms(view));
        print_json_line(line);
        json_decref(line);
    } else {
        printf("%-8s ", name);
        print_harmless(stdout, text);
        printf(" (%s)\n", format_duration((int64_t)ms, time));
    }
    fflush(stdout);
}

int64_t failover_view_step(struct failover_view *view, const struct failover *failover)
{
    uint64_t now_ms = clock_monotonic_ms(), ms = now_ms - view->phase_ms;
    enum failover_phase phase = failover_phase(failover);

    if (phase == view->phase)
        return -1;
    /* Back to a look: that one was not done. */
    if (phase > view->phase)
        show_phase(view, failover, ms);
    view->phase = phase;
    view->phase_ms = now_ms;
    return (int64_t)ms;
}

void failover_view_end(const struct failover_view *view, const struct failover *failover)
{
    bool is_done = failover->status == COMMAND_OK || failover->status == COMMAND_UNPROVEN;
    uint64_t ms = failover_view_elapsed_ms(view);
    char time[OUTPUT_TEXT_SIZE];
    json_t *line;

    if (is_done)
        show_phase(view, failover, clock_monotonic_ms() - view->phase_ms);
    if (view->is_json) {
        line = json_pack("{s:s, s:i, s:o, s:o, s:I}", "event", "end", "status",
                         (int)failover->status, "why", json_any_text(failover->why), "on",
                         failover->taker ? json_any_text(failover->taker) : json_null(), "ms",
                         (json_int_t)ms);
        print_json_line(line);
        json_decref(line);
    } else if (is_done) {
        printf("done after %s: %s serves the accounts of %s\n", format_duration((int64_t)ms, time),
               failover->taker, failover->order->backend);
    }
    fflush(stdout);
    if (*failover->why) {
        fputs("mailstead: ", stderr);
        print_harmless(stderr, failover->why);
        fputc('\n', stderr);
    }
}
