/* SPDX-License-Identifier: Apache-2.0 */
/* What several processes of the daemon answer, made one document. */
#include "admin/status.h"

#include <string.h>

#include "admin/daemon.h"
#include "admin/output.h"

/* One question; its lines, or NULL and `error`. */
static json_t *ask(const struct config *config, const char *command, char error[CONFIG_ERROR_SIZE])
{
    return daemon_ask(config, json_pack("{s:s}", "command", command), error);
}

/*
 * Adds what a process answers for itself.  It may just be starting, and a backend node has no
 * queue: that is no failure of ours.
 */
static void add_answer(const struct config *config, json_t *status, const char *key,
                       const char *command)
{
    char error[CONFIG_ERROR_SIZE];
    json_t *lines = ask(config, command, error);

    if (lines && json_array_size(lines) > 0)
        json_object_set(status, key, json_array_get(lines, 0));
    json_decref(lines);
}

/* The directory process knows them; without it there is nothing to be said of them. */
static void add_backends(const struct config *config, json_t *status)
{
    char error[CONFIG_ERROR_SIZE];
    json_t *backends = ask(config, "backends", error);

    json_object_set_new(status, "backends", backends ? backends : json_array());
}

static json_t *ask_all(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    json_t *lines = ask(config, "status", error);
    json_t *status = lines ? json_incref(json_array_get(lines, 0)) : NULL;

    if (status) {
        add_backends(config, status);
        add_answer(config, status, "directory", "directory-status");
        add_answer(config, status, "queue", "queue-stat");
        json_object_set_new(status, "problems", status_problems(status));
    } else if (lines) {
        snprintf(error, CONFIG_ERROR_SIZE, "the daemon's answer is empty");
    }
    json_decref(lines);
    return status;
}

enum command_status status_run(const struct arguments *arguments)
{
    struct config *config = daemon_config(arguments, false);
    char error[CONFIG_ERROR_SIZE];
    json_t *status, *problems;
    bool is_well;

    if (!config)
        return COMMAND_FAILED;
    status = ask_all(config, error);
    config_free(config);
    if (!status) {
        fprintf(stderr, "mailstead: %s\n", error);
        return COMMAND_FAILED;
    }
    problems = json_object_get(status, "problems");
    is_well = json_array_size(problems) == 0;
    if (arguments->is_json)
        print_json(status);
    else if (!arguments->is_check)
        status_print(status, stdout);
    if (!arguments->is_json)
        print_problems(problems, arguments->is_check);
    json_decref(status);
    return arguments->is_check && !is_well ? COMMAND_FAILED : COMMAND_OK;
}
