/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead-backend: stands in front of a node's mail store and serves only what the node owns. */
#include "backend/choose.h"
#include "common/io/network.h"
#include "common/service/control.h"
#include "common/service/supervisor.h"
#include "common/session/worker.h"
#include "directory/process.h"

static bool backend_may_connect(const struct config *config, const struct sockaddr_storage *peer)
{
    return network_list_contains((const char *const *)config->node.frontends.items,
                                 config->node.frontends.count, peer);
}

static bool backend_worker_run(struct child *child)
{
    struct worker worker;
    const struct worker_options options = {
        .choose = backend_choose,
        .peers_are_trusted = true,
        .may_connect = backend_may_connect,
    };

    if (!worker_start(&worker, child, &options))
        return false;
    worker_run_loop(&worker);
    return true;
}

static const struct supervisor_role backend_roles[] = {
    { .name = "control", .socket_name = "hub.sock", .run = control_run },
    { .name = "directory",
      .socket_name = "directory.sock",
      .secrets = CONFIG_SECRET_DIRECTORY,
      .run = directory_run },
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
