/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking, with a bound between two lines; errors are printed for people, never logged. */
#include "admin/daemon.h"

#include <errno.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/service/child.h"
#include "common/service/control.h"

struct config *daemon_config(const struct arguments *arguments, bool read_secrets)
{
    return config_load(arguments->config_file, CONFIG_ADMIN, read_secrets, config_print_complaint,
                       stderr);
}

static void collect(json_t *object, void *context)
{
    json_array_append(context, object);
}

/* Whether `error` is that of connect(2): then the daemon does not run, or we are not root. */
static const char *hint_for(const char *error)
{
    static const int errors[] = { ENOENT, ECONNREFUSED };

    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++)
        if (strcmp(error, strerror(errors[i])) == 0)
            return "; does the daemon run?";
    return strcmp(error, strerror(EACCES)) == 0 ? "; this is for root" : "";
}

bool daemon_ask_at(const char *path, json_t *request, unsigned timeout_ms,
                   void (*line)(json_t *object, void *context), void *context,
                   char error[CONFIG_ERROR_SIZE])
{
    char reason[CONFIG_ERROR_SIZE / 2] = "";
    bool is_answered =
        control_ask(path, request, timeout_ms, line, context, reason, sizeof(reason));

    json_decref(request);
    if (!is_answered)
        snprintf(error, CONFIG_ERROR_SIZE, "the daemon at %.150s: %s%s", path, reason,
                 hint_for(reason));
    return is_answered;
}

void daemon_socket(const struct config *config, char path[CONFIG_ERROR_SIZE])
{
    child_run_path(config, "control.sock", path, CONFIG_ERROR_SIZE);
}

json_t *daemon_ask(const struct config *config, json_t *request, char error[CONFIG_ERROR_SIZE])
{
    char path[CONFIG_ERROR_SIZE];
    json_t *lines = json_array();

    daemon_socket(config, path);
    if (daemon_ask_at(path, request, DAEMON_TIMEOUT_MS, collect, lines, error))
        return lines;
    json_decref(lines);
    return NULL;
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
