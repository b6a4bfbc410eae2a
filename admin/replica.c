/* SPDX-License-Identifier: Apache-2.0 */
/* The lines come as backend/replica/orders.h has them: a summary, then accounts. */
#include "admin/replica.h"

#include <inttypes.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "admin/reach.h"

enum { PAGE_ACCOUNTS = 500, SYNC_TIMEOUT_MS = 3600000 };

struct listing {
    struct table table; /* the page that is being filled */
    size_t count;       /* accounts */
    bool is_json;
};

/* Asks the backend that is meant: that of --backend, or this machine's.  Takes over `request`. */
static bool ask(const struct arguments *arguments, json_t *request, unsigned timeout_ms,
                void (*line)(json_t *object, void *context), void *context)
{
    struct config *config = daemon_config(arguments, true);
    char error[CONFIG_ERROR_SIZE];
    const struct reach_node *node;
    bool is_answered = false;
    struct reach reach;

    if (!config) {
        json_decref(request);
        return false;
    }
    reach_init(&reach, config);
    node = arguments->backend ? reach_find(&reach, arguments->backend) : reach_own(&reach);
    if (!node) {
        fprintf(stderr, "mailstead: no node is called \"%s\"\n", arguments->backend);
        json_decref(request);
    } else {
        is_answered = reach_ask(node, request, timeout_ms, line, context, error);
        if (!is_answered)
            fprintf(stderr, "mailstead: %s\n", error);
    }
    reach_fini(&reach);
    config_free(config);
    return is_answered;
}

static void print_summary(const json_t *summary)
{
    const char *server = json_text(summary, "server"), *trouble = json_text(summary, "trouble");
    int64_t told_ms = json_number(summary, "told_age_ms", -1);
    char age[OUTPUT_TEXT_SIZE];

    if (server)
        printf("what %s told %s of its copies here:\n", server, json_text(summary, "node"));
    else
        printf("copies of the accounts of %s on %s:\n", json_text(summary, "node"),
               json_text(summary, "peer"));
    printf("  accounts %" PRId64 ", never synchronised %" PRId64 ", changed since %" PRId64
           ", unsure %" PRId64 ", failing %" PRId64 "\n",
           json_number(summary, "accounts", 0), json_number(summary, "never", 0),
           json_number(summary, "dirty", 0), json_number(summary, "unsure", 0),
           json_number(summary, "failing", 0));
    if (!server)
        printf("  oldest change not copied: %s; lag: median %" PRId64 " ms, 99%% %" PRId64 " ms\n",
               format_duration(json_number(summary, "oldest_dirty_ms", 0), age),
               json_number(summary, "lag_median_ms", 0), json_number(summary, "lag_p99_ms", 0));
    if (told_ms >= 0)
        printf("  %s so %s ago\n", server ? "it said" : "the other side was told",
               format_duration(told_ms, age));
    else
        printf("  %s\n", server ? "it said nothing yet: none counts as synchronised"
                                : "the other side was not told yet");
    if (server && told_ms >= 0 && json_flag(summary, "is_complete") == 0)
        printf("  more are behind than it said by name\n");
    if (trouble)
        printf("  in trouble: %s\n", trouble[0] ? trouble : "the own Dovecot");
}

static void start_page(struct listing *listing)
{
    static const char *const head[] = { "account", "state", "changed", "tries", "why" };

    table_init(&listing->table, 5, 1U << 3);
    for (size_t i = 0; listing->count == 0 && i < 5; i++)
        table_add(&listing->table, head[i]);
}

static void end_page(struct listing *listing)
{
    table_print(&listing->table, stdout, 0);
    table_fini(&listing->table);
}

static void print_account(struct listing *listing, const json_t *line)
{
    int64_t dirty_ms = json_number(line, "dirty_age_ms", -1);
    const char *why = json_text(line, "why");
    char age[OUTPUT_TEXT_SIZE] = "";

    if (listing->count > 0 && listing->count % PAGE_ACCOUNTS == 0)
        end_page(listing);
    if (listing->count % PAGE_ACCOUNTS == 0)
        start_page(listing);
    listing->count++;
    table_add(&listing->table, json_text(line, "account"));
    table_add(&listing->table, json_text(line, "state"));
    table_add(&listing->table, dirty_ms >= 0 ? format_duration(dirty_ms, age) : "");
    table_add_format(&listing->table, "%" PRId64, json_number(line, "attempts", 0));
    table_add(&listing->table, why ? why : "");
}

static void show_line(json_t *line, void *context)
{
    struct listing *listing = context;

    if (listing->is_json)
        print_json_line(line);
    else if (json_text(line, "account"))
        print_account(listing, line);
    else if (json_text(line, "node"))
        print_summary(line);
    else if (json_text(line, "event"))
        fprintf(stderr, "%" PRId64 " left, %" PRId64 " failed\n", json_number(line, "left", 0),
                json_number(line, "failed", 0));
}

enum command_status replica_status_run(const struct arguments *arguments)
{
    struct listing listing = { .is_json = arguments->is_json };
    json_t *request = json_pack("{s:s,s:b,s:s*}", "command", "replica-status", "behind",
                                arguments->wants_behind, "server", arguments->server);
    bool is_answered = ask(arguments, request, 60000, show_line, &listing);

    if (listing.count > 0)
        end_page(&listing);
    return is_answered ? COMMAND_OK : COMMAND_FAILED;
}

enum command_status replica_sync_run(const struct arguments *arguments)
{
    struct listing listing = { .is_json = arguments->is_json };
    json_t *request;

    if (arguments->is_all == (arguments->word_count > 0)) {
        fprintf(stderr, "mailstead replica sync: an account, or --all\n");
        return COMMAND_USAGE;
    }
    request = json_pack("{s:s,s:s*,s:b,s:s*}", "command", "replica-sync", "account",
                        arguments->word_count > 0 ? arguments->words[0] : NULL, "all",
                        arguments->is_all, "server", arguments->server);
    return ask(arguments, request, SYNC_TIMEOUT_MS, show_line, &listing) ? COMMAND_OK
                                                                         : COMMAND_FAILED;
}
