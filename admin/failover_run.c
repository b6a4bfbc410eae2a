/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/failover_run.h"

#include <stdio.h>

#include "admin/fence.h"
#include "admin/follow.h"
#include "admin/interrupt.h"
#include "admin/move.h"
#include "admin/probe.h"
#include "common/service/any_text.h"

/* --- the journal ------------------------------------------------------------------------------ */

/* What is written down of an action before it is done, or with `is_done` when it was; NULL: none.
 */
static const char *journal_event(enum failover_action action, bool is_done)
{
    switch (action) {
    case FAILOVER_ORDER_ATTACH:
        return is_done ? NULL : "attaching";
    case FAILOVER_ORDER_RELEASE:
        return is_done ? "released" : NULL;
    case FAILOVER_FENCE:
    case FAILOVER_PROBE:
        return is_done ? "off" : NULL;
    default:
        return NULL;
    }
}

/* Only of the backend's own storage, and of other nodes than it: who may have it but itself. */
static bool note_action(struct failover_run *run, enum failover_action action, bool is_done,
                        const char *node, const char *server, char why[FAILOVER_TEXT_SIZE])
{
    const char *fact = journal_event(action, is_done);
    const char *backend = run->failover.order->backend;

    if (!fact || strcmp(server, backend) != 0 || strcmp(node, backend) == 0)
        return true;
    return failover_journal_write(run->journal,
                                  json_pack("{s:s, s:o, s:I}", "event", fact, "node",
                                            json_any_text(node), "ms",
                                            (json_int_t)failover_view_elapsed_ms(&run->view)),
                                  why);
}

/* --- actions ---------------------------------------------------------------------------------- */

/* Nobody can answer for a node that the configuration does not have. */
static enum failover_result no_backend(const char *node, char why[FAILOVER_TEXT_SIZE])
{
    snprintf(why, FAILOVER_TEXT_SIZE, "\"%.128s\" is no backend: it has no address", node);
    return FAILOVER_REFUSED;
}

static enum failover_result probe(const struct failover_run *run, char why[FAILOVER_TEXT_SIZE])
{
    const struct backend *backend = backend_set_find(run->backends, run->failover.node);
    char text[PROBE_TEXT_SIZE];

    if (!backend)
        return no_backend(run->failover.node, why);
    if (probe_backend(backend, PROBE_TIMEOUT_MS, text) != PROBE_ANSWERS)
        return FAILOVER_DONE;
    snprintf(why, FAILOVER_TEXT_SIZE, "it answers: %s", text);
    return FAILOVER_REFUSED;
}

static enum failover_result fence(const struct failover_run *run, char why[FAILOVER_TEXT_SIZE])
{
    const struct admin_config *admin = &run->config->admin;
    const struct backend *backend = backend_set_find(run->backends, run->failover.node);
    struct fence fence = { .program = admin->fence_hook,
                           .node = run->failover.node,
                           .timeout_ms = admin->fence_timeout_s * 1000 };

    if (!backend)
        return no_backend(run->failover.node, why);
    fence.address = backend->addresses[0];
    return fence_run(&fence, why) ? FAILOVER_DONE : FAILOVER_REFUSED;
}

/* Ends the machine itself when it does not end well. */
static enum failover_result rewrite(struct failover_run *run, char why[FAILOVER_TEXT_SIZE])
{
    const struct failover_order *order = run->failover.order;
    struct reassign_plan plan = {
        .kind = order->kind == FAILOVER_HOME ? REASSIGN_RESTORE : REASSIGN_MOVE,
        .from = order->backend,
        .to = order->kind == FAILOVER_HOME ? NULL : run->failover.taker,
        .rate = run->arguments->rate,
        .journal_directory = run->arguments->journal ? run->arguments->journal
                                                     : run->config->admin.journal_directory,
    };
    struct reassign_result result;

    move_run(run->config, &plan, run->view.is_json, &result);
    run->moved += result.progress.moved;
    if (result.end == REASSIGN_DONE)
        return FAILOVER_DONE;
    snprintf(why, FAILOVER_TEXT_SIZE,
             "the rewrite was not finished (%s): %.500s; accounts that were not moved wait: run it "
             "again",
             reassign_end_name(result.end), result.error);
    failover_stop(&run->failover, move_status(&result), why);
    return FAILOVER_REFUSED;
}

static enum failover_result perform(struct failover_run *run, enum failover_action action,
                                    char why[FAILOVER_TEXT_SIZE])
{
    switch (action) {
    case FAILOVER_ASK_TAKER:
        return failover_ask_taker(run, why);
    case FAILOVER_ASK_BACKEND:
        return failover_ask_backend(run, why);
    case FAILOVER_ORDER_LEAVE:
        return failover_order_leave(run, why);
    case FAILOVER_PROBE:
        return probe(run, why);
    case FAILOVER_FENCE:
        return fence(run, why);
    case FAILOVER_ORDER_RELEASE:
        return failover_order_storage(run, "storage-release", why);
    case FAILOVER_ORDER_ATTACH:
        return failover_order_storage(run, "storage-attach", why);
    case FAILOVER_ORDER_RETURN:
        return failover_order_return(run, why);
    case FAILOVER_AWAIT_READY:
        return failover_await_ready(run, why);
    case FAILOVER_ASK_BEHIND:
        return failover_ask_behind(run, why);
    case FAILOVER_SYNCHRONISE:
        return failover_synchronise(run, why);
    case FAILOVER_DO_REWRITE:
        return rewrite(run, why);
    case FAILOVER_SHOW_FOLLOWERS:
        if (run->moved > 0) /* else nobody has anything to follow */
            follow_report(run->config, run->view.is_json);
        return FAILOVER_DONE;
    case FAILOVER_END:
        break;
    }
    return FAILOVER_DONE;
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool has_ended(const struct failover_run *run)
{
    return *run->failover.why != '\0';
}

static void step(struct failover_run *run, enum failover_action action)
{
    const char *node = run->failover.node, *server = run->failover.server;
    char why[FAILOVER_TEXT_SIZE] = "";
    enum failover_result result;

    if (!note_action(run, action, false, node, server, why)) {
        failover_stop(&run->failover, COMMAND_FAILED, why);
        return;
    }
    result = perform(run, action, why);
    if (has_ended(run))
        return;
    if (result == FAILOVER_DONE && !note_action(run, action, true, node, server, why)) {
        failover_stop(&run->failover, COMMAND_FAILED, why);
        return;
    }
    failover_answer(&run->failover, result, why);
    failover_view_note(&run->view, &run->failover);
    if (interrupt_came() && failover_next(&run->failover) != FAILOVER_END)
        failover_stop(&run->failover, COMMAND_FAILED,
                      "stopped, as was asked; what is done is kept: run it again to go on");
}

/* A phase that is over; that it cannot be written down stops nothing, it only tells times. */
static void note_phase(struct failover_run *run, enum failover_phase phase, int64_t ms)
{
    char error[REASSIGN_ERROR_SIZE];
    json_t *line =
        json_pack("{s:s, s:s, s:I}", "event", "phase", "phase",
                  failover_phase_name(run->failover.order->kind, phase), "ms", (json_int_t)ms);

    (void)!failover_journal_write(run->journal, line, error);
}

static void note_end(struct failover_run *run)
{
    char error[REASSIGN_ERROR_SIZE];
    json_t *line = json_pack("{s:s, s:i, s:o, s:I}", "event", "end", "status",
                             (int)run->failover.status, "why", json_any_text(run->failover.why),
                             "ms", (json_int_t)failover_view_elapsed_ms(&run->view));

    (void)!failover_journal_write(run->journal, line, error);
}

enum command_status failover_run(struct failover_run *run, const struct failover_order *order)
{
    enum failover_action action;

    failover_init(&run->failover, order);
    interrupt_catch();
    while ((action = failover_next(&run->failover)) != FAILOVER_END) {
        enum failover_phase before = run->view.phase;
        int64_t ms = failover_view_step(&run->view, &run->failover);

        if (ms >= 0)
            note_phase(run, before, ms);
        step(run, action);
    }
    interrupt_release();
    note_end(run);
    failover_view_end(&run->view, &run->failover);
    return run->failover.status;
}
