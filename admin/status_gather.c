/* SPDX-License-Identifier: Apache-2.0 */
/* What several processes of each node answer, made one document. */
#include <stdlib.h>
#include <string.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "admin/status.h"
#include "common/base/memory.h"

/* The questions, and where the answers go. */
static const struct status_step {
    const char *command, *key; /* NULL: the first line is the document itself */
    const char *program;       /* only this one has it; NULL: both */
    bool is_list;              /* of lines; else the first one counts */
} steps[] = {
    { "status", NULL, NULL, false },
    { "backends", "backends", NULL, true },
    { "directory-status", "directory", NULL, false },
    { "queue-stat", "queue", "mailstead-frontend", false },
    { "node-status", "storage_node", "mailstead-backend", false },
};

static json_t *make_request(size_t step)
{
    return json_pack("{s:s}", "command", steps[step].command);
}

static void take_line(json_t *line, void *context)
{
    struct status_node *view = context;
    const struct status_step *step = &steps[view->step];

    if (!step->key && !view->document)
        view->document = json_incref(line);
    else if (step->is_list)
        json_array_append(json_object_get(view->document, step->key), line);
    else if (step->key && !json_object_get(view->document, step->key))
        json_object_set(view->document, step->key, line);
}

/* Whether there is a question left for it. */
static bool find_next_step(struct status_node *view)
{
    const char *program = json_text(view->document, "program");

    while (++view->step < ARRAY_LENGTH(steps)) {
        const char *wanted = steps[view->step].program;

        if (!wanted || (program && strcmp(program, wanted) == 0))
            return true;
    }
    return false;
}

/* Later questions may fail: their process may just be starting, which "status" shows. */
static void take_end(struct reach_question *question)
{
    struct status_node *view = question->context;

    if (view->step == 0 && !view->document) {
        snprintf(view->error, sizeof(view->error), "%s",
                 question->is_answered ? "the daemon's answer is empty" : question->error);
        return;
    }
    if (!find_next_step(view))
        return;
    if (steps[view->step].is_list)
        json_object_set_new(view->document, steps[view->step].key, json_array());
    json_decref(question->request);
    question->request = make_request(view->step);
    question->again_ms = 1;
}

static void ask_nodes(struct status_node *nodes, size_t count)
{
    struct reach_question *questions = memory_new((count + 1) * sizeof(*questions));

    for (size_t i = 0; i < count; i++)
        questions[i] = (struct reach_question){ .node = nodes[i].node,
                                                .request = make_request(0),
                                                .line = take_line,
                                                .ended = take_end,
                                                .context = &nodes[i] };
    reach_ask_all(questions, count);
    for (size_t i = 0; i < count; i++)
        json_decref(questions[i].request);
    free(questions);
}

/* --- who lags behind ------------------------------------------------------------------------- */

static void read_csns(struct status_node *view)
{
    const json_t *list = json_object_get(json_object_get(view->document, "directory"), "csn");
    json_t *csn;
    size_t i;

    json_array_foreach (list, i, csn)
        if (json_is_string(csn))
            (void)csn_set_add(&view->csns, span_from_string(json_string_value(csn)));
}

/* Against all that any of them has: each server's newest change. */
static void judge_lag(struct status_node *nodes, size_t count)
{
    struct csn_set newest = { .count = 0 };

    for (size_t i = 0; i < count; i++) {
        read_csns(&nodes[i]);
        for (size_t j = 0; j < nodes[i].csns.count; j++)
            (void)csn_set_add(&newest, span_from_string(nodes[i].csns.items[j]));
    }
    for (size_t i = 0; i < count; i++) {
        struct status_node *view = &nodes[i];

        view->behind_ms = -1;
        if (view->csns.count > 0)
            view->behind_ms = csn_set_has_reached(&view->csns, &newest)
                                  ? 0
                                  : csn_set_lag_ms(&view->csns, &newest);
        if (view->document && view->behind_ms >= 0)
            json_object_set_new(view->document, "behind_ms", json_integer(view->behind_ms));
    }
}

/* --- all of it ---------------------------------------------------------------------------------
 */

struct status_node *status_gather(const struct everywhere *everywhere)
{
    size_t count = everywhere->count + everywhere->unasked_count;
    struct status_node *nodes = memory_new((count + 1) * sizeof(*nodes));

    for (size_t i = 0; i < everywhere->count; i++)
        nodes[i] = (struct status_node){ .node = everywhere->nodes[i] };
    for (size_t i = 0; i < everywhere->unasked_count; i++) {
        struct status_node *view = &nodes[everywhere->count + i];

        *view = (struct status_node){ .node = everywhere->unasked[i] };
        snprintf(view->error, sizeof(view->error), "not asked: no admin_port, no control_socket");
    }
    ask_nodes(nodes, everywhere->count);
    if (count > 1)
        judge_lag(nodes, count);
    for (size_t i = 0; i < count; i++)
        if (nodes[i].document) {
            json_object_set_new(nodes[i].document, "problems", status_problems(nodes[i].document));
            daemon_sign(nodes[i].node, nodes[i].document);
        }
    return nodes;
}

void status_free(struct status_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_decref(nodes[i].document);
    free(nodes);
}
