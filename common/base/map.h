/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An intrusive hash map with byte-string keys.  The node is a member of the
 * element; the key's bytes belong to the element and do not change while it
 * is in the map.  Several elements may have one key.
 */
#ifndef MAILSTEAD_BASE_MAP_H
#define MAILSTEAD_BASE_MAP_H

#include "common/base/span.h"

struct map_node {
    struct map_node *next; /* in the same bucket */
    struct span key;
    uint64_t hash;
};

struct map {
    struct map_node **buckets; /* owned */
    size_t bucket_count;       /* a power of two, or 0 before the first insertion */
    size_t count;              /* elements */
    uint64_t seed;             /* random, so that clients cannot choose collisions */
};

/* An empty map. */
void map_init(struct map *map);

/* Frees the buckets; the elements are the caller's. */
void map_fini(struct map *map);

/* Puts `node` in under `key`. */
void map_insert(struct map *map, struct map_node *node, struct span key);

/* Takes `node`, which must be in the map, out. */
void map_remove(struct map *map, struct map_node *node);

/* The first element with `key`, or NULL. */
struct map_node *map_find(const struct map *map, struct span key);

/* The next element after `node` with the same key, or NULL. */
struct map_node *map_find_next(const struct map_node *node);

/*
 * Calls `visit` for each element; it may remove and free that element, but
 * change nothing else of the map.
 */
void map_each(struct map *map, void (*visit)(struct map_node *node, void *context), void *context);

#endif
