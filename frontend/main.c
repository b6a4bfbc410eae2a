/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead-frontend: accepts mail and logins, and relays them to the owning backends. */
#include "common/service/admin_port.h"
#include <stdio.h>

#include "common/service/control.h"
#include "common/service/supervisor.h"
#include "directory/process.h"
#include "frontend/queue/process.h"
#include "frontend/queue/store.h"
#include "frontend/worker.h"

static const struct supervisor_role frontend_roles[] = {
    { .name = "control", .socket_name = "hub.sock", .run = control_run },
    { .name = "directory",
      .socket_name = "directory.sock",
      .secrets = CONFIG_SECRET_DIRECTORY,
      .run = directory_run },
    { .name = "queue", .socket_name = "queue.sock", .run = queue_run },
    { .name = "admin",
      .secrets = CONFIG_SECRET_ADMIN_PORT,
      .is_wanted = admin_port_is_wanted,
      .run = admin_port_run },
    { .name = "worker",
      .is_per_core = true,
      .secrets = CONFIG_SECRET_TLS_KEY | CONFIG_SECRET_RELAY_HOST | CONFIG_SECRET_MASTER,
      .run = frontend_worker_run },
};

/* A queue has one owner: with that of another frontend we would only refuse mail for it. */
static bool frontend_prepare(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    static bool is_started; /* at a reload our own queue process still has it */
    char holder[STORE_ERROR_SIZE];

    if (!is_started && store_is_held(config->queue.directory, holder)) {
        snprintf(error, CONFIG_ERROR_SIZE, "queue.directory: %s", holder);
        return false;
    }
    is_started = true;
    return true;
}

int main(int argc, char **argv)
{
    static const struct supervisor_program program = {
        .name = "mailstead-frontend",
        .program = CONFIG_FRONTEND,
        .roles = frontend_roles,
        .role_count = ARRAY_LENGTH(frontend_roles),
        .prepare = frontend_prepare,
    };

    return supervisor_main(&program, argc, argv);
}
