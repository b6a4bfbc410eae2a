/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/choose.h"

#include <stdio.h>

void frontend_choose_backend(const struct session_service *service, enum protocol protocol,
                             const char *name, struct target *target)
{
    const struct config *config = service->config;
    int index = backends_find(&service->backends, name);

    *target = (struct target){ .kind = TARGET_TEMPORARY, .backend = index };
    snprintf(target->name, sizeof(target->name), "%s", name);
    if (index < 0) {
        target->reason = "hostServer names no known backend";
        return;
    }
    backends_endpoint(&service->backends, index, protocol, &target->endpoint);
    target->tls = config->backend_tls.transport;
    target->tls_context = service->tls_backend;
    target->tls_name = config->backend_tls.verify ? config->cluster.backends[index].tls_name : NULL;
    target->kind = TARGET_GO;
    if (!backends_is_up(&service->backends, index, protocol)) {
        target->kind = TARGET_DOWN;
        target->reason = "backend is down";
    }
}

static struct target frontend_without_backend(enum target_kind kind, const char *reason)
{
    return (struct target){ .kind = kind, .backend = -1, .reason = reason };
}

void frontend_choose(const struct session_service *service, enum protocol protocol,
                     const struct route *route, struct target *target)
{
    bool is_mail = protocol == PROTOCOL_LMTP;

    switch (route->outcome) {
    case ROUTE_FOUND:
        frontend_choose_backend(service, protocol, route->host, target);
        return;
    case ROUTE_RELAY:
        if (!is_mail)
            *target = frontend_without_backend(TARGET_UNKNOWN, "not an account");
        else if (service->config->relay_host.address)
            *target = frontend_without_backend(TARGET_RELAY, NULL);
        else
            *target = frontend_without_backend(TARGET_TEMPORARY, "no relay_host is configured");
        return;
    case ROUTE_UNKNOWN:
        *target = frontend_without_backend(TARGET_UNKNOWN, "no such account");
        return;
    case ROUTE_NOT_OURS:
        *target = frontend_without_backend(is_mail ? TARGET_FOREIGN : TARGET_UNKNOWN,
                                           "domain is not the cluster's");
        return;
    case ROUTE_MISCONFIGURED:
    case ROUTE_UNAVAILABLE:
        *target = frontend_without_backend(TARGET_TEMPORARY, route->reason);
        return;
    }
}
