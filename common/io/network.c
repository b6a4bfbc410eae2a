/* SPDX-License-Identifier: Apache-2.0 */
/* Networks: every address is held as IPv6, so that there is one comparison.  Never resolves names.
 */
#include "common/io/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/base/span.h"

enum { IPV4_MAPPED_BITS = 96 };

static void address_map_ipv4(const struct in_addr *ipv4, uint8_t address[16])
{
    memset(address, 0, 10);
    memset(address + 10, 0xff, 2);
    memcpy(address + 12, ipv4, 4);
}

bool network_parse(const char *text, struct network *network)
{
    struct span prefix = span_from_string(text);
    struct span host = span_split(&prefix, '/');
    bool has_prefix = strchr(text, '/') != NULL;
    char host_text[INET6_ADDRSTRLEN];
    struct network parsed;
    struct in_addr ipv4;
    unsigned offset = 0;
    uint64_t bits;

    if (!span_copy_string(host, host_text, sizeof(host_text)))
        return false;
    if (inet_pton(AF_INET, host_text, &ipv4) == 1) {
        address_map_ipv4(&ipv4, parsed.address);
        offset = IPV4_MAPPED_BITS;
    } else if (inet_pton(AF_INET6, host_text, parsed.address) != 1) {
        return false;
    }
    if (!has_prefix)
        bits = 128 - offset;
    else if (!span_parse_u64(prefix, &bits) || bits > 128 - offset)
        return false;
    parsed.prefix_length = offset + (unsigned)bits;
    *network = parsed;
    return true;
}

static bool network_has_address(const struct network *network, const uint8_t address[16])
{
    unsigned whole = network->prefix_length / 8;
    unsigned bits = network->prefix_length % 8;
    uint8_t mask = (uint8_t)(0xff00 >> bits);

    if (memcmp(network->address, address, whole) != 0)
        return false;
    return bits == 0 || ((network->address[whole] ^ address[whole]) & mask) == 0;
}

bool network_list_has_peer(const struct network *list, size_t count,
                           const struct sockaddr_storage *peer)
{
    uint8_t address[16];

    if (peer->ss_family == AF_INET)
        address_map_ipv4(&((const struct sockaddr_in *)peer)->sin_addr, address);
    else if (peer->ss_family == AF_INET6)
        memcpy(address, &((const struct sockaddr_in6 *)peer)->sin6_addr, sizeof(address));
    else
        return false;
    return network_list_has_address(list, count, address);
}

bool network_list_has_address(const struct network *list, size_t count, const uint8_t address[16])
{
    for (size_t i = 0; i < count; i++)
        if (network_has_address(&list[i], address))
            return true;
    return false;
}

static bool network_is_ipv4(const struct network *network)
{
    return network->prefix_length >= IPV4_MAPPED_BITS &&
           IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)network->address);
}

void network_widen(struct network *network, unsigned ipv4_bits, unsigned ipv6_bits)
{
    unsigned bits = network_is_ipv4(network) ? IPV4_MAPPED_BITS + ipv4_bits : ipv6_bits;

    if (network->prefix_length <= bits)
        return;
    network->prefix_length = bits;
    for (unsigned i = 0; i < sizeof(network->address); i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;

        if (kept < 8)
            network->address[i] &= (uint8_t)(0xff00 >> kept);
    }
}

void network_format(const struct network *network, char text[NETWORK_TEXT_SIZE])
{
    bool is_ipv4 = network_is_ipv4(network);
    unsigned offset = is_ipv4 ? IPV4_MAPPED_BITS : 0;
    char address[INET6_ADDRSTRLEN] = "";

    inet_ntop(is_ipv4 ? AF_INET : AF_INET6, network->address + offset / 8, address,
              sizeof(address));
    if (network->prefix_length == 128)
        snprintf(text, NETWORK_TEXT_SIZE, "%s", address);
    else
        snprintf(text, NETWORK_TEXT_SIZE, "%s/%u", address, network->prefix_length - offset);
}
