/* SPDX-License-Identifier: Apache-2.0 */
/* One node is shown with all that it says, several in a table. */
#include "admin/status.h"

#include "admin/daemon.h"
#include "admin/output.h"

/* --- one node ------------------------------------------------------------------------------- */

static enum command_status show_one(const struct arguments *arguments,
                                    const struct status_node *view)
{
    const json_t *problems = json_object_get(view->document, "problems");

    if (!view->document) {
        daemon_complain(view->node, view->error);
        return COMMAND_FAILED;
    }
    if (arguments->is_json) {
        print_json(view->document);
    } else {
        if (!arguments->is_check)
            status_print(view->document, stdout);
        print_problems(problems, arguments->is_check);
    }
    return arguments->is_check && json_array_size(problems) > 0 ? COMMAND_FAILED : COMMAND_OK;
}

/* --- several -----------------------------------------------------------------------------------
 */

static void print_lines(const struct status_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *line = json_incref(nodes[i].document);

        if (!line) {
            line = json_pack("{s:o}", "error", json_any_text(nodes[i].error));
            daemon_sign(nodes[i].node, line);
        }
        print_json_line(line);
        json_decref(line);
    }
}

static size_t count_answers(const struct status_node *nodes, size_t count)
{
    size_t answers = 0;

    for (size_t i = 0; i < count; i++)
        answers += nodes[i].document != NULL;
    return answers;
}

static enum command_status show_many(const struct arguments *arguments,
                                     const struct status_node *nodes, size_t count)
{
    json_t *problems = status_cluster_problems(nodes, count);
    size_t answers = count_answers(nodes, count);
    bool is_well = json_array_size(problems) == 0;

    if (arguments->is_json) {
        print_lines(nodes, count);
    } else {
        if (!arguments->is_check)
            status_print_cluster(nodes, count, stdout);
        print_problems(problems, arguments->is_check);
    }
    json_decref(problems);
    if (answers == 0)
        return COMMAND_FAILED;
    if (arguments->is_check)
        return is_well ? COMMAND_OK : COMMAND_FAILED;
    return answers < count ? COMMAND_PARTLY : COMMAND_OK;
}

/* A machine that only has the command has no daemon: it is left out when it does not answer. */
static size_t leave_out_unlisted(struct status_node *nodes, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (nodes[i].document || nodes[i].node->role != REACH_UNLISTED)
            nodes[kept++] = nodes[i];
    return kept;
}

enum command_status status_run(const struct arguments *arguments)
{
    struct everywhere everywhere;
    struct status_node *nodes;
    enum command_status status;
    size_t count;

    if (!everywhere_open(&everywhere, arguments, EVERYWHERE_ALL))
        return COMMAND_FAILED;
    count = everywhere.count + everywhere.unasked_count;
    nodes = status_gather(&everywhere);
    if (count > 1)
        count = leave_out_unlisted(nodes, count);
    status = everywhere.count + everywhere.unasked_count > 1 ? show_many(arguments, nodes, count)
                                                             : show_one(arguments, &nodes[0]);
    status_free(nodes, count);
    everywhere_close(&everywhere);
    return status;
}
