/* SPDX-License-Identifier: Apache-2.0 */
/* Where something listens: an IP address or a name with a port, or a unix socket. */
#ifndef MAILSTEAD_IO_ENDPOINT_H
#define MAILSTEAD_IO_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    ENDPOINT_HOST_SIZE = 256,
    ENDPOINT_TEXT_SIZE = 300,
    ENDPOINTS_MAX = 4 /* of one server, to be tried one after the other */
};

struct endpoint {
    char host[ENDPOINT_HOST_SIZE]; /* name, IP address, or the path after "unix:" */
    uint16_t port;                 /* 0 for a unix socket */
    bool is_unix;
};

/* Where connections of this machine go out from: an address of it of each family, or zeros, with
 * which the kernel chooses. */
struct endpoint_sources {
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

/* False, and nothing is added, when it is no IP address, or there is one of its family already. */
bool endpoint_sources_add(struct endpoint_sources *sources, const char *address)
    __attribute__((warn_unused_result));

/* What bind(2) is to be given before a connection to an address of `family`; NULL: nothing. */
const struct sockaddr *endpoint_source(const struct endpoint_sources *sources, int family,
                                       socklen_t *length);

/*
 * Reads "HOST:PORT", "[IPV6]:PORT", "*:PORT" or "unix:PATH"; a port is 1 to 65535.  False and
 * `*endpoint` untouched when it is none of these.
 */
bool endpoint_parse(const char *text, struct endpoint *endpoint)
    __attribute__((warn_unused_result));

/* The text form, for the log. */
void endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_SIZE]);

/*
 * The socket address of an endpoint whose host is numeric, "*" (any address) or a unix path.
 * "*" is the IPv6 any address, which a listener without IPV6_V6ONLY serves both families on, or
 * the IPv4 one where the kernel has no IPv6.  False when it is a name that must be resolved first.
 */
bool endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *address,
                          socklen_t *length) __attribute__((warn_unused_result));

#endif
