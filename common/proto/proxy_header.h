/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load balancer says of a connection before its first byte: the PROXY protocol, versions 1
 * (a line of text) and 2 (binary).  To be read from configured peers only, and then always: a
 * client that could leave it out could also forge it.
 */
#ifndef MAILSTEAD_PROTO_PROXY_HEADER_H
#define MAILSTEAD_PROTO_PROXY_HEADER_H

#include "common/base/span.h"

/* A longer header is broken; what a balancer adds behind the addresses is passed over. */
enum { PROXY_HEADER_MAX = 2048 };

struct proxy_header {
    char address[46]; /* of the client; empty: the balancer speaks for itself, or does not know */
    uint16_t port;    /* 0 with it */
};

/*
 * How many bytes more of the connection surely belong to the header of which `have` has come: what
 * is behind it may be TLS and must not be read.  0: it is whole, or broken.
 */
size_t proxy_header_missing(struct span have);

/* Reads a whole header; false, and `*header` untouched, when it is broken. */
bool proxy_header_read(struct span whole, struct proxy_header *header)
    __attribute__((warn_unused_result));

#endif
