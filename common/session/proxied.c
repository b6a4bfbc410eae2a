/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/proxied.h"

#include <stdio.h>

#include "common/io/network.h"
#include "common/proto/login.h"

bool peer_is_in(const struct string_list *networks, const struct sockaddr_storage *peer)
{
    for (size_t i = 0; i < networks->count; i++) {
        struct network network;

        if (network_parse(networks->items[i], &network) && network_list_has_peer(&network, 1, peer))
            return true;
    }
    return false;
}

bool address_is_in(const struct string_list *networks, const char *address)
{
    struct network one, network;

    if (!network_parse(address, &one))
        return false;
    for (size_t i = 0; i < networks->count; i++)
        if (network_parse(networks->items[i], &network) &&
            network_list_has_address(&network, 1, one.address))
            return true;
    return false;
}

enum proxied_result proxied_read(struct transport *transport, struct bytes *have,
                                 struct proxy_header *header)
{
    size_t missing;

    while ((missing = proxy_header_missing(bytes_span(have))) > 0) {
        char part[PROXY_HEADER_MAX];
        ssize_t count = transport_read(transport, part, missing);

        if (count == TRANSPORT_AGAIN)
            return PROXIED_WAITS;
        if (count <= 0 || !bytes_append(have, span_of(part, (size_t)count)))
            return PROXIED_LEFT;
    }
    if (!proxy_header_read(bytes_span(have), header))
        return PROXIED_BROKEN;
    bytes_release(have);
    return PROXIED_READ;
}

bool proxied_is_secured(const struct proxy_header *header, const struct listener_config *listener)
{
    return header->is_tls && listener->proxy_protocol_tls && listener->tls != TLS_MODE_IMPLICIT;
}

const char *proxied_tls_name(const SSL *ssl, bool is_secured)
{
    if (ssl)
        return SSL_get_version(ssl);
    return is_secured ? "balancer" : "no";
}

void proxied_apply(const struct proxy_header *header, struct session *session)
{
    session->was_relayed = header->ttl == FORWARDED_TTL_LAST;
    if (!header->address[0])
        return;
    snprintf(session->peer_address, sizeof(session->peer_address), "%s", header->address);
    session->peer_port = header->port;
}
