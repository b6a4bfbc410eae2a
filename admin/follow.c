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
#include <time.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "admin/reach.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "directory/provider_csn.h"

enum { FOLLOW_INTERVAL_MS = 20, FOLLOW_ANSWER_MS = 1000 };

enum follow_state { FOLLOW_WAITING, FOLLOW_THERE, FOLLOW_UNREACHABLE };

struct follower_view {
    struct reach_daemon daemon;
    enum follow_state state;
    uint64_t ms; /* until it was there, or was given up */
    struct csn_set csns;
    bool is_connected;
    char error[CONFIG_ERROR_SIZE];
};

struct follow {
    struct follower_view *views;
    size_t count, waiting;
    struct csn_set goal;
    uint64_t started_ms;
    bool is_json;
};

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

static void look_at(struct follow *follow, struct follower_view *view)
{
    json_t *request = json_pack("{s:s}", "command", "directory-status");
    bool is_answered =
        daemon_ask_at(view->daemon.path, request, FOLLOW_ANSWER_MS, take_answer, view, view->error);

    view->ms = clock_monotonic_ms() - follow->started_ms;
    if (!is_answered)
        view->state = FOLLOW_UNREACHABLE;
    else if (csn_set_has_reached(&view->csns, &follow->goal))
        view->state = FOLLOW_THERE;
    if (view->state != FOLLOW_WAITING)
        follow->waiting--;
}

/* --- what is said ---------------------------------------------------------------------- */

static void report_json(const struct follow *follow, const struct follower_view *view)
{
    int64_t lag_ms = view->state == FOLLOW_WAITING ? csn_set_lag_ms(&view->csns, &follow->goal) : 0;
    json_t *line = json_pack("{s:s, s:s, s:b, s:b, s:b}", "event", "frontend", "name",
                             view->daemon.name, "followed", view->state == FOLLOW_THERE, "reached",
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

    printf("%s does not route by the new values yet", view->daemon.name);
    if (!view->is_connected)
        printf(": it has no connection to the directory");
    if (lag_ms >= 0)
        printf("%s %s behind the directory", view->is_connected ? ": it is" : ", and is",
               format_duration(lag_ms, lag));
    printf("; it follows by itself, see mailstead status there\n");
}

static void report(const struct follow *follow, const struct follower_view *view)
{
    if (view->state == FOLLOW_UNREACHABLE && !view->daemon.is_listed && follow->count > 1)
        return; /* an administrator's machine needs no daemon */
    if (follow->is_json)
        report_json(follow, view);
    else if (view->state == FOLLOW_THERE)
        printf("%s routes by the new values after %.2f s\n", view->daemon.name,
               (double)view->ms / 1000);
    else if (view->state == FOLLOW_WAITING)
        report_lag(follow, view);
    else
        printf("%s cannot be asked: %s\n", view->daemon.name, view->error);
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

/* --- all of them ------------------------------------------------------------------------ */

static void follow_init(struct follow *follow, const struct config *config)
{
    struct reach_daemon *daemons = memory_new(REACH_MAX * sizeof(*daemons));

    follow->count = reach_list(config, daemons);
    follow->views = memory_new(follow->count * sizeof(*follow->views));
    for (size_t i = 0; i < follow->count; i++)
        follow->views[i].daemon = daemons[i];
    follow->waiting = follow->count;
    free(daemons);
}

static void look_at_all(struct follow *follow)
{
    for (size_t i = 0; i < follow->count; i++) {
        struct follower_view *view = &follow->views[i];

        if (view->state != FOLLOW_WAITING || !*view->daemon.path)
            continue;
        look_at(follow, view);
        if (view->state != FOLLOW_WAITING)
            report(follow, view);
    }
}

/* Those that are on other machines are named at once. */
static void leave_out_others(struct follow *follow)
{
    for (size_t i = 0; i < follow->count; i++) {
        struct follower_view *view = &follow->views[i];

        if (*view->daemon.path)
            continue;
        view->state = FOLLOW_UNREACHABLE;
        follow->waiting--;
        snprintf(view->error, sizeof(view->error),
                 "it has no control_socket on this machine; mailstead status there shows it");
        report(follow, view);
    }
}

static void rest(void)
{
    const struct timespec interval = { .tv_nsec = FOLLOW_INTERVAL_MS * 1000000L };

    nanosleep(&interval, NULL);
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
    look_at_all(&follow);
    leave_out_others(&follow);
    while (follow.waiting > 0 && clock_monotonic_ms() - follow.started_ms < FOLLOW_TIMEOUT_MS) {
        rest();
        look_at_all(&follow);
    }
    for (size_t i = 0; i < follow.count; i++)
        if (follow.views[i].state == FOLLOW_WAITING)
            report(&follow, &follow.views[i]);
    free(follow.views);
}
