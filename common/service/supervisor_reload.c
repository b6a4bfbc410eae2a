/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGHUP.  Everything that can fail is done before anything changes: when the
 * new configuration is wrong or a new address cannot be bound, the old one goes
 * on.  Two generations of workers at most: a reload waits until the oldest has ended.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/service/notify.h"
#include "common/service/supervisor_state.h"

static void log_complaint(void *context, const char *file, int line, const char *text)
{
    (void)context;
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "configuration_error", LOG_TEXT("file", file),
              LOG_INTEGER("line", line), LOG_TEXT("error", text));
}

static bool is_same_text(const char *a, const char *b, const char *option,
                         char error[CONFIG_ERROR_SIZE])
{
    if (strcmp(a, b) == 0)
        return true;
    snprintf(error, CONFIG_ERROR_SIZE, "%s: cannot change while running; expected \"%.200s\"",
             option, a);
    return false;
}

/* What the new configuration needs of the system; nothing has changed when it fails. */
static bool prepare_config(struct supervisor *supervisor, const struct config *config,
                           char error[CONFIG_ERROR_SIZE])
{
    const struct config *old = supervisor->config;

    return is_same_text(old->run_directory, config->run_directory, "run_directory", error) &&
           is_same_text(old->user, config->user, "user", error) &&
           supervisor_make_directories(supervisor, config, error) &&
           (!supervisor->program->prepare || supervisor->program->prepare(config, error)) &&
           supervisor_bind(&supervisor->sockets, config, supervisor_worker_count(config),
                           supervisor->generation + 1, error);
}

static void start_generation(struct supervisor *supervisor, struct config *config, uint64_t now_ms)
{
    config_free(supervisor->config);
    supervisor->config = config;
    supervisor->generation++;
    supervisor->is_ready = false;
    supervisor_set_log_level(config);
    supervisor_keep_sockets(&supervisor->sockets, config, supervisor_worker_count(config),
                            supervisor->generation);
    supervisor_succeed_singles(supervisor, now_ms);
    supervisor_plan(supervisor, true);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "reload_started",
              LOG_INTEGER("generation", supervisor->generation),
              LOG_INTEGER("workers", supervisor_worker_count(config)));
}

static void refuse(struct supervisor *supervisor, const char *error)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "reload_refused",
              LOG_INTEGER("generation", supervisor->generation), LOG_TEXT("error", error));
    notify_ready();
}

void supervisor_reload(struct supervisor *supervisor, uint64_t now_ms)
{
    char error[CONFIG_ERROR_SIZE];
    struct config *config;

    if (!supervisor_make_room(supervisor, now_ms))
        return;
    supervisor->reload_is_wanted = false;
    notify_reloading();
    config = config_load(supervisor->config_file, supervisor->program->program, true, log_complaint,
                         NULL);
    if (!config) {
        refuse(supervisor, "the configuration is wrong; the old one goes on");
    } else if (!prepare_config(supervisor, config, error)) {
        refuse(supervisor, error);
        config_free(config);
    } else {
        start_generation(supervisor, config, now_ms);
    }
}
