/* SPDX-License-Identifier: Apache-2.0 */
/* The open mail sessions of one worker, by the address of their clients: who has too many. */
#ifndef MAILSTEAD_SESSION_MAIL_PEERS_H
#define MAILSTEAD_SESSION_MAIL_PEERS_H

#include "common/base/map.h"

struct mail_peers {
    struct map sessions;                    /* of struct mail_peer */
    unsigned per_address_max, sessions_max; /* 0: as many as there are */
};

/* A member of each session; zeroed memory is one that is not counted. */
struct mail_peer {
    struct map_node node;
};

void mail_peers_init(struct mail_peers *peers, unsigned per_address_max, unsigned sessions_max);
void mail_peers_fini(struct mail_peers *peers); /* no session is left */

/*
 * Counts a session from `address`, which stays as it is up to mail_peers_remove; NULL, or why
 * there are too many: words for the client.
 */
const char *mail_peers_add(struct mail_peers *peers, struct mail_peer *peer, const char *address)
    __attribute__((warn_unused_result));

/* Idempotent. */
void mail_peers_remove(struct mail_peers *peers, struct mail_peer *peer);

#endif
