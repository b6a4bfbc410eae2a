/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of a connection from a load balancer: whose connection it is. */
#ifndef MAILSTEAD_SESSION_PROXIED_H
#define MAILSTEAD_SESSION_PROXIED_H

#include "common/io/transport.h"
#include "common/proto/proxy_header.h"
#include "common/service/config.h"
#include "common/session/service.h"

/* Whether `peer` is in one of `networks` (addresses and CIDR networks, as configured). */
bool peer_is_in(const struct string_list *networks, const struct sockaddr_storage *peer);

/* The same for the text of an IP address; what is none is in no network. */
bool address_is_in(const struct string_list *networks, const char *address);

enum proxied_result {
    PROXIED_WAITS,  /* more of the header has to come */
    PROXIED_READ,   /* `*header` is it */
    PROXIED_BROKEN, /* it is none */
    PROXIED_LEFT    /* the connection has ended */
};

/*
 * Reads on; `have` is what has come so far, empty with a limit of PROXY_HEADER_MAX at first, and
 * released when the result is READ.  No byte behind the header is read: that may be TLS.
 */
enum proxied_result proxied_read(struct transport *transport, struct bytes *have,
                                 struct proxy_header *header) __attribute__((warn_unused_result));

/*
 * Whether the client counts as being inside TLS, which it speaks with the balancer, and we do not:
 * as listen.proxy_protocol_tls says.
 */
bool proxied_is_secured(const struct proxy_header *header, const struct listener_config *listener);

/* The client's TLS, as the log names it; `ssl` NULL: it is not with us. */
const char *proxied_tls_name(const SSL *ssl, bool is_secured);

/* From now on the session is the client's that `header` names, if it names one. */
void proxied_apply(const struct proxy_header *header, struct session *session);

#endif
