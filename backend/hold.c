/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In doubt it is not ours: a storage that is not attached costs its accounts time, one that two
 * nodes have attached costs them their mail.
 */
#include "backend/hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The accounts of `server`'s storage that are at `host`; as the gate finds it (choose.c). */
static uint64_t accounts_at(const struct host_counts *counts, const char *host, const char *server)
{
    uint64_t never_moved = strcmp(host, server) == 0 ? host_counts_sum(counts, host, "") : 0;

    return host_counts_sum(counts, host, server) + never_moved;
}

/* A host has several pairs. */
static bool is_first_of_host(const struct host_counts *counts, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(counts->items[i].host, counts->items[index].host) == 0)
            return false;
    return true;
}

/* The accounts that are elsewhere. */
struct away {
    const char *most_at;
    uint64_t most, accounts;
    size_t hosts;
};

static struct away count_away(const struct host_counts *counts, const char *node,
                              const char *server)
{
    struct away away = { .accounts = 0 };

    for (size_t i = 0; i < counts->count; i++) {
        const char *host = counts->items[i].host;
        uint64_t accounts = 0;

        if (*host && strcmp(host, node) != 0 && is_first_of_host(counts, i))
            accounts = accounts_at(counts, host, server);
        if (accounts == 0)
            continue;
        if (accounts > away.most) {
            away.most_at = host;
            away.most = accounts;
        }
        away.accounts += accounts;
        away.hosts++;
    }
    return away;
}

bool hold_is_ours(const struct host_counts *counts, const char *node, const char *server,
                  char why[STORAGE_WHY_SIZE])
{
    struct away away = count_away(counts, node, server);
    bool is_own = strcmp(node, server) == 0;
    char others[32] = "";

    if (away.hosts > 1)
        snprintf(others, sizeof(others), " and %zu more", away.hosts - 1);
    if (away.accounts > 0)
        snprintf(why, STORAGE_WHY_SIZE, "%s by %s%s: %" PRIu64 " accounts",
                 is_own ? "adopted" : "served", away.most_at, others, away.accounts);
    else if (!is_own && accounts_at(counts, node, server) == 0)
        snprintf(why, STORAGE_WHY_SIZE, "no account of this node is on it");
    else
        return true;
    return false;
}

bool hold_is_void(const struct host_counts *counts, const char *node, const char *server)
{
    return accounts_at(counts, node, server) == 0;
}
