/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions come as lines from all workers; they are shown in pages, and no more is held. */
#include "admin/sessions.h"

#include <inttypes.h>

#include "admin/daemon.h"
#include "admin/output.h"

enum { PAGE_SESSIONS = 500 };

/* What the lines of an answer come to. */
struct listing {
    struct table table; /* the page that is being filled */
    size_t count;
    int64_t kicked;
    bool is_json;
};

/* Which sessions are meant, as the command line says. */
static json_t *sessions_request(const char *command, const struct arguments *arguments)
{
    return json_pack("{s:s,s:s*,s:s*,s:s*,s:s*}", "command", command, "account", arguments->account,
                     "backend", arguments->backend, "address", arguments->address, "session",
                     arguments->session);
}

static bool ask(const struct arguments *arguments, json_t *request,
                void (*line)(json_t *object, void *context), void *context)
{
    struct config *config = daemon_config(arguments, false);
    char path[CONFIG_ERROR_SIZE], error[CONFIG_ERROR_SIZE];
    bool is_answered = false;

    if (!config) {
        json_decref(request);
        return false;
    }
    daemon_socket(config, path);
    is_answered = daemon_ask_at(path, request, DAEMON_TIMEOUT_MS, line, context, error);
    if (!is_answered)
        fprintf(stderr, "mailstead: %s\n", error);
    config_free(config);
    return is_answered;
}

/* --- who ---------------------------------------------------------------------------------- */

static void start_page(struct listing *listing)
{
    static const char *const head[] = { "session", "account", "client", "backend",
                                        "since",   "tls",     "speaks", "worker" };

    table_init(&listing->table, 8, 1U << 7);
    for (size_t i = 0; listing->count == 0 && i < 8; i++)
        table_add(&listing->table, head[i]);
}

static void end_page(struct listing *listing)
{
    table_print(&listing->table, stdout, 0);
    table_fini(&listing->table);
}

static void show_session(json_t *session, void *context)
{
    struct listing *listing = context;
    struct table *table = &listing->table;
    char age[OUTPUT_TEXT_SIZE];

    if (listing->is_json) {
        print_json_line(session);
        return;
    }
    if (listing->count % PAGE_SESSIONS == 0) {
        if (listing->count > 0)
            end_page(listing);
        start_page(listing);
    }
    listing->count++;
    table_add(table, json_text(session, "id"));
    table_add(table, json_text(session, "account"));
    table_add(table, json_text(session, "address"));
    table_add(table, json_text(session, "backend"));
    table_add(table, format_duration(json_number(session, "age_ms", 0), age));
    table_add(table, json_flag(session, "is_leaving") == 1 ? "leaving" : json_text(session, "tls"));
    table_add(table, json_text(session, "protocol"));
    table_add_format(table, "%" PRId64, json_number(session, "worker", 0));
}

enum command_status who_run(const struct arguments *arguments)
{
    struct listing listing = { .is_json = arguments->is_json };
    bool is_answered = ask(arguments, sessions_request("who", arguments), show_session, &listing);

    if (listing.count > 0)
        end_page(&listing);
    else if (is_answered && !listing.is_json)
        printf("nobody is there\n");
    return is_answered ? COMMAND_OK : COMMAND_FAILED;
}

/* --- kick ----------------------------------------------------------------------------------- */

static void count_kicked(json_t *answer, void *context)
{
    ((struct listing *)context)->kicked += json_number(answer, "kicked", 0);
}

enum command_status kick_run(const struct arguments *arguments)
{
    struct listing listing = { .kicked = 0 };
    char count[OUTPUT_TEXT_SIZE];

    if (!arguments->account && !arguments->backend && !arguments->address && !arguments->session) {
        fprintf(stderr, "mailstead kick: --account, --backend, --address or --session\n");
        return COMMAND_USAGE;
    }
    if (!ask(arguments, sessions_request("kick", arguments), count_kicked, &listing))
        return COMMAND_FAILED;
    if (arguments->is_json)
        printf("{\"kicked\":%" PRId64 "}\n", listing.kicked);
    else
        printf("%s told to go\n", format_count(listing.kicked, "session", count));
    return COMMAND_OK;
}

/* --- drain ------------------------------------------------------------------------------------ */

static void print_drain(const json_t *state)
{
    char count[OUTPUT_TEXT_SIZE], left[OUTPUT_TEXT_SIZE];

    format_count(json_number(state, "sessions", 0), "session", count);
    if (json_flag(state, "is_drained") == 1)
        printf("no more connections are taken; %s are asked to go, and closed in %s\n", count,
               format_duration(json_number(state, "left_ms", 0), left));
    else
        printf("connections are taken; %s open\n", count);
}

enum command_status drain_run(const struct arguments *arguments)
{
    json_t *request = json_pack("{s:s}", "command", "drain");
    const json_t *state;
    json_t *lines;

    if (arguments->is_undo && arguments->deadline_s > 0) {
        fprintf(stderr, "mailstead drain: --deadline or --undo, not both\n");
        json_decref(request);
        return COMMAND_USAGE;
    }
    if (arguments->is_undo)
        json_object_set_new(request, "undo", json_true());
    if (arguments->deadline_s > 0)
        json_object_set_new(request, "deadline_s", json_integer(arguments->deadline_s));
    lines = daemon_answer(arguments, request);
    state = json_array_get(lines, 0);
    if (!state)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_json_line(state);
    else
        print_drain(state);
    json_decref(lines);
    return COMMAND_OK;
}
