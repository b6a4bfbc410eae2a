/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the daemon for its mirror's revision until that has moved and then stands still. */
#include "admin/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "common/base/clock.h"

enum { FOLLOW_INTERVAL_MS = 50, FOLLOW_RESTS = 4 };

struct mirror_state {
    char program[32];
    int64_t revision;
    bool is_connected;
};

static bool ask_mirror(const struct config *config, struct mirror_state *state)
{
    char error[CONFIG_ERROR_SIZE];
    json_t *lines = daemon_ask(config, json_pack("{s:s}", "command", "status"), error);
    const json_t *status = json_array_get(lines, 0), *mirror = json_object_get(status, "mirror");
    const char *program = json_text(status, "program");

    snprintf(state->program, sizeof(state->program), "%s", program ? program : "the daemon");
    state->revision = json_number(mirror, "revision", 0);
    state->is_connected = json_flag(mirror, "is_connected") == 1;
    json_decref(lines);
    return mirror != NULL;
}

void follow_begin(struct follow *follow, const struct config *config)
{
    struct mirror_state state = { .program = "" };

    follow->config = config;
    follow->is_reachable = ask_mirror(config, &state);
    follow->revision = state.revision;
}

static void rest(void)
{
    const struct timespec interval = { .tv_nsec = FOLLOW_INTERVAL_MS * 1000000L };

    nanosleep(&interval, NULL);
}

/* True when the mirror moved and then gave the same revision a few times in a row. */
static bool wait_until_followed(const struct follow *follow, struct mirror_state *state)
{
    uint64_t end_ms = clock_monotonic_ms() + FOLLOW_TIMEOUT_MS;
    int64_t last = follow->revision;
    unsigned rests = 0;

    while (clock_monotonic_ms() < end_ms && ask_mirror(follow->config, state)) {
        rests = state->revision == last ? rests + 1 : 0;
        last = state->revision;
        if (last != follow->revision && rests >= FOLLOW_RESTS)
            return true;
        rest();
    }
    return false;
}

static void report_json(bool is_followed, const struct mirror_state *state)
{
    json_t *line =
        json_pack("{s:s,s:b,s:b,s:I}", "event", "mirror", "followed", is_followed, "connected",
                  state->is_connected, "revision", (json_int_t)state->revision);

    print_json_line(line);
    json_decref(line);
}

static void report(bool is_followed, const struct mirror_state *state)
{
    printf("%s of this machine has ", state->program);
    if (is_followed)
        printf("followed: its mirror is at revision %" PRId64 "\n", state->revision);
    else if (!state->is_connected)
        printf("not followed: it has no connection to the directory\n");
    else
        printf("not followed yet; see mailstead status\n");
}

void follow_report(const struct follow *follow, bool is_json)
{
    struct mirror_state state = { .program = "the daemon", .revision = follow->revision };
    bool is_followed = follow->is_reachable && wait_until_followed(follow, &state);

    if (is_json)
        report_json(is_followed, &state);
    else if (follow->is_reachable)
        report(is_followed, &state);
    else
        printf("no daemon runs on this machine; mailstead status at each frontend shows that it "
               "has followed\n");
}
