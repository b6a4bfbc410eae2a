/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/choose.h"

#include <stdio.h>

static void backend_choose_store(const struct session_service *service, enum protocol protocol,
                                 struct target *target)
{
    const struct node_config *node = &service->config->node;

    target->kind = TARGET_GO;
    target->reason = NULL;
    target->pass_client = node->pass_client;
    target->endpoint_count = 1;
    target->endpoints[0] = *node_config_store(node, protocol);
}

/* Why nothing is served at all; NULL: it is. */
static const char *backend_why_silent(const struct session_service *service)
{
    switch (node_board_state(service->backends.board)) {
    case NODE_SERVING:
        return NULL;
    case NODE_WAITING:
        return "not synchronised with the directory since the start";
    case NODE_LEAVING:
    case NODE_LEFT:
        break;
    }
    return "the node was told to leave";
}

/* Why an account of this node's is not served now; NULL: it is.  Its storage is oldHostServer's, or
 * the node's own when it has none. */
static const char *backend_why_not_now(const struct session_service *service,
                                       const struct route *route, unsigned *number)
{
    const struct config *config = service->config;
    const char *server = *route->old_host ? route->old_host : config->node.name;
    struct board_storage *storage;

    storage = node_board_storage(service->backends.board, server);
    if (storage_is_attached(storage, io_loop_now_ms(service->loop))) {
        *number = node_board_storage_number(service->backends.board, storage);
        return NULL;
    }
    if (config->storage.kind == STORAGE_NONE) /* without a row nobody can let go of it */
        return storage ? "the node has let go of the accounts of its server" : NULL;
    if (storage)
        atomic_store(&storage->is_missed, 1);
    return "the storage of the account is not attached";
}

static void backend_choose_own(const struct session_service *service, enum protocol protocol,
                               const struct route *route, struct target *target)
{
    target->reason = backend_why_not_now(service, route, &target->storage);
    if (!target->reason)
        backend_choose_store(service, protocol, target);
}

/* The frontend is told to look again; or it goes to its owner, if that can be reached. */
static void backend_choose_foreign(const struct session_service *service, enum protocol protocol,
                                   const struct route *route, struct target *target)
{
    struct target owner = { .kind = TARGET_TEMPORARY };

    if (service->config->node.foreign == NODE_FOREIGN_RELAY)
        session_target_backend(service, protocol, route->host, &owner);
    if (owner.kind == TARGET_GO) {
        *target = owner;
        target->backend = TARGET_NO_HEALTH;
    } else {
        target->reason = "the account belongs to another node";
    }
    target->is_foreign = true;
}

void backend_choose(const struct session_service *service, enum protocol protocol,
                    const struct route *route, struct target *target)
{
    const struct node_config *node = &service->config->node;

    *target = (struct target){ .kind = TARGET_TEMPORARY };
    snprintf(target->name, sizeof(target->name), "%s", node->name);
    target->reason = backend_why_silent(service);
    if (target->reason)
        return;
    switch (route->outcome) {
    case ROUTE_FOUND:
        if (strcmp(route->host, node->name) == 0)
            backend_choose_own(service, protocol, route, target);
        else
            backend_choose_foreign(service, protocol, route, target);
        return;
    case ROUTE_UNKNOWN:
        target->kind = TARGET_UNKNOWN;
        target->reason = "no such account";
        return;
    case ROUTE_RELAY:
    case ROUTE_NOT_OURS:
        target->reason = "not an account of this node";
        return;
    case ROUTE_MISCONFIGURED:
    case ROUTE_UNAVAILABLE:
        target->reason = route->reason;
        target->is_misconfigured = route->outcome == ROUTE_MISCONFIGURED;
        return;
    }
}
