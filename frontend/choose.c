/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/choose.h"

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
        session_target_backend(service, protocol, route->host, target);
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
