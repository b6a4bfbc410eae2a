/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a failover asks of nodes.  A node that does not tell its state within FAILOVER_ANSWER_MS is
 * silent, and is then given no order; one that does has FAILOVER_ORDER_MS between two words.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin/failover_run.h"
#include "admin/output.h"
#include "common/base/clock.h"

enum {
    NODE_READY_MS = 30000,
    NODE_SYNCHRONISED_MS = 15000,
    NODE_LOOK_MS = 100,
    LEAVE_FAILED_S = 2, /* its sessions could not go on anyway */
    LEAVE_PLANNED_S = 10
};

enum failover_result failover_ask_node(const struct failover_run *run, const char *node,
                                       json_t *request, unsigned timeout_ms,
                                       void (*line)(json_t *object, void *context), void *context,
                                       char why[FAILOVER_TEXT_SIZE])
{
    const struct reach_node *found = reach_find(run->reach, node);
    struct reach_question question = { .node = found,
                                       .request = request,
                                       .timeout_ms = timeout_ms,
                                       .line = line,
                                       .context = context };

    if (!found || !reach_is_askable(found)) {
        snprintf(why, FAILOVER_TEXT_SIZE,
                 "it cannot be asked: cluster.backend \"%.128s\" has no %s", node,
                 found ? "admin_port, and no control_socket here" : "section");
        json_decref(request);
        return FAILOVER_SILENT;
    }
    reach_ask_all(&question, 1);
    json_decref(request);
    snprintf(why, FAILOVER_TEXT_SIZE, "%s", question.error);
    if (question.is_answered)
        return FAILOVER_DONE;
    return question.is_refused ? FAILOVER_REFUSED : FAILOVER_SILENT;
}

/* --- its state ------------------------------------------------------------------------------- */

static void keep_line(json_t *object, void *context)
{
    json_t **kept = context;

    json_decref(*kept);
    *kept = json_incref(object);
}

/* DONE: `*status`, the caller's, is what it tells of itself. */
static enum failover_result ask_status(const struct failover_run *run, const char *node,
                                       json_t **status, char why[FAILOVER_TEXT_SIZE])
{
    enum failover_result result;

    *status = NULL;
    result = failover_ask_node(run, node, json_pack("{s:s}", "command", "node-status"),
                               FAILOVER_ANSWER_MS, keep_line, status, why);
    if (result == FAILOVER_DONE && *status)
        return FAILOVER_DONE;
    if (result == FAILOVER_DONE)
        snprintf(why, FAILOVER_TEXT_SIZE, "it does not tell its state");
    json_decref(*status);
    *status = NULL;
    return result == FAILOVER_DONE ? FAILOVER_REFUSED : result;
}

static enum failover_result judge_serving(const json_t *status, char why[FAILOVER_TEXT_SIZE])
{
    const char *state = json_text(status, "state");

    if (state && strcmp(state, "serving") == 0)
        return FAILOVER_DONE;
    snprintf(why, FAILOVER_TEXT_SIZE, "it does not serve: it is %.64s", state ? state : "?");
    return FAILOVER_REFUSED;
}

enum failover_result failover_ask_taker(const struct failover_run *run,
                                        char why[FAILOVER_TEXT_SIZE])
{
    const char *node = run->failover.node;
    const struct backend *backend = backend_set_find(run->backends, node);
    enum failover_result result;
    json_t *status;

    if (backend && backend->state != BACKEND_UP) {
        snprintf(why, FAILOVER_TEXT_SIZE, "it is set %s", backend_state_names[backend->state]);
        return FAILOVER_REFUSED;
    }
    if (!failover_journal_hold(run->journal, node, why))
        return FAILOVER_REFUSED;
    result = ask_status(run, node, &status, why);
    if (result == FAILOVER_DONE)
        result = judge_serving(status, why);
    json_decref(status);
    return result;
}

void failover_rest(void)
{
    const struct timespec interval = { .tv_nsec = NODE_LOOK_MS * 1000000L };

    nanosleep(&interval, NULL);
}

/* Asks its state until `judge` is content, for so long. */
static enum failover_result await(const struct failover_run *run, uint64_t timeout_ms,
                                  enum failover_result (*judge)(const struct failover_run *run,
                                                                const json_t *status,
                                                                char why[FAILOVER_TEXT_SIZE]),
                                  char why[FAILOVER_TEXT_SIZE])
{
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    enum failover_result result;

    for (;;) {
        json_t *status;

        result = ask_status(run, run->failover.node, &status, why);
        if (result == FAILOVER_DONE)
            result = judge(run, status, why);
        json_decref(status);
        if (result != FAILOVER_REFUSED || clock_monotonic_ms() >= deadline_ms)
            return result;
        failover_rest();
    }
}

static enum failover_result judge_synchronised(const struct failover_run *run, const json_t *status,
                                               char why[FAILOVER_TEXT_SIZE])
{
    (void)run;
    if (json_flag(status, "is_synchronised") == 1)
        return FAILOVER_DONE;
    snprintf(why, FAILOVER_TEXT_SIZE,
             "it has not synchronised with the directory since it started");
    return FAILOVER_REFUSED;
}

enum failover_result failover_ask_backend(const struct failover_run *run,
                                          char why[FAILOVER_TEXT_SIZE])
{
    return await(run, NODE_SYNCHRONISED_MS, judge_synchronised, why);
}

/* The row of a server's storage, or NULL. */
static const json_t *find_storage(const json_t *status, const char *server)
{
    json_t *row;
    size_t i;

    json_array_foreach (json_object_get(status, "storages"), i, row) {
        const char *name = json_text(row, "server");

        if (name && strcmp(name, server) == 0)
            return row;
    }
    return NULL;
}

static enum failover_result judge_storage(const struct failover_run *run, const json_t *status,
                                          char why[FAILOVER_TEXT_SIZE])
{
    const json_t *row = find_storage(status, run->failover.server);
    const char *state = json_text(row, "state"), *reason = json_text(row, "why");

    /* A node without storages lists what it was told to let go of: all else is there. */
    if ((!row && json_flag(status, "has_storages") == 0) ||
        (state && strcmp(state, "attached") == 0))
        return FAILOVER_DONE;
    snprintf(why, FAILOVER_TEXT_SIZE, "the storage is %.32s%s%.400s", state ? state : "not there",
             reason && *reason ? ": " : "", reason ? reason : "");
    return FAILOVER_REFUSED;
}

static enum failover_result judge_stores(const json_t *status, char why[FAILOVER_TEXT_SIZE])
{
    json_t *store;
    size_t i;

    json_array_foreach (json_object_get(status, "stores"), i, store)
        if (json_flag(store, "is_reachable") == 0) {
            const char *protocol = json_text(store, "protocol");

            snprintf(why, FAILOVER_TEXT_SIZE, "its mail store does not answer for %.16s",
                     protocol ? protocol : "?");
            return FAILOVER_REFUSED;
        }
    return FAILOVER_DONE;
}

static enum failover_result judge_ready(const struct failover_run *run, const json_t *status,
                                        char why[FAILOVER_TEXT_SIZE])
{
    enum failover_result result = judge_serving(status, why);

    if (result == FAILOVER_DONE)
        result = judge_storage(run, status, why);
    return result == FAILOVER_DONE ? judge_stores(status, why) : result;
}

enum failover_result failover_await_ready(const struct failover_run *run,
                                          char why[FAILOVER_TEXT_SIZE])
{
    return await(run, NODE_READY_MS, judge_ready, why);
}

/* --- orders ---------------------------------------------------------------------------------- */

static void show_progress(json_t *object, void *context)
{
    const struct failover_run *run = context;
    const char *what = json_text(object, "event");

    if (what)
        failover_view_progress(&run->view, run->failover.node, what);
}

/* An order to a node that answers; `request` is taken over. */
static enum failover_result order_node(const struct failover_run *run, json_t *request,
                                       char why[FAILOVER_TEXT_SIZE])
{
    const char *node = run->failover.node;
    json_t *status;
    enum failover_result result = ask_status(run, node, &status, why);

    json_decref(status);
    if (result != FAILOVER_DONE) {
        json_decref(request);
        return result;
    }
    return failover_ask_node(run, node, request, FAILOVER_ORDER_MS, show_progress, (void *)run,
                             why);
}

/* What the sessions of a node get that lets go: on the way home they are served until then. */
static int sessions_deadline_s(const struct failover_run *run)
{
    const struct failover_order *order = run->failover.order;
    bool is_served = order->is_planned || order->kind == FAILOVER_HOME;

    if (run->arguments->deadline_s > 0)
        return (int)run->arguments->deadline_s;
    return is_served ? LEAVE_PLANNED_S : LEAVE_FAILED_S;
}

enum failover_result failover_order_leave(const struct failover_run *run,
                                          char why[FAILOVER_TEXT_SIZE])
{
    return order_node(
        run,
        json_pack("{s:s, s:i}", "command", "node-leave", "deadline_s", sessions_deadline_s(run)),
        why);
}

enum failover_result failover_order_return(const struct failover_run *run,
                                           char why[FAILOVER_TEXT_SIZE])
{
    return order_node(run, json_pack("{s:s}", "command", "node-return"), why);
}

enum failover_result failover_order_storage(const struct failover_run *run, const char *command,
                                            char why[FAILOVER_TEXT_SIZE])
{
    json_t *request =
        json_pack("{s:s, s:o}", "command", command, "server", json_any_text(run->failover.server));

    if (run->failover.was_fenced && strcmp(command, "storage-attach") == 0)
        json_object_set_new(request, "fenced", json_true());
    if (strcmp(command, "storage-release") == 0)
        json_object_set_new(request, "deadline_s", json_integer(sessions_deadline_s(run)));
    return order_node(run, request, why);
}
