/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking, with a bound between two lines; errors are printed for people, never logged. */
#include "admin/daemon.h"

#include "admin/reach.h"
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

json_t *daemon_ask(const struct config *config, json_t *request, char error[CONFIG_ERROR_SIZE])
{
    struct reach reach;
    json_t *lines;

    reach_init(&reach, config);
    lines = reach_ask_lines(reach_own(&reach), request, DAEMON_TIMEOUT_MS, error);
    reach_fini(&reach);
    return lines;
}

json_t *daemon_answer(const struct arguments *arguments, json_t *request)
{
    struct config *config = daemon_config(arguments, false);
    char error[CONFIG_ERROR_SIZE];
    json_t *lines;

    if (!config) {
        json_decref(request);
        return NULL;
    }
    lines = daemon_ask(config, request, error);
    if (!lines)
        fprintf(stderr, "mailstead: %s\n", error);
    config_free(config);
    return lines;
}

bool daemon_ask_at(const char *path, json_t *request, unsigned timeout_ms,
                   void (*line)(json_t *object, void *context), void *context,
                   char error[CONFIG_ERROR_SIZE])
{
    struct reach_node node = { .role = REACH_UNLISTED };

    snprintf(node.path, sizeof(node.path), "%s", path);
    return reach_ask(&node, request, timeout_ms, line, context, error);
}
