/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking, with a bound between two lines; errors are printed for people, never logged. */
#include "admin/daemon.h"

#include "common/service/any_text.h"
#include "common/service/child.h"

struct config *daemon_config(const struct arguments *arguments, bool read_secrets)
{
    return config_load(arguments->config_file, CONFIG_ADMIN, read_secrets, config_print_complaint,
                       stderr);
}

void daemon_socket(const struct config *config, char path[CONFIG_ERROR_SIZE])
{
    child_run_path(config, "control.sock", path, CONFIG_ERROR_SIZE);
}

json_t *daemon_ask(const struct config *config, json_t *request, unsigned timeout_ms,
                   char error[CONFIG_ERROR_SIZE])
{
    struct reach reach;
    json_t *lines;

    reach_init(&reach, config);
    lines = reach_ask_lines(reach_own(&reach), request, timeout_ms, error);
    reach_fini(&reach);
    return lines;
}

void daemon_complain(const struct reach_node *node, const char *error)
{
    if (node->role == REACH_UNLISTED)
        fprintf(stderr, "mailstead: %s\n", error);
    else
        fprintf(stderr, "mailstead: %s: %s\n", node->name, error);
}

void daemon_sign(const struct reach_node *node, json_t *line)
{
    if (node->role != REACH_UNLISTED)
        json_object_set_new(line, "node", json_any_text(node->name));
}

/* --- one node ------------------------------------------------------------------------------ */

static bool find_node(struct daemon_one *one, const struct arguments *arguments)
{
    one->node = arguments->nodes.count > 0 ? reach_find(&one->reach, arguments->nodes.items[0])
                                           : reach_own(&one->reach);
    if (!one->node)
        fprintf(stderr, "mailstead: the section cluster has no frontend or backend %s\n",
                arguments->nodes.items[0]);
    return one->node != NULL;
}

bool daemon_open(struct daemon_one *one, const struct arguments *arguments)
{
    one->config = daemon_config(arguments, false);
    if (!one->config)
        return false;
    reach_init(&one->reach, one->config);
    if (find_node(one, arguments))
        return true;
    daemon_close(one);
    return false;
}

void daemon_close(struct daemon_one *one)
{
    reach_fini(&one->reach);
    config_free(one->config);
}

bool daemon_tell(const struct daemon_one *one, json_t *request, unsigned timeout_ms,
                 void (*line)(json_t *object, void *context), void *context)
{
    char error[CONFIG_ERROR_SIZE];
    bool is_answered = reach_ask(one->node, request, timeout_ms, line, context, error);

    if (!is_answered)
        daemon_complain(one->node, error);
    return is_answered;
}

json_t *daemon_lines(const struct daemon_one *one, json_t *request)
{
    char error[CONFIG_ERROR_SIZE];
    json_t *lines = reach_ask_lines(one->node, request, DAEMON_TIMEOUT_MS, error);
    json_t *line;
    size_t i;

    if (!lines)
        daemon_complain(one->node, error);
    json_array_foreach (lines, i, line)
        daemon_sign(one->node, line);
    return lines;
}

json_t *daemon_answer(const struct arguments *arguments, json_t *request)
{
    struct daemon_one one;
    json_t *lines;

    if (!daemon_open(&one, arguments)) {
        json_decref(request);
        return NULL;
    }
    lines = daemon_lines(&one, request);
    daemon_close(&one);
    return lines;
}

bool daemon_stream(const struct arguments *arguments, json_t *request, unsigned timeout_ms,
                   void (*line)(json_t *object, void *context), void *context)
{
    struct daemon_one one;
    bool is_answered;

    if (!daemon_open(&one, arguments)) {
        json_decref(request);
        return false;
    }
    is_answered = daemon_tell(&one, request, timeout_ms, line, context);
    daemon_close(&one);
    return is_answered;
}
