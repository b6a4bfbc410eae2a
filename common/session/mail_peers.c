/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/mail_peers.h"

void mail_peers_init(struct mail_peers *peers, unsigned per_address_max, unsigned sessions_max)
{
    *peers =
        (struct mail_peers){ .per_address_max = per_address_max, .sessions_max = sessions_max };
    map_init(&peers->sessions);
}

void mail_peers_fini(struct mail_peers *peers)
{
    map_fini(&peers->sessions);
}

/* Counts no further than the limit: what an address costs does not grow with what it opens. */
static bool mail_peers_has_too_many(const struct mail_peers *peers, struct span address)
{
    unsigned count = 0;

    if (peers->per_address_max == 0)
        return false;
    for (struct map_node *node = map_find(&peers->sessions, address);
         node && count < peers->per_address_max; node = map_find_next(node))
        count++;
    return count >= peers->per_address_max;
}

const char *mail_peers_add(struct mail_peers *peers, struct mail_peer *peer, const char *address)
{
    struct span key = span_from_string(address);

    if (peers->sessions_max > 0 && peers->sessions.count >= peers->sessions_max)
        return "Too many connections, try again later";
    if (mail_peers_has_too_many(peers, key))
        return "Too many connections from your address";
    map_insert(&peers->sessions, &peer->node, key);
    return NULL;
}

void mail_peers_remove(struct mail_peers *peers, struct mail_peer *peer)
{
    if (!peer->node.key.data)
        return;
    map_remove(&peers->sessions, &peer->node);
    peer->node.key = SPAN_EMPTY;
}
