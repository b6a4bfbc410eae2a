/* SPDX-License-Identifier: Apache-2.0 */
/* Networks of IP addresses, for configuration that says who may do something. */
#ifndef MAILSTEAD_IO_NETWORK_H
#define MAILSTEAD_IO_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct network {
    uint8_t address[16];    /* IPv6, or IPv4 mapped into it (RFC 4291 section 2.5.5.2) */
    unsigned prefix_length; /* 0 to 128 */
};

/*
 * Reads an address ("127.0.0.1", "::1") or an address with a prefix length ("10.0.2.0/24",
 * "2001:db8::/32").  Bits behind the prefix do not matter.  False and `*network` untouched when
 * it is neither.
 */
bool network_parse(const char *text, struct network *network) __attribute__((warn_unused_result));

/*
 * True when `peer` is in one of the `count` networks at `list`.  An IPv4 peer that an IPv6
 * socket accepted counts as IPv4; a peer on a unix socket is in no network.
 */
bool network_list_has_peer(const struct network *list, size_t count,
                           const struct sockaddr_storage *peer);

/* The same for an address as struct network holds it. */
bool network_list_has_address(const struct network *list, size_t count, const uint8_t address[16]);

/* Makes the network around `network`: at most so many bits, by what it is. */
void network_widen(struct network *network, unsigned ipv4_bits, unsigned ipv6_bits);

enum { NETWORK_TEXT_SIZE = 64 };

/* As network_parse reads it; without the length when it is one address. */
void network_format(const struct network *network, char text[NETWORK_TEXT_SIZE]);

#endif
