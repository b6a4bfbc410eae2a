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
    target->endpoints[0] = protocol == PROTOCOL_LMTP   ? node->lmtp_store
                           : protocol == PROTOCOL_IMAP ? node->imap_store
                           : protocol == PROTOCOL_POP3 ? node->pop3_store
                                                       : node->sieve_store;
}

void backend_choose(const struct session_service *service, enum protocol protocol,
                    const struct route *route, struct target *target)
{
    const struct node_config *node = &service->config->node;

    *target = (struct target){ .kind = TARGET_TEMPORARY };
    snprintf(target->name, sizeof(target->name), "%s", node->name);
    if (!atomic_load(&service->backends.board->mirror_is_synchronised)) {
        target->reason = "not synchronised with the directory since the start";
        return;
    }
    switch (route->outcome) {
    case ROUTE_FOUND:
        if (strcmp(route->host, node->name) == 0)
            backend_choose_store(service, protocol, target);
        else
            target->reason = "the account belongs to another node";
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
