/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Dovecots that synchronisations need: the own one, and those of other backends.  One that is
 * in trouble is tried with one account at a time, later and later, until that works.
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_PEER_H
#define MAILSTEAD_BACKEND_REPLICA_PEER_H

#include "common/base/list.h"
#include "common/service/config.h"

enum { PEER_NAME_SIZE = 128 };

struct peer {
    struct list node;
    char name[PEER_NAME_SIZE];
    const struct backend_config *backend; /* NULL: the own one, or one without an address */
    unsigned failures;                    /* in a row; 0: it works */
    uint64_t retry_ms;                    /* monotonic; not used before */
    bool is_tried;                        /* by one account, now */
    uint64_t suspect;                     /* the hash of the account that failed alone; 0: none */
};

/* The row of `name` in `peers`; made when it is not there. */
struct peer *peer_find(struct list *peers, const struct config *config, const char *name);
void peer_free_all(struct list *peers);

/*
 * Whether a synchronisation may use it at `now_ms`; if not, `*wait_ms` is how long to wait.  Who
 * uses it tells how that went.
 */
bool peer_may_use(struct peer *peer, uint64_t now_ms, uint64_t *wait_ms);
void peer_worked(struct peer *peer);

/* A warning when this is the third failure in a row. */
void peer_failed(struct peer *peer, uint64_t now_ms, const char *why);

/*
 * A failure that the account may have to itself: the peer is in trouble when another one fails in
 * the same way before any works.
 */
void peer_doubted(struct peer *peer, uint64_t now_ms, const char *account, const char *why);

/* It is tried again at once. */
void peer_hurry(struct peer *peer);

#endif
