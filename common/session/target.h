/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a session for one account goes.  The frontend's rule and the backend
 * node's rule make it from the same route; all else about a session is the same.
 */
#ifndef MAILSTEAD_SESSION_TARGET_H
#define MAILSTEAD_SESSION_TARGET_H

#include <limits.h>
#include <openssl/ssl.h>
#include <stdio.h>

#include "common/io/endpoint.h"
#include "common/io/transport.h"
#include "common/service/config.h"
#include "directory/route.h"

enum target_kind {
    TARGET_GO,        /* connect to one of `endpoints` */
    TARGET_DOWN,      /* the owner is known but not reachable now: hold the login, queue the mail */
    TARGET_RELAY,     /* mail only: to the relay host */
    TARGET_TEMPORARY, /* in doubt, or not ours to serve: refuse temporarily; `reason` for the log */
    TARGET_UNKNOWN,   /* no such account; a live search agreed */
    TARGET_FOREIGN    /* mail only: the domain is none of ours */
};

/* A backend whose health is not kept: a node does not probe the others. */
enum { TARGET_NO_HEALTH = INT_MAX };

struct target {
    enum target_kind kind;
    char name[ROUTE_HOST_SIZE]; /* the backend's name; recipients with one name make one group */
    struct endpoint endpoints[ENDPOINTS_MAX]; /* GO: to be tried in this order */
    size_t endpoint_count;
    enum tls_mode tls;                 /* GO: how TLS is begun */
    SSL_CTX *tls_context;              /* GO: borrowed; NULL when tls is off */
    char tls_name[ENDPOINT_HOST_SIZE]; /* GO: what the certificate must have; empty: anything */
    enum pass_client pass_client;      /* GO: how it learns whose login it is */
    unsigned backend;                  /* its id, for its health; 0: a node's own store */
    unsigned storage;                  /* GO: the account's, at a node (node_board.h); 0: none */
    bool is_foreign;       /* a node's: the account is another node's; GO: it is relayed there */
    bool is_misconfigured; /* TEMPORARY, and somebody has to correct an entry or a configuration */
    const char *reason;    /* static text for the log; NULL when GO */
};

/* Begins TLS with the target on `transport`; false as transport_start_tls_client. */
static inline bool target_start_tls(const struct target *target, struct transport *transport)
{
    char peer[ROUTE_HOST_SIZE + 8];

    snprintf(peer, sizeof(peer), "%s %u", target->name, target->endpoints[0].port);
    return transport_start_tls_client(transport, target->tls_context,
                                      *target->tls_name ? target->tls_name : NULL, peer);
}

#endif
