/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead-backend: stands in front of a node's mail store and serves only what the node owns. */
#include <stdlib.h>

#include "backend/choose.h"
#include "backend/node.h"
#include "backend/storage_hand.h"
#include "common/base/log.h"
#include "common/io/network.h"
#include "common/service/admin_port.h"
#include "common/service/control.h"
#include "common/service/supervisor.h"
#include "common/session/worker.h"
#include "directory/process.h"

struct backend_worker {
    struct worker worker;
    struct network *frontends; /* who may connect */
    size_t frontend_count;
};

static bool backend_may_connect(void *context, const struct sockaddr_storage *peer)
{
    const struct backend_worker *backend = context;

    return network_list_has_peer(backend->frontends, backend->frontend_count, peer);
}

static bool backend_load_frontends(struct backend_worker *backend, const struct string_list *list)
{
    backend->frontends = memory_new(list->count * sizeof(*backend->frontends));
    backend->frontend_count = list->count;
    for (size_t i = 0; i < list->count; i++)
        if (!network_parse(list->items[i], &backend->frontends[i])) {
            LOG_EVENT(LOG_LEVEL_ERROR, NULL, "configuration_unusable",
                      LOG_TEXT("option", "node.frontends"), LOG_TEXT("value", list->items[i]));
            return false;
        }
    return true;
}

static bool backend_worker_run(struct child *child)
{
    struct backend_worker backend = { .frontends = NULL };
    const struct worker_options options = {
        .choose = backend_choose,
        .peers_are_trusted = true,
        .may_connect = backend_may_connect,
        .context = &backend,
    };
    bool is_started = backend_load_frontends(&backend, &child->config->node.frontends) &&
                      worker_start(&backend.worker, child, &options);

    if (is_started)
        worker_run_loop(&backend.worker);
    free(backend.frontends);
    return is_started;
}

static const struct supervisor_role backend_roles[] = {
    { .name = "control", .socket_name = "hub.sock", .run = control_run },
    { .name = "directory",
      .socket_name = "directory.sock",
      .secrets = CONFIG_SECRET_DIRECTORY,
      .run = directory_run },
    { .name = "storage", .run = node_run, .start_helper = storage_hand_start },
    { .name = "admin",
      .secrets = CONFIG_SECRET_ADMIN_PORT,
      .is_wanted = admin_port_is_wanted,
      .run = admin_port_run },
    { .name = "worker",
      .is_per_core = true,
      .secrets = CONFIG_SECRET_TLS_KEY,
      .run = backend_worker_run },
};

int main(int argc, char **argv)
{
    static const struct supervisor_program program = {
        .name = "mailstead-backend",
        .program = CONFIG_BACKEND,
        .roles = backend_roles,
        .role_count = ARRAY_LENGTH(backend_roles),
    };

    return supervisor_main(&program, argc, argv);
}
