/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks each daemon for the change of each LDAP server up to which its mirror has followed.  A
 * mirror's commit is seen by the workers at once, so a frontend that has reached the
 * server's contextCSN routes by all that was written before that was read.
 */
#include "admin/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/output.h"
#include "admin/reach.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "directory/provider_csn.h"

enum { FOLLOW_INTERVAL_MS = 20, FOLLOW_ANSWER_MS = 1000 };

enum follow_state { FOLLOW_WAITING, FOLLOW_THERE, FOLLOW_UNREACHABLE };

struct follower_view {
    struct follow *follow;
    const struct reach_node *node;
    enum follow_state state;
    uint64_t ms; /* until it was there, or was given up */
    struct csn_set csns;
    bool is_connected;
    char error[CONFIG_ERROR_SIZE];
};

struct follow {
    struct reach reach;
    struct follower_view *views;
    size_t count;
    struct csn_set goal;
    uint64_t started_ms;
    bool is_json;
};

/* --- what is said ---------------------------------------------------------------------- */

static void report_json(const struct follow *follow, const struct follower_view *view)
{
    int64_t lag_ms = view->state == FOLLOW_WAITING ? csn_set_lag_ms(&view->csns, &follow->goal) : 0;
    json_t *line = json_pack("{s:s, s:s, s:b, s:b, s:b}", "event", "node", "name",
                             view->node->name, "followed", view->state == FOLLOW_THERE, "reached",
                             view->state != FOLLOW_UNREACHABLE, "connected", view->is_connected);

    if (view->state == FOLLOW_THERE)
        json_object_set_new(line, "ms", json_integer((json_int_t)view->ms));
    if (view->state == FOLLOW_WAITING && lag_ms >= 0)
        json_object_set_new(line, "behind_ms", json_integer(lag_ms));
    if (view->state == FOLLOW_UNREACHABLE)
        json_object_set_new(line, "error", json_any_text(view->error));
    print_json_line(line);
    json_decref(line);
}

static void report_lag(const struct follow *follow, const struct follower_view *view)
{
    int64_t lag_ms = csn_set_lag_ms(&view->csns, &follow->goal);
    char lag[OUTPUT_TEXT_SIZE];

    printf("%s does not route by the new values yet", view->node->name);
    if (!view->is_connected)
        printf(": it has no connection to the directory");
    if (lag_ms >= 0)
        printf("%s %s behind the directory", view->is_connected ? ": it is" : ", and is",
               format_duration(lag_ms, lag));
    printf("; it follows by itself, see mailstead status there\n");
}

static void report(const struct follow *follow, const struct follower_view *view)
{
    if (view->state == FOLLOW_UNREACHABLE && view->node->role == REACH_UNLISTED &&
        follow->count > 1)
        return; /* an administrator's machine needs no daemon */
    if (follow->is_json)
        report_json(follow, view);
    else if (view->state == FOLLOW_THERE)
        printf("%s routes by the new values after %.2f s\n", view->node->name,
               (double)view->ms / 1000);
    else if (view->state == FOLLOW_WAITING)
        report_lag(follow, view);
    else
        printf("%s cannot be asked: %s\n", view->node->name, view->error);
    fflush(stdout);
}

/* Nothing to compare with: it is said, once. */
static void report_unknown(bool is_json, const char *error)
{
    json_t *line;

    if (!is_json) {
        printf("whether the frontends have followed cannot be known from here: %s\n", error);
        return;
    }
    line = json_pack("{s:s, s:b, s:o}", "event", "frontends", "known", 0, "error",
                     json_any_text(error));
    print_json_line(line);
    json_decref(line);
}

/* --- one daemon ----------------------------------------------------------------------- */

static void take_answer(json_t *line, void *context)
{
    struct follower_view *view = context;
    json_t *csn;
    size_t i;

    view->is_connected = json_flag(line, "connected") == 1;
    view->csns.count = 0;
    json_array_foreach (json_object_get(line, "csn"), i, csn)
        if (json_is_string(csn))
            (void)csn_set_add(&view->csns, span_from_string(json_string_value(csn)));
}

/* It is reported when it is there or cannot be asked; otherwise asked again, as long as it may. */
static void take_end(struct reach_question *question)
{
    struct follower_view *view = question->context;
    struct follow *follow = view->follow;

    view->ms = clock_monotonic_ms() - follow->started_ms;
    snprintf(view->error, sizeof(view->error), "%s", question->error);
    if (!question->is_answered)
        view->state = FOLLOW_UNREACHABLE;
    else if (csn_set_has_reached(&view->csns, &follow->goal))
        view->state = FOLLOW_THERE;
    if (view->state != FOLLOW_WAITING)
        report(follow, view);
    else if (view->ms < FOLLOW_TIMEOUT_MS)
        question->again_ms = FOLLOW_INTERVAL_MS;
}

/* --- all of them ------------------------------------------------------------------------ */

/* Backends do not route: they are asked only when they can be. */
static bool is_asked(const struct reach_node *node)
{
    return node->role != REACH_BACKEND || reach_is_askable(node);
}

static void follow_init(struct follow *follow, const struct config *config)
{
    reach_init(&follow->reach, config);
    follow->views = memory_new(follow->reach.count * sizeof(*follow->views));
    for (size_t i = 0; i < follow->reach.count; i++)
        if (is_asked(&follow->reach.nodes[i]))
            follow->views[follow->count++] =
                (struct follower_view){ .follow = follow, .node = &follow->reach.nodes[i] };
}

static void follow_all(struct follow *follow)
{
    json_t *request = json_pack("{s:s}", "command", "directory-status");
    struct reach_question *questions = memory_new(follow->count * sizeof(*questions));

    for (size_t i = 0; i < follow->count; i++)
        questions[i] = (struct reach_question){ .node = follow->views[i].node,
                                                .request = request,
                                                .timeout_ms = FOLLOW_ANSWER_MS,
                                                .line = take_answer,
                                                .ended = take_end,
                                                .context = &follow->views[i] };
    reach_ask_all(questions, follow->count);
    json_decref(request);
    free(questions);
}

void follow_report(const struct config *config, bool is_json)
{
    struct follow follow = { .is_json = is_json, .started_ms = clock_monotonic_ms() };
    char error[PROVIDER_CSN_ERROR_SIZE];

    fflush(stdout);
    if (!provider_csn_read(config, &follow.goal, error)) {
        report_unknown(is_json, error);
        return;
    }
    follow_init(&follow, config);
    follow_all(&follow);
    for (size_t i = 0; i < follow.count; i++)
        if (follow.views[i].state == FOLLOW_WAITING)
            report(&follow, &follow.views[i]);
    free(follow.views);
    reach_fini(&follow.reach);
}
