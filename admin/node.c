/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/node.h"

#include <inttypes.h>
#include <string.h>

#include "admin/daemon.h"
#include "admin/output.h"

/* What an order's lines come to. */
struct node_answer {
    json_t *last; /* NULL: none yet */
    bool is_json;
};

static void node_take_line(json_t *line, void *context)
{
    struct node_answer *answer = context;
    const char *step = json_text(line, "event");

    if (!step) {
        json_decref(answer->last);
        answer->last = json_incref(line);
    } else if (!answer->is_json) {
        fputs("  ", stdout);
        print_harmless(stdout, step);
        fputc('\n', stdout);
        fflush(stdout);
    }
}

json_t *node_order(const struct arguments *arguments, json_t *request, unsigned deadline_s)
{
    struct node_answer answer = { .is_json = arguments->is_json };
    struct daemon_one one;
    bool is_answered;

    if (!daemon_open(&one, arguments)) {
        json_decref(request);
        return NULL;
    }
    is_answered = daemon_tell(
        &one, request, (deadline_s + one.config->storage.hook_timeout_s) * 1000 + DAEMON_TIMEOUT_MS,
        node_take_line, &answer);
    if (is_answered && !answer.last)
        answer.last = json_object();
    if (is_answered)
        daemon_sign(one.node, answer.last);
    daemon_close(&one);
    if (is_answered)
        return answer.last;
    json_decref(answer.last);
    return NULL;
}

json_t *node_ask_status(const struct arguments *arguments)
{
    return node_order(arguments, json_pack("{s:s}", "command", "node-status"), 0);
}

/* --- status -------------------------------------------------------------------------------------
 */

const char *node_storage_state(const json_t *storage)
{
    return json_flag(storage, "is_held") == 1 ? "held" : json_text(storage, "state");
}

void node_print_storages(const json_t *storages)
{
    struct table table;
    json_t *storage;
    size_t i;

    table_init(&table, 4, 0);
    json_array_foreach (storages, i, storage) {
        char since[OUTPUT_TEXT_SIZE];
        int64_t since_ms = json_number(storage, "since_ms", 0);

        table_add(&table, json_text(storage, "server"));
        table_add(&table, node_storage_state(storage));
        table_add(&table, since_ms > 0 ? format_time(since_ms, since) : "-");
        table_add(&table, json_text(storage, "why"));
    }
    table_print(&table, stdout, 2);
    table_fini(&table);
}

static void node_print_stores(const json_t *stores)
{
    json_t *store;
    size_t i;

    json_array_foreach (stores, i, store)
        printf("  store %s: %s\n", json_text(store, "protocol"),
               json_flag(store, "is_reachable") == 1 ? "reachable" : "not reachable");
}

static void node_print(const json_t *status)
{
    const char *why = json_text(status, "why");

    printf("node %s: %s", json_text(status, "node"), json_text(status, "state"));
    if (json_flag(status, "is_overridden") == 1)
        fputs(", by an override before it has synchronised", stdout);
    else if (json_flag(status, "is_synchronised") != 1)
        fputs(", not synchronised with the directory since the start", stdout);
    if (why && *why) {
        fputs(": ", stdout);
        print_harmless(stdout, why);
    }
    printf(", %" PRId64 " sessions\nstorages\n", json_number(status, "sessions", 0));
    node_print_storages(json_object_get(status, "storages"));
    node_print_stores(json_object_get(status, "stores"));
}

enum command_status node_status_run(const struct arguments *arguments)
{
    json_t *status = node_ask_status(arguments);

    if (!status)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_json_line(status);
    else
        node_print(status);
    json_decref(status);
    return COMMAND_OK;
}

/* --- orders
 * --------------------------------------------------------------------------------------- */

/* Gives the order and says in what state the node is then. */
static enum command_status node_give_order(const struct arguments *arguments, json_t *request,
                                           unsigned deadline_s)
{
    json_t *answer = node_order(arguments, request, deadline_s);
    const char *state = json_text(answer, "state");

    if (!answer)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_json_line(answer);
    else
        printf("%s\n", state ? state : "done");
    json_decref(answer);
    return COMMAND_OK;
}

enum command_status node_leave_run(const struct arguments *arguments)
{
    json_t *request = json_pack("{s:s}", "command", "node-leave");

    if (arguments->deadline_s > 0)
        json_object_set_new(request, "deadline_s", json_integer(arguments->deadline_s));
    return node_give_order(arguments, request, arguments->deadline_s);
}

enum command_status node_return_run(const struct arguments *arguments)
{
    return node_give_order(arguments, json_pack("{s:s}", "command", "node-return"), 0);
}

enum command_status node_override_run(const struct arguments *arguments)
{
    return node_give_order(
        arguments,
        json_pack("{s:s, s:b}", "command", "node-override", "is_on", arguments->is_undo ? 0 : 1),
        0);
}
