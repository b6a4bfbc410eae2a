/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/choose.h"

#include <stdio.h>

void frontend_choose_backend(const struct session_service *service, enum protocol protocol,
                             const char *name, struct target *target)
{
    const struct backend_tls_config *tls = &service->config->backend_tls;
    const struct backend *backend = backends_find(&service->backends, name);

    *target = (struct target){ .kind = TARGET_TEMPORARY };
    snprintf(target->name, sizeof(target->name), "%s", name);
    if (!backend) {
        target->reason = "hostServer names no known backend";
        target->is_misconfigured = true;
        return;
    }
    target->backend = backend->id;
    target->endpoint_count = backend_endpoints(backend, protocol, target->endpoints);
    target->pass_client = service->config->cluster.pass_client;
    target->tls = tls->transport;
    target->tls_context = service->tls_backend;
    if (tls->verify)
        memcpy(target->tls_name, backend->tls_name, sizeof(target->tls_name));
    target->kind = TARGET_GO;
    if (!backends_is_up(&service->backends, backend, protocol)) {
        target->kind = TARGET_DOWN;
        target->reason = backend->state == BACKEND_DOWN ? "backend is set down" : "backend is down";
    }
}

static struct target frontend_without_backend(enum target_kind kind, const char *reason)
{
    return (struct target){ .kind = kind, .reason = reason };
}

static struct target frontend_misconfigured(const char *reason)
{
    return (struct target){ .kind = TARGET_TEMPORARY, .reason = reason, .is_misconfigured = true };
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
            *target = frontend_misconfigured("no relay_host is configured");
        return;
    case ROUTE_UNKNOWN:
        *target = frontend_without_backend(TARGET_UNKNOWN, "no such account");
        return;
    case ROUTE_NOT_OURS:
        *target = frontend_without_backend(is_mail ? TARGET_FOREIGN : TARGET_UNKNOWN,
                                           "domain is not the cluster's");
        return;
    case ROUTE_MISCONFIGURED:
        *target = frontend_misconfigured(route->reason);
        return;
    case ROUTE_UNAVAILABLE:
        *target = frontend_without_backend(TARGET_TEMPORARY, route->reason);
        return;
    }
}
