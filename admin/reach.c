/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/reach.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/daemon.h"
#include "admin/reach_https.h"
#include "common/base/memory.h"

/* --- the list ------------------------------------------------------------------------------ */

static struct reach_node *add_node(struct reach *reach, enum reach_role role, const char *name,
                                   const char *path)
{
    struct reach_node *node = &reach->nodes[reach->count++];

    *node = (struct reach_node){ .role = role };
    snprintf(node->name, sizeof(node->name), "%s", name);
    snprintf(node->path, sizeof(node->path), "%s", path ? path : "");
    return node;
}

static void add_frontends(struct reach *reach, const struct cluster_config *cluster)
{
    for (size_t i = 0; i < cluster->frontend_count; i++) {
        const struct frontend_config *frontend = &cluster->frontends[i];
        struct reach_node *node =
            add_node(reach, REACH_FRONTEND, frontend->name, frontend->control_socket);

        node->address = frontend->address;
        node->tls_name = frontend->tls_name;
        node->admin_port = frontend->admin_port;
    }
}

static void add_backends(struct reach *reach, const struct cluster_config *cluster)
{
    for (size_t i = 0; i < cluster->backend_count; i++) {
        const struct backend_config *backend = &cluster->backends[i];
        struct reach_node *node =
            add_node(reach, REACH_BACKEND, backend->name, backend->control_socket);

        node->address = backend->address;
        node->tls_name = backend->tls_name;
        node->admin_port = backend->admin_port;
    }
}

/* --- which of them is ours ------------------------------------------------------------------ */

static bool is_equal_address(const struct sockaddr *own, const char *text)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (own && own->sa_family == AF_INET && inet_pton(AF_INET, text, &v4) == 1)
        return ((const struct sockaddr_in *)own)->sin_addr.s_addr == v4.s_addr;
    return own && own->sa_family == AF_INET6 && inet_pton(AF_INET6, text, &v6) == 1 &&
           memcmp(&((const struct sockaddr_in6 *)own)->sin6_addr, &v6, sizeof(v6)) == 0;
}

static bool is_address_of_ours(const struct ifaddrs *interfaces, const char *text)
{
    for (; interfaces; interfaces = interfaces->ifa_next)
        if (is_equal_address(interfaces->ifa_addr, text))
            return true;
    return false;
}

static bool is_called(const struct reach_node *node, const char *hostname)
{
    return hostname &&
           (strcasecmp(node->name, hostname) == 0 || strcasecmp(node->address, hostname) == 0 ||
            strcasecmp(node->tls_name, hostname) == 0);
}

/* The one frontend that has an address of this machine; NULL: none or several. */
static struct reach_node *find_by_address(struct reach *reach)
{
    struct ifaddrs *interfaces;
    struct reach_node *found = NULL;
    size_t count = 0;

    if (getifaddrs(&interfaces) != 0)
        return NULL;
    for (size_t i = 0; i < reach->count; i++)
        if (reach->nodes[i].role == REACH_FRONTEND && !*reach->nodes[i].path &&
            is_address_of_ours(interfaces, reach->nodes[i].address)) {
            found = &reach->nodes[i];
            count++;
        }
    freeifaddrs(interfaces);
    return count == 1 ? found : NULL;
}

/* The node whose configuration this is, as well as that can be seen in it; NULL: none. */
static struct reach_node *find_own(struct reach *reach, const struct config *config,
                                   const char *own_path)
{
    enum reach_role role = config->node.name ? REACH_BACKEND : REACH_FRONTEND;
    const char *name = config->node.name ? config->node.name : config->cluster.hostname;

    for (size_t i = 0; i < reach->count; i++)
        if (strcmp(reach->nodes[i].path, own_path) == 0)
            return &reach->nodes[i];
    for (size_t i = 0; i < reach->count; i++)
        if (reach->nodes[i].role == role && !*reach->nodes[i].path &&
            is_called(&reach->nodes[i], name))
            return &reach->nodes[i];
    return config->node.name ? NULL : find_by_address(reach);
}

/* libcurl is started only where it is needed. */
static void give_connections(struct reach *reach, const struct admin_config *config)
{
    for (size_t i = 0; i < reach->count; i++) {
        struct reach_node *node = &reach->nodes[i];

        if (*node->path || node->admin_port == 0)
            continue;
        if (!reach->https)
            reach->https = reach_https_new(config);
        node->https = reach->https;
    }
}

void reach_init(struct reach *reach, const struct config *config)
{
    const struct cluster_config *cluster = &config->cluster;
    char own_path[CONFIG_ERROR_SIZE];
    struct reach_node *own;

    daemon_socket(config, own_path);
    *reach = (struct reach){ .https = NULL };
    reach->nodes =
        memory_new((cluster->frontend_count + cluster->backend_count + 1) * sizeof(*reach->nodes));
    add_frontends(reach, cluster);
    add_backends(reach, cluster);
    own = find_own(reach, config, own_path);
    if (!own)
        own = add_node(reach, REACH_UNLISTED, "this machine's daemon", own_path);
    own->is_own = true;
    snprintf(own->path, sizeof(own->path), "%s", own_path);
    give_connections(reach, &config->admin);
}

void reach_fini(struct reach *reach)
{
    free(reach->nodes);
    reach_https_free(reach->https);
}

const struct reach_node *reach_find(const struct reach *reach, const char *name)
{
    for (size_t i = 0; i < reach->count; i++)
        if (reach->nodes[i].role != REACH_UNLISTED && strcmp(reach->nodes[i].name, name) == 0)
            return &reach->nodes[i];
    return NULL;
}

const struct reach_node *reach_own(const struct reach *reach)
{
    for (size_t i = 0; i < reach->count; i++)
        if (reach->nodes[i].is_own)
            return &reach->nodes[i];
    abort();
}

bool reach_is_askable(const struct reach_node *node)
{
    return *node->path || node->admin_port > 0;
}
