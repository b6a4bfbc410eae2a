/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints as text and as socket addresses.  Never resolves a name; expected failures are false.
 */
#include "common/io/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/span.h"

#define ENDPOINT_UNIX_PREFIX "unix:"

/* Letters, digits and what else names and addresses are made of (RFC 952, RFC 1123, "_" in
 * practice). */
static bool host_byte_is_allowed(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_';
}

static bool host_is_name(struct span host)
{
    for (size_t i = 0; i < host.length; i++)
        if (!host_byte_is_allowed(host.data[i]))
            return false;
    return host.length > 0;
}

static bool host_is_ipv6(struct span host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    return span_copy_string(host, text, sizeof(text)) && inet_pton(AF_INET6, text, &address) == 1;
}

static bool endpoint_parse_unix(struct span path, struct endpoint *endpoint)
{
    struct endpoint parsed = { .is_unix = true };
    size_t path_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (path.length == 0 || path.length > path_max ||
        !span_copy_string(path, parsed.host, sizeof(parsed.host)))
        return false;
    *endpoint = parsed;
    return true;
}

static bool endpoint_parse_host(struct span host, struct endpoint *parsed)
{
    bool is_bracketed =
        host.length >= 2 && host.data[0] == '[' && host.data[host.length - 1] == ']';

    if (is_bracketed) {
        host = span_of(host.data + 1, host.length - 2);
        if (!host_is_ipv6(host))
            return false;
    } else if (!span_equals(host, SPAN_LITERAL("*")) && !host_is_name(host)) {
        return false;
    }
    return span_copy_string(host, parsed->host, sizeof(parsed->host));
}

bool endpoint_parse(const char *text, struct endpoint *endpoint)
{
    struct span all = span_from_string(text);
    struct span prefix = SPAN_LITERAL(ENDPOINT_UNIX_PREFIX);
    struct endpoint parsed = { .is_unix = false };
    size_t colon = span_find_last(all, ':');
    uint64_t port;

    if (span_equals(span_take(all, prefix.length), prefix))
        return endpoint_parse_unix(span_drop(all, prefix.length), endpoint);
    if (colon == all.length || !span_parse_u64(span_drop(all, colon + 1), &port) || port == 0 ||
        port > UINT16_MAX || !endpoint_parse_host(span_take(all, colon), &parsed))
        return false;
    parsed.port = (uint16_t)port;
    *endpoint = parsed;
    return true;
}

void endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_SIZE])
{
    if (endpoint->is_unix)
        snprintf(text, ENDPOINT_TEXT_SIZE, ENDPOINT_UNIX_PREFIX "%s", endpoint->host);
    else if (strchr(endpoint->host, ':'))
        snprintf(text, ENDPOINT_TEXT_SIZE, "[%s]:%u", endpoint->host, endpoint->port);
    else
        snprintf(text, ENDPOINT_TEXT_SIZE, "%s:%u", endpoint->host, endpoint->port);
}

static bool kernel_has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static bool unix_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *address,
                             socklen_t *length)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };

    if (!span_copy_string(span_from_string(endpoint->host), local.sun_path, sizeof(local.sun_path)))
        return false;
    memset(address, 0, sizeof(*address));
    memcpy(address, &local, sizeof(local));
    *length = sizeof(local);
    return true;
}

bool endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *address,
                          socklen_t *length)
{
    struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(endpoint->port) };
    struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(endpoint->port) };
    bool is_any = strcmp(endpoint->host, "*") == 0;

    if (endpoint->is_unix)
        return unix_to_sockaddr(endpoint, address, length);
    if (is_any ? kernel_has_ipv6() : inet_pton(AF_INET6, endpoint->host, &ipv6.sin6_addr) == 1) {
        memset(address, 0, sizeof(*address));
        memcpy(address, &ipv6, sizeof(ipv6));
        *length = sizeof(ipv6);
        return true;
    }
    if (!is_any && inet_pton(AF_INET, endpoint->host, &ipv4.sin_addr) != 1)
        return false;
    memset(address, 0, sizeof(*address));
    memcpy(address, &ipv4, sizeof(ipv4));
    *length = sizeof(ipv4);
    return true;
}

bool endpoint_sources_add(struct endpoint_sources *sources, const char *address)
{
    struct in_addr ipv4;
    struct in6_addr ipv6;

    if (inet_pton(AF_INET, address, &ipv4) == 1 && sources->ipv4.sin_family == 0)
        sources->ipv4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = ipv4 };
    else if (inet_pton(AF_INET6, address, &ipv6) == 1 && sources->ipv6.sin6_family == 0)
        sources->ipv6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = ipv6 };
    else
        return false;
    return true;
}

const struct sockaddr *endpoint_source(const struct endpoint_sources *sources, int family,
                                       socklen_t *length)
{
    *length = family == AF_INET ? sizeof(sources->ipv4) : sizeof(sources->ipv6);
    if (family == AF_INET && sources->ipv4.sin_family == AF_INET)
        return (const struct sockaddr *)&sources->ipv4;
    if (family == AF_INET6 && sources->ipv6.sin6_family == AF_INET6)
        return (const struct sockaddr *)&sources->ipv6;
    return NULL;
}
