/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions come as lines from all workers; they are shown in pages, and no more is held. */
#include "admin/sessions.h"

#include <inttypes.h>

#include "admin/everywhere.h"
#include "admin/output.h"

enum { PAGE_SESSIONS = 500 };

/* What the lines of the answers come to. */
struct listing {
    struct table table; /* the page that is being filled */
    size_t count;
    bool is_json;
    bool has_nodes; /* there are several: each line says which; else its worker */
};

/* Which sessions are meant, as the command line says. */
static json_t *sessions_request(const char *command, const struct arguments *arguments)
{
    return json_pack("{s:s,s:s*,s:s*,s:s*,s:s*}", "command", command, "account", arguments->account,
                     "backend", arguments->backend, "address", arguments->address, "session",
                     arguments->session);
}

/* --- who ---------------------------------------------------------------------------------- */

static void start_page(struct listing *listing)
{
    static const char *const head[] = { "session", "account", "client", "backend",
                                        "for",     "tls",     "speaks" };

    table_init(&listing->table, 8, listing->has_nodes ? 0 : 1U << 7);
    for (size_t i = 0; listing->count == 0 && i < 7; i++)
        table_add(&listing->table, head[i]);
    if (listing->count == 0)
        table_add(&listing->table, listing->has_nodes ? "node" : "worker");
}

static void end_page(struct listing *listing)
{
    table_print(&listing->table, stdout, 0);
    table_fini(&listing->table);
}

static void show_session(const struct reach_node *node, json_t *session, void *context)
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
    if (listing->has_nodes)
        table_add(table, node->name);
    else
        table_add_format(table, "%" PRId64, json_number(session, "worker", 0));
}

enum command_status who_run(const struct arguments *arguments)
{
    struct listing listing = { .is_json = arguments->is_json };
    struct everywhere everywhere;
    enum command_status status;

    if (!everywhere_open(&everywhere, arguments, EVERYWHERE_FRONTENDS))
        return COMMAND_FAILED;
    listing.has_nodes = everywhere.count > 1;
    status =
        everywhere_ask(&everywhere, sessions_request("who", arguments), show_session, &listing);
    if (listing.count > 0)
        end_page(&listing);
    else if (status == COMMAND_OK && !listing.is_json)
        printf("nobody is there\n");
    everywhere_close(&everywhere);
    return status;
}

/* --- kick ----------------------------------------------------------------------------------- */

/* How many each node has told to go: its workers answer one by one. */
struct kicking {
    json_t *counts; /* by the nodes' names */
    int64_t total;
};

static void count_kicked(const struct reach_node *node, json_t *answer, void *context)
{
    struct kicking *kicking = context;
    json_t *line = json_object_get(kicking->counts, node->name);
    int64_t kicked = json_number(answer, "kicked", 0);

    kicking->total += kicked;
    json_object_set_new(answer, "kicked",
                        json_integer((json_int_t)(kicked + json_number(line, "kicked", 0))));
    json_object_set(kicking->counts, node->name, answer);
}

static void print_kicked(const struct kicking *kicking, bool is_json)
{
    char count[OUTPUT_TEXT_SIZE];
    const char *name;
    json_t *line;

    if (!is_json)
        printf("%s told to go\n", format_count(kicking->total, "session", count));
    else
        json_object_foreach(kicking->counts, name, line) print_json_line(line);
}

enum command_status kick_run(const struct arguments *arguments)
{
    struct kicking kicking = { .counts = NULL };
    enum command_status status;

    if (!arguments->account && !arguments->backend && !arguments->address && !arguments->session) {
        fprintf(stderr,
                "mailstead kick: say whose: --account, --backend, --address or --session\n");
        return COMMAND_USAGE;
    }
    kicking.counts = json_object();
    status = everywhere_run(arguments, EVERYWHERE_FRONTENDS, sessions_request("kick", arguments),
                            count_kicked, &kicking);
    if (status != COMMAND_FAILED)
        print_kicked(&kicking, arguments->is_json);
    json_decref(kicking.counts);
    return status;
}

/* --- drain ------------------------------------------------------------------------------------ */

static void print_drain(const struct reach_node *node, const json_t *state)
{
    char count[OUTPUT_TEXT_SIZE], left[OUTPUT_TEXT_SIZE];

    if (node->role != REACH_UNLISTED)
        printf("%s: ", node->name);
    format_count(json_number(state, "sessions", 0), "session", count);
    if (json_flag(state, "is_drained") == 1)
        printf("no more connections are taken; %s are asked to go, and closed in %s\n", count,
               format_duration(json_number(state, "left_ms", 0), left));
    else
        printf("connections are taken; %s open\n", count);
}

static void show_drain(const struct reach_node *node, json_t *state, void *context)
{
    const struct arguments *arguments = context;

    if (arguments->is_json)
        print_json_line(state);
    else
        print_drain(node, state);
}

enum command_status drain_run(const struct arguments *arguments)
{
    json_t *request;

    if (arguments->is_undo && arguments->deadline_s > 0) {
        fprintf(stderr, "mailstead drain: --deadline or --undo, not both\n");
        return COMMAND_USAGE;
    }
    if (arguments->is_all && (arguments->is_local || arguments->nodes.count > 0)) {
        fprintf(stderr, "mailstead drain: --all is every frontend; without --node and --local\n");
        return COMMAND_USAGE;
    }
    request = json_pack("{s:s}", "command", "drain");
    if (arguments->is_undo)
        json_object_set_new(request, "undo", json_true());
    if (arguments->deadline_s > 0)
        json_object_set_new(request, "deadline_s", json_integer(arguments->deadline_s));
    return everywhere_run(arguments, EVERYWHERE_HERE, request, show_drain,
                          (void *)(uintptr_t)arguments);
}
