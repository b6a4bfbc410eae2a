/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/everywhere.h"

#include <stdlib.h>

#include "admin/daemon.h"
#include "common/base/memory.h"

/* --- which are meant ------------------------------------------------------------------------- */

static void take(struct everywhere *everywhere, const struct reach_node *node)
{
    if (reach_is_askable(node))
        everywhere->nodes[everywhere->count++] = node;
    else
        everywhere->unasked[everywhere->unasked_count++] = node;
}

static bool take_named(struct everywhere *everywhere, const struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->nodes.count; i++) {
        const struct reach_node *node = reach_find(&everywhere->reach, arguments->nodes.items[i]);

        if (!node) {
            fprintf(stderr, "mailstead: the section cluster has no frontend or backend %s\n",
                    arguments->nodes.items[i]);
            return false;
        }
        take(everywhere, node);
    }
    return true;
}

/* Whether any node but this machine's daemon can be asked: else this is the command of one daemon.
 */
static bool has_others(const struct reach *reach)
{
    for (size_t i = 0; i < reach->count; i++)
        if (!reach->nodes[i].is_own && reach_is_askable(&reach->nodes[i]))
            return true;
    return false;
}

/* Backends without a way to be asked are ordinary, frontends without one are not. */
static bool is_meant(const struct reach_node *node, enum everywhere_kind kind)
{
    if (node->role == REACH_BACKEND)
        return kind == EVERYWHERE_ALL && reach_is_askable(node);
    return node->role == REACH_FRONTEND || kind == EVERYWHERE_ALL;
}

static void take_kind(struct everywhere *everywhere, enum everywhere_kind kind)
{
    const struct reach *reach = &everywhere->reach;

    for (size_t i = 0; i < reach->count; i++)
        if (is_meant(&reach->nodes[i], kind))
            take(everywhere, &reach->nodes[i]);
}

static bool choose(struct everywhere *everywhere, const struct arguments *arguments,
                   enum everywhere_kind kind)
{
    bool is_here = arguments->is_local || !has_others(&everywhere->reach) ||
                   (kind == EVERYWHERE_HERE && !arguments->is_all);

    if (arguments->nodes.count > 0)
        return take_named(everywhere, arguments);
    if (!is_here)
        take_kind(everywhere, kind);
    if (everywhere->count == 0)
        take(everywhere, reach_own(&everywhere->reach));
    return true;
}

bool everywhere_open(struct everywhere *everywhere, const struct arguments *arguments,
                     enum everywhere_kind kind)
{
    *everywhere = (struct everywhere){ .config = daemon_config(arguments, false) };
    if (!everywhere->config)
        return false;
    reach_init(&everywhere->reach, everywhere->config);
    everywhere->nodes =
        memory_new((everywhere->reach.count + ARGUMENTS_LIST_MAX) * sizeof(*everywhere->nodes));
    everywhere->unasked =
        memory_new((everywhere->reach.count + ARGUMENTS_LIST_MAX) * sizeof(*everywhere->unasked));
    if (choose(everywhere, arguments, kind))
        return true;
    everywhere_close(everywhere);
    return false;
}

void everywhere_close(struct everywhere *everywhere)
{
    free(everywhere->nodes);
    free(everywhere->unasked);
    reach_fini(&everywhere->reach);
    config_free(everywhere->config);
}

/* --- asking them -------------------------------------------------------------------------------
 */

/* Where a question's lines go. */
struct part {
    const struct reach_node *node;
    void (*line)(const struct reach_node *node, json_t *object, void *context);
    void *context;
};

static void take_line(json_t *object, void *context)
{
    const struct part *part = context;

    daemon_sign(part->node, object);
    part->line(part->node, object, part->context);
}

/* An administrator's machine need not have a daemon of its own. */
static bool is_expected(const struct everywhere *everywhere, const struct reach_node *node)
{
    return node->role != REACH_UNLISTED || everywhere->count == 1;
}

/* Says what went wrong; how many that was. */
static size_t complain(const struct everywhere *everywhere, const struct reach_question *questions)
{
    size_t count = everywhere->unasked_count;

    for (size_t i = 0; i < everywhere->count; i++)
        if (!questions[i].is_answered && is_expected(everywhere, questions[i].node)) {
            daemon_complain(questions[i].node, questions[i].error);
            count++;
        }
    for (size_t i = 0; i < everywhere->unasked_count; i++)
        daemon_complain(everywhere->unasked[i],
                        "not asked: it has neither admin_port nor control_socket in the "
                        "configuration");
    return count;
}

static bool is_any_answered(const struct reach_question *questions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (questions[i].is_answered)
            return true;
    return false;
}

enum command_status everywhere_ask(const struct everywhere *everywhere, json_t *request,
                                   void (*line)(const struct reach_node *node, json_t *object,
                                                void *context),
                                   void *context)
{
    struct reach_question *questions = memory_new((everywhere->count + 1) * sizeof(*questions));
    struct part *parts = memory_new((everywhere->count + 1) * sizeof(*parts));
    enum command_status status = COMMAND_FAILED;
    size_t failed;

    for (size_t i = 0; i < everywhere->count; i++) {
        parts[i] = (struct part){ everywhere->nodes[i], line, context };
        questions[i] = (struct reach_question){ .node = everywhere->nodes[i],
                                                .request = request,
                                                .line = take_line,
                                                .context = &parts[i] };
    }
    reach_ask_all(questions, everywhere->count);
    fflush(stdout);
    failed = complain(everywhere, questions);
    if (is_any_answered(questions, everywhere->count))
        status = failed == 0 ? COMMAND_OK : COMMAND_PARTLY;
    json_decref(request);
    free(parts);
    free(questions);
    return status;
}

enum command_status everywhere_run(
    const struct arguments *arguments, enum everywhere_kind kind, json_t *request,
    void (*line)(const struct reach_node *node, json_t *object, void *context), void *context)
{
    struct everywhere everywhere;
    enum command_status status;

    if (!everywhere_open(&everywhere, arguments, kind)) {
        json_decref(request);
        return COMMAND_FAILED;
    }
    status = everywhere_ask(&everywhere, request, line, context);
    everywhere_close(&everywhere);
    return status;
}
