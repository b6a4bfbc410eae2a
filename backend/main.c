/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead-backend: stands in front of a node's mail store and serves only what the node owns. */
#include <stdlib.h>
#include <string.h>

#include "backend/choose.h"
#include "backend/node.h"
#include "backend/replica/process.h"
#include "backend/replica/touches.h"
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
    struct touches *touches; /* for the replica process; NULL: there is none */
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

/* What was relayed to another node is that one's to copy. */
static void backend_touched(void *context, const char *owner, enum route_key key, const char *name)
{
    struct backend_worker *backend = context;

    if (backend->touches && strcmp(owner, backend->worker.child->config->node.name) == 0)
        touches_note(backend->touches, key, name);
}

static void backend_touches_stopped(void *context)
{
    worker_released(&((struct backend_worker *)context)->worker);
}

static void backend_release(struct worker *worker, void *context)
{
    struct backend_worker *backend = context;

    if (backend->touches)
        touches_stop(backend->touches, backend_touches_stopped, backend);
    else
        worker_released(worker);
    backend->touches = NULL;
}

static bool backend_worker_run(struct child *child)
{
    struct backend_worker backend = { .frontends = NULL };
    const struct worker_options options = {
        .choose = backend_choose,
        .peers_are_trusted = true,
        .may_connect = backend_may_connect,
        .touched = backend_touched,
        .touched_context = &backend,
        .release = backend_release,
        .context = &backend,
    };
    bool is_started = backend_load_frontends(&backend, &child->config->node.frontends) &&
                      worker_start(&backend.worker, child, &options);

    if (is_started && config_has_replica(child->config))
        backend.touches = touches_start(&child->loop, child->config, &backend.worker.service);
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
    { .name = "replica",
      .socket_name = "replica.sock",
      .secrets = CONFIG_SECRET_REPLICA,
      .is_wanted = replica_is_wanted,
      .run = replica_run },
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
