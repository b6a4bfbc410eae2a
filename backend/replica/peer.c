/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/replica/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/log.h"

enum {
    PEER_RETRY_MS = 1000, /* after the first failure; doubled by each more */
    PEER_RETRY_MAX_MS = 60000,
    PEER_TRIAL_MS = 1000, /* those that wait for the one that tries */
    PEER_ALARM = 3        /* failures */
};

struct peer *peer_find(struct list *peers, const struct config *config, const char *name)
{
    struct peer *peer;

    LIST_EACH (node, peers) {
        peer = LIST_ELEMENT(node, struct peer, node);
        if (strcmp(peer->name, name) == 0)
            return peer;
    }
    peer = memory_new(sizeof(*peer));
    snprintf(peer->name, sizeof(peer->name), "%s", name);
    peer->backend = config_backend(config, name);
    list_append(peers, &peer->node);
    return peer;
}

void peer_free_all(struct list *peers)
{
    LIST_EACH (node, peers) {
        list_remove(node);
        free(LIST_ELEMENT(node, struct peer, node));
    }
}

bool peer_may_use(struct peer *peer, uint64_t now_ms, uint64_t *wait_ms)
{
    if (peer->failures == 0)
        return true;
    *wait_ms = now_ms < peer->retry_ms ? peer->retry_ms - now_ms : PEER_TRIAL_MS;
    if (now_ms < peer->retry_ms || peer->is_tried)
        return false;
    peer->is_tried = true;
    return true;
}

void peer_worked(struct peer *peer)
{
    if (peer->failures >= PEER_ALARM)
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "replica_reachable", LOG_TEXT("peer", peer->name));
    peer->failures = 0;
    peer->is_tried = false;
    peer->suspect = 0;
}

void peer_failed(struct peer *peer, uint64_t now_ms, const char *why)
{
    unsigned doublings = peer->failures < 10 ? peer->failures : 10;
    uint64_t delay_ms = (uint64_t)PEER_RETRY_MS << doublings;

    if (peer->failures > 0 && !peer->is_tried)
        return; /* begun before the trouble was known */
    peer->is_tried = false;
    peer->failures++;
    peer->retry_ms = now_ms + (delay_ms < PEER_RETRY_MAX_MS ? delay_ms : PEER_RETRY_MAX_MS);
    if (peer->failures == PEER_ALARM)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "replica_unreachable", LOG_TEXT("peer", peer->name),
                  LOG_TEXT("why", why));
}

void peer_doubted(struct peer *peer, uint64_t now_ms, const char *account, const char *why)
{
    uint64_t suspect = hash_add(HASH_START, span_from_string(account));

    if (peer->failures > 0 || (peer->suspect != 0 && peer->suspect != suspect))
        peer_failed(peer, now_ms, why);
    else
        peer->suspect = suspect;
}

void peer_hurry(struct peer *peer)
{
    peer->retry_ms = 0;
}
