/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every daemon is asked how it sees the backends, and the first that can counts the accounts in
 * its mirror: so that there is a plan while the directory is away.  What cannot be asked is left
 * out, and said.
 */
#include "admin/plan.h"

#include <stdlib.h>
#include <string.h>

#include "admin/backend_list.h"
#include "admin/output.h"
#include "admin/reach.h"
#include "admin/status.h"
#include "common/base/memory.h"

enum { PLAN_ANSWER_MS = 3000, PLAN_COUNT_MS = 10000 };

/* --- the table -------------------------------------------------------------------------- */

static const struct string_list *siblings_of(const struct config *config, const char *name)
{
    const struct backend_config *backend = config_backend(config, name);

    return backend ? &backend->siblings : NULL;
}

static void make_table(struct plan *plan)
{
    size_t count = plan->backends.count;

    plan->rows = memory_new((count + 1) * sizeof(*plan->rows));
    plan->health = memory_new((count + 1) * sizeof(*plan->health));
    for (size_t i = 0; i < count; i++) {
        const struct backend *backend = backend_set_at(&plan->backends, i);

        plan->rows[i] = (struct takeover_backend){
            .name = backend->name,
            .siblings = siblings_of(plan->config, backend->name),
            .weight = backend->weight,
        };
    }
    plan->table = (struct takeover_table){ plan->rows, count };
}

/* --- health ----------------------------------------------------------------------------- */

/* Adds what one daemon sees of one backend. */
static void take_health(json_t *line, void *context)
{
    struct plan *plan = context;
    const char *name = json_text(line, "backend");
    size_t index = name ? takeover_find(&plan->table, name) : TAKEOVER_NOBODY;
    bool is_up = false, is_down = false;

    if (index == TAKEOVER_NOBODY)
        return;
    for (size_t i = 0; i < STATUS_MAIL_PROTOCOLS; i++) {
        const char *state = json_text(json_object_get(line, status_protocols[i]), "state");

        is_up |= state && strcmp(state, "up") == 0;
        is_down |= state && strcmp(state, "down") == 0;
    }
    plan->health[index].down += is_down;
    plan->health[index].up += is_up && !is_down;
}

struct node_question {
    struct plan *plan;
    size_t index; /* of the backend */
};

/* What a node says of itself. */
static void take_node(json_t *line, void *context)
{
    struct node_question *about = context;
    const char *state = json_text(line, "state");

    snprintf(about->plan->health[about->index].node, PLAN_NODE_SIZE, "%s", state ? state : "");
}

static void ask_nodes(struct plan *plan, const struct reach *reach)
{
    json_t *request = json_pack("{s:s}", "command", "node-status");
    struct reach_question *questions = memory_new((reach->count + 1) * sizeof(*questions));
    struct node_question *about = memory_new((reach->count + 1) * sizeof(*about));
    size_t count = 0;

    for (size_t i = 0; i < reach->count; i++) {
        const struct reach_node *node = &reach->nodes[i];
        size_t index = takeover_find(&plan->table, node->name);

        if (node->role != REACH_BACKEND || index == TAKEOVER_NOBODY || !reach_is_askable(node))
            continue;
        about[count] = (struct node_question){ plan, index };
        questions[count] = (struct reach_question){ .node = node,
                                                    .request = request,
                                                    .timeout_ms = PLAN_ANSWER_MS,
                                                    .line = take_node,
                                                    .context = &about[count] };
        count++;
    }
    reach_ask_all(questions, count);
    json_decref(request);
    free(questions);
    free(about);
}

/* --- accounts --------------------------------------------------------------------------- */

static void take_count(json_t *line, void *context)
{
    struct plan *plan = context;
    const char *host = json_text(line, "host"), *old_host = json_text(line, "old_host");

    if (host && old_host &&
        !host_counts_add(&plan->counts, host, old_host, (uint64_t)json_number(line, "accounts", 0)))
        plan->is_counted = false;
}

static void ask_for_counts(struct plan *plan, const struct reach_node *node)
{
    char error[CONFIG_ERROR_SIZE];

    plan->is_counted = true;
    if (!reach_ask(node, json_pack("{s:s}", "command", "mirror-hosts"), PLAN_COUNT_MS, take_count,
                   plan, error))
        plan->is_counted = false;
    if (plan->is_counted)
        snprintf(plan->source, sizeof(plan->source), "the mirror of %s", node->name);
    else
        host_counts_fini(&plan->counts);
}

static void read_counts(struct plan *plan)
{
    char error[HOST_COUNTS_ERROR_SIZE];

    plan->is_counted = host_counts_read_directory(plan->config, NULL, &plan->counts, error);
    if (plan->is_counted)
        snprintf(plan->source, sizeof(plan->source), "the directory");
    else
        snprintf(plan->source, sizeof(plan->source), "no daemon counts them, nor the directory: %s",
                 error);
}

static void ask_daemons(struct plan *plan)
{
    json_t *request = json_pack("{s:s}", "command", "backends");
    struct reach_question *questions;
    struct reach reach;

    reach_init(&reach, plan->config);
    questions = memory_new(reach.count * sizeof(*questions));
    for (size_t i = 0; i < reach.count; i++)
        questions[i] = (struct reach_question){ .node = &reach.nodes[i],
                                                .request = request,
                                                .timeout_ms = PLAN_ANSWER_MS,
                                                .line = take_health,
                                                .context = plan };
    reach_ask_all(questions, reach.count);
    ask_nodes(plan, &reach);
    for (size_t i = 0; i < reach.count && !plan->is_counted; i++)
        if (questions[i].is_answered)
            ask_for_counts(plan, &reach.nodes[i]);
    json_decref(request);
    free(questions);
    reach_fini(&reach);
}

/* --- all of it -------------------------------------------------------------------------- */

/* Set away, or the node itself or every frontend says so. */
static bool is_away(const struct plan *plan, size_t index)
{
    const struct plan_health *health = &plan->health[index];

    return backend_set_at(&plan->backends, index)->state != BACKEND_UP ||
           (*health->node && strcmp(health->node, "serving") != 0) ||
           (health->up == 0 && health->down > 0);
}

static void judge(struct plan *plan)
{
    for (size_t i = 0; i < plan->table.count; i++) {
        plan->rows[i].is_away = is_away(plan, i);
        plan->rows[i].accounts = host_counts_sum(&plan->counts, plan->rows[i].name, NULL);
    }
}

void plan_gather(struct plan *plan, const struct config *config)
{
    *plan = (struct plan){ .config = config };
    backend_list_load(config, &plan->backends);
    make_table(plan);
    ask_daemons(plan);
    if (!plan->is_counted)
        read_counts(plan);
    judge(plan);
}

void plan_fini(struct plan *plan)
{
    host_counts_fini(&plan->counts);
    free(plan->rows);
    free(plan->health);
    backend_set_fini(&plan->backends);
}
