/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/map.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/memory.h"
#include "common/base/random.h"

enum { MAP_BUCKETS_MIN = 16 };

/* With a secret seed and a final mix. */
static uint64_t map_hash(const struct map *map, struct span key)
{
    uint64_t hash = hash_add(HASH_START ^ map->seed, key);

    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15ULL;
    return hash ^ (hash >> 29);
}

void map_init(struct map *map)
{
    *map = (struct map){ .seed = random_u64() };
}

void map_fini(struct map *map)
{
    free(map->buckets);
    map->buckets = NULL;
    map->bucket_count = 0;
    map->count = 0;
}

static struct map_node **map_bucket(const struct map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->bucket_count - 1)];
}

static void map_link(struct map *map, struct map_node *node)
{
    struct map_node **bucket = map_bucket(map, node->hash);

    node->next = *bucket;
    *bucket = node;
}

static void map_grow(struct map *map)
{
    struct map_node **old = map->buckets;
    size_t old_count = map->bucket_count;

    map->bucket_count = old_count > 0 ? old_count * 2 : MAP_BUCKETS_MIN;
    map->buckets = memory_new(map->bucket_count * sizeof(*map->buckets));
    for (size_t i = 0; i < old_count; i++)
        for (struct map_node *node = old[i], *next; node; node = next) {
            next = node->next;
            map_link(map, node);
        }
    free(old);
}

void map_insert(struct map *map, struct map_node *node, struct span key)
{
    if (map->count >= map->bucket_count)
        map_grow(map);
    node->key = key;
    node->hash = map_hash(map, key);
    map_link(map, node);
    map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
    struct map_node **link = map_bucket(map, node->hash);

    while (*link && *link != node)
        link = &(*link)->next;
    assert(*link == node);
    *link = node->next;
    node->next = NULL;
    map->count--;
}

static struct map_node *map_match(struct map_node *node, struct span key, uint64_t hash)
{
    while (node && !(node->hash == hash && span_equals(node->key, key)))
        node = node->next;
    return node;
}

struct map_node *map_find(const struct map *map, struct span key)
{
    uint64_t hash;

    if (map->count == 0)
        return NULL;
    hash = map_hash(map, key);
    return map_match(*map_bucket(map, hash), key, hash);
}

struct map_node *map_find_next(const struct map_node *node)
{
    return map_match(node->next, node->key, node->hash);
}

void map_each(struct map *map, void (*visit)(struct map_node *node, void *context), void *context)
{
    for (size_t i = 0; i < map->bucket_count; i++)
        for (struct map_node *node = map->buckets[i], *next; node; node = next) {
            next = node->next;
            visit(node, context);
        }
}
