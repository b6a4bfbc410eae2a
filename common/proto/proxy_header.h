/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load balancer says of a connection before its first byte: the PROXY protocol, versions 1
 * (a line of text) and 2 (binary).  To be read from configured peers only, and then always: a
 * client that could leave it out could also forge it.
 */
#ifndef MAILSTEAD_PROTO_PROXY_HEADER_H
#define MAILSTEAD_PROTO_PROXY_HEADER_H

#include "common/base/buffer.h"

enum {
    PROXY_HEADER_MAX = 2048,  /* a longer header is broken */
    PROXY_HEADER_ROOM = 256,  /* what proxy_header_write needs at most */
    PROXY_HEADER_ID_SIZE = 40 /* an id and its NUL */
};

/* A whole header of version 2 for a connection that is for nobody, as a balancer's own checks. */
#define PROXY_HEADER_NOBODY "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"

struct proxy_header {
    char address[46]; /* of the client; empty: the balancer speaks for itself, or does not know */
    uint16_t port;    /* 0 with it */
    /* Version 2 only, from its TLVs; those that are not known are passed over: */
    bool is_tls;                   /* the client speaks TLS with the balancer */
    char id[PROXY_HEADER_ID_SIZE]; /* of the connection, printable ASCII; empty: none */
    unsigned char ttl;             /* a type of our own: as struct forwarded's; 0: not said */
};

/*
 * How many bytes more of the connection surely belong to the header of which `have` has come: what
 * is behind it may be TLS and must not be read.  0: it is whole, or broken.
 */
size_t proxy_header_missing(struct span have);

/*
 * Appends a header of version 2; with an empty address, one that says that the connection is for
 * nobody, as probes are.  Else `header->address` is textual; `to_address` and
 * `to_port` are where the client connected to: with an address of the other family, or NULL, they
 * are left out, as zeros.
 */
void proxy_header_write(const struct proxy_header *header, const char *to_address, uint16_t to_port,
                        struct buffer *out);

/* Reads a whole header; false, and `*header` untouched, when it is broken. */
bool proxy_header_read(struct span whole, struct proxy_header *header)
    __attribute__((warn_unused_result));

#endif
