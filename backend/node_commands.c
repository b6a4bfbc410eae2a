/* SPDX-License-Identifier: Apache-2.0 */
/* The orders to a node, as they come over hub.sock (node.h).  Each is one line in the log. */
#include <string.h>

#include "backend/node_private.h"
#include "common/base/log.h"

enum { LEAVE_DEADLINE_S = 10, LEAVE_DEADLINE_MAX_S = 86400 };

static void node_log_order(const char *order, const char *server, const json_t *arguments)
{
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "node_ordered", LOG_TEXT("order", order),
              LOG_TEXT("server", server),
              LOG_INTEGER("fenced", json_is_true(json_object_get(arguments, "fenced"))));
}

static void node_wait(struct node *node, struct control_request *request)
{
    struct node_waiter *waiter = memory_new(sizeof(*waiter));

    waiter->request = request;
    list_append(&node->waiters, &waiter->node);
}

/* --- the node ----------------------------------------------------------------------------------
 */

/* Without storages: what it let go of, and its own. */
static json_t *node_storage_rows(const struct node *node)
{
    json_t *rows = json_array();

    LIST_EACH (item, &node->storages.list) {
        const struct storage *storage = LIST_ELEMENT(item, struct storage, node);

        if (node_has_storages(node) || storage->state.current != STORAGE_ATTACHED ||
            strcmp(storage->server, node->child->config->node.name) == 0)
            json_array_append_new(rows, storage_row(storage));
    }
    return rows;
}

static void node_run_status(struct control_request *request, json_t *arguments, void *context)
{
    struct node *node = context;
    const struct board *board = node->child->board;
    json_t *answer = json_pack(
        "{s:s, s:s, s:b, s:b, s:s, s:I, s:b, s:o}", "node", node->child->config->node.name, "state",
        node_state_names[node_board_state(board)], "is_synchronised",
        atomic_load(&board->mirror_is_synchronised), "is_overridden",
        atomic_load(&board->node.is_overridden), "why", node->why, "sessions",
        (json_int_t)board_sum(board, BOARD_SESSIONS), "has_storages", node_has_storages(node),
        "storages", node_storage_rows(node));

    (void)arguments;
    node_stores_answer(node, request, answer);
}

static void node_run_metrics(struct control_request *request, json_t *arguments, void *context)
{
    (void)arguments;
    node_stores_measure(context, request);
}

/* In which the sessions are to end. */
static uint64_t deadline_of(const json_t *arguments)
{
    const json_t *seconds = json_object_get(arguments, "deadline_s");
    json_int_t deadline_s =
        json_is_integer(seconds) ? json_integer_value(seconds) : LEAVE_DEADLINE_S;

    return deadline_s < 0                      ? 0
           : deadline_s > LEAVE_DEADLINE_MAX_S ? LEAVE_DEADLINE_MAX_S
                                               : (uint64_t)deadline_s;
}

static void node_run_leave(struct control_request *request, json_t *arguments, void *context)
{
    node_log_order("leave", NULL, arguments);
    node_wait(context, request);
    node_leave(context, deadline_of(arguments));
}

static void node_run_return(struct control_request *request, json_t *arguments, void *context)
{
    node_log_order("return", NULL, arguments);
    node_wait(context, request);
    node_return(context);
}

static void node_run_override(struct control_request *request, json_t *arguments, void *context)
{
    struct node *node = context;
    bool is_on = json_is_true(json_object_get(arguments, "is_on"));

    node_log_order(is_on ? "override" : "override off", NULL, arguments);
    if (is_on && atomic_load(&node->child->board->mirror_is_synchronised)) {
        control_finish(request, "the node has synchronised: there is nothing to override");
        return;
    }
    atomic_store(&node_board(node)->is_overridden, is_on);
    if (is_on)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "node_overridden");
    control_reply(request, json_pack("{s:s, s:b}", "state",
                                     node_state_names[node_board_state(node->child->board)],
                                     "is_overridden", is_on ? 1 : 0));
    control_finish(request, NULL);
}

/* --- storages ------------------------------------------------------------------------------------
 */

static bool flag_of(const json_t *arguments, const char *name)
{
    return json_is_true(json_object_get(arguments, name));
}

/* The storage that is meant; NULL after the request was finished. */
static struct storage *storage_meant(struct node *node, struct control_request *request,
                                     const json_t *arguments)
{
    const char *server = json_string_value(json_object_get(arguments, "server"));
    struct storage *storage = NULL;

    if (!server || !storage_server_is_good(server))
        control_finish(request, "server is missing, or is no server's name");
    else if (!(storage = storages_find(&node->storages, server)))
        control_finish(request, "there are too many storages");
    return storage;
}

static void storage_run_attach_as(struct node *node, struct control_request *request,
                                  const json_t *arguments, const char *order, bool mark)
{
    struct storage *storage = storage_meant(node, request, arguments);

    if (!storage)
        return;
    node_log_order(order, storage->server, arguments);
    if (node->phase.current != NODE_PHASE_HERE) {
        control_finish(request, "the node leaves or has left: mailstead node return");
        return;
    }
    storage_attach(storage, mark, flag_of(arguments, "fenced"));
    storage_wait(storage, request, STORAGE_ATTACHED);
}

static void storage_run_attach(struct control_request *request, json_t *arguments, void *context)
{
    storage_run_attach_as(context, request, arguments, "storage attach",
                          flag_of(arguments, "initialise"));
}

static void storage_run_init(struct control_request *request, json_t *arguments, void *context)
{
    storage_run_attach_as(context, request, arguments, "storage init", true);
}

static void storage_run_release(struct control_request *request, json_t *arguments, void *context)
{
    struct node *node = context;
    struct storage *storage = storage_meant(node, request, arguments);
    bool was_barred;

    if (!storage)
        return;
    was_barred = storage->is_barred;
    node_log_order("storage release", storage->server, arguments);
    storage->is_wanted = false;
    storage->is_barred = was_barred || !node_has_storages(node);
    if (!node_remember(node)) {
        storage->is_barred = was_barred;
        control_finish(request, "state_directory cannot be written: nothing was done");
        return;
    }
    storage_release(storage, deadline_of(arguments) * 1000, flag_of(arguments, "force"));
    storage_wait(storage, request, STORAGE_DETACHED);
}

const struct control_command node_commands[] = {
    { "node-status", node_run_status },
    { "node-leave", node_run_leave },
    { "node-return", node_run_return },
    { "node-override", node_run_override },
    { "storage-attach", storage_run_attach },
    { "storage-release", storage_run_release },
    { "storage-init", storage_run_init },
    { "metrics", node_run_metrics },
    { NULL, NULL },
};
