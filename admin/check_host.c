/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and names.  What keeps the daemon from its own address, or would give it another's, is
 * a fault; what only its clients would notice is a doubt.  Asks the system's resolver, and no
 * other machine.
 */
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "admin/check_report.h"
#include "common/service/logical_host.h"

static bool is_any(const struct endpoint *endpoint)
{
    return strcmp(endpoint->host, "*") == 0;
}

static bool is_same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return memcmp(&((const struct sockaddr_in *)(const void *)a)->sin_addr,
                      &((const struct sockaddr_in *)(const void *)b)->sin_addr, 4) == 0;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, 16) == 0;
}

/* All of 127.0.0.0/8 is this machine's, though its interface has one of it. */
static bool is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;

    return address->sa_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static bool is_here(const struct ifaddrs *interfaces, const struct sockaddr *address)
{
    if (is_loopback(address))
        return true;
    for (const struct ifaddrs *at = interfaces; at; at = at->ifa_next)
        if (at->ifa_addr && is_same_address(at->ifa_addr, address))
            return true;
    return false;
}

/* --- listeners --------------------------------------------------------------------------- */

static void check_listener(const struct check *check, const struct ifaddrs *interfaces,
                           const struct listener_config *listener)
{
    struct sockaddr_storage address;
    socklen_t length;

    if (is_any(&listener->endpoint)) {
        if (logical_host_name())
            check_doubt(check,
                        "listen \"%s\".address: a logical host listens on its own address, not on "
                        "every one",
                        listener->name);
    } else if (endpoint_to_sockaddr(&listener->endpoint, &address, &length) &&
               !is_here(interfaces, (const struct sockaddr *)&address)) {
        check_fault(check, "listen \"%s\".address: %s is no address of this machine now",
                    listener->name, listener->endpoint.host);
    }
}

/* Nothing could go out from one that is elsewhere. */
static void check_source(const struct check *check, const struct ifaddrs *interfaces,
                         const char *address)
{
    struct endpoint_sources source = { .ipv4.sin_family = 0 };
    const void *own = &source.ipv4;

    if (!endpoint_sources_add(&source, address))
        return;
    if (source.ipv4.sin_family == 0)
        own = &source.ipv6;
    if (!is_here(interfaces, own))
        check_fault(check, "bind_address: %s is no address of this machine now", address);
}

/* --- names ------------------------------------------------------------------------------- */

/* Whether one of the addresses of `name` is here, and whether the daemon listens on it. */
struct found {
    bool is_resolved, is_here, is_listened_on;
};

static bool listens_on(const struct config *config, const struct sockaddr *address)
{
    struct sockaddr_storage own;
    socklen_t length;

    for (size_t i = 0; i < config->listener_count; i++)
        if (is_any(&config->listeners[i].endpoint) ||
            (endpoint_to_sockaddr(&config->listeners[i].endpoint, &own, &length) &&
             is_same_address((const struct sockaddr *)&own, address)))
            return true;
    return false;
}

static struct found find_name(const struct check *check, const struct ifaddrs *interfaces,
                              const char *name)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct found result = { false, false, false };
    struct addrinfo *found = NULL;

    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return result;
    result.is_resolved = true;
    for (const struct addrinfo *at = found; at; at = at->ai_next) {
        result.is_here = result.is_here || is_here(interfaces, at->ai_addr);
        result.is_listened_on = result.is_listened_on || listens_on(check->config, at->ai_addr);
    }
    freeaddrinfo(found);
    return result;
}

static void check_hostname(const struct check *check, const struct ifaddrs *interfaces)
{
    const char *name = check->config->cluster.hostname;
    struct found found;

    if (!name || !logical_host_name())
        return; /* behind a balancer the name of a single frontend leads elsewhere */
    found = find_name(check, interfaces, name);
    if (!found.is_resolved)
        check_doubt(check, "cluster.hostname: %s has no address", name);
    else if (!found.is_listened_on)
        check_doubt(check, "cluster.hostname: %s does not lead to an address that is listened on",
                    name);
}

/* The backend that the frontends know by this node's name must be this one. */
static void check_node_address(const struct check *check, const struct ifaddrs *interfaces)
{
    const char *name = check->config->node.name;
    const struct backend *backend =
        check->program == CONFIG_BACKEND ? backend_set_find(check->backends, name) : NULL;
    struct found found;

    if (!backend)
        return;
    found = find_name(check, interfaces, backend->addresses[0]);
    if (!found.is_resolved)
        check_doubt(check, "backend \"%s\": its address %s has no IP address", name,
                    backend->addresses[0]);
    else if (!found.is_here)
        check_fault(check, "backend \"%s\": its address %s is not on this machine now", name,
                    backend->addresses[0]);
    else if (!found.is_listened_on)
        check_fault(check, "backend \"%s\": nothing listens on its address %s", name,
                    backend->addresses[0]);
}

/* --- the others on this machine ---------------------------------------------------------- */

static bool is_clash(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && (is_any(a) || is_any(b) || strcmp(a->host, b->host) == 0);
}

static void compare_listeners(const struct check *check, const struct config *other,
                              const char *file)
{
    for (size_t i = 0; i < check->config->listener_count; i++)
        for (size_t j = 0; j < other->listener_count; j++)
            if (is_clash(&check->config->listeners[i].endpoint, &other->listeners[j].endpoint))
                check_fault(check, "listen \"%s\".address: listen \"%s\" of %.200s has it too",
                            check->config->listeners[i].name, other->listeners[j].name, file);
}

static void compare_names(const struct check *check, const struct config *other, const char *file)
{
    if (check->program == CONFIG_BACKEND && other->node.name &&
        strcmp(check->config->node.name, other->node.name) == 0)
        check_fault(check, "node.name: %.200s is the node \"%s\", too", file, other->node.name);
    compare_listeners(check, other, file);
}

void check_host(const struct check *check)
{
    struct ifaddrs *interfaces = NULL;

    if (getifaddrs(&interfaces) != 0)
        interfaces = NULL;
    for (size_t i = 0; interfaces && i < check->config->listener_count; i++)
        check_listener(check, interfaces, &check->config->listeners[i]);
    for (size_t i = 0; interfaces && i < check->config->bind_address.count; i++)
        check_source(check, interfaces, check->config->bind_address.items[i]);
    if (interfaces) {
        check_hostname(check, interfaces);
        check_node_address(check, interfaces);
        freeifaddrs(interfaces);
    }
    check_each_other(check, compare_names);
}
