/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/lookup_batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

enum { BATCH_ROOM_MIN = 64, BATCH_ROOM_KEPT = 4096 };

/* The room is a power of two, and a hash is well mixed. */
static uint32_t *batch_bucket(const struct lookup_batch *batch, int32_t hash)
{
    return &batch->buckets[(uint32_t)hash & (batch->room - 1)];
}

static void batch_link(struct lookup_batch *batch, size_t index)
{
    struct lookup_pair *pair = &batch->pairs[index];
    uint32_t *bucket = batch_bucket(batch, pair->hash);

    pair->next = *bucket;
    *bucket = (uint32_t)index + 1;
}

static void batch_grow(struct lookup_batch *batch)
{
    batch->room = batch->room > 0 ? batch->room * 2 : BATCH_ROOM_MIN;
    batch->pairs = memory_resize(batch->pairs, batch->room * sizeof(*batch->pairs));
    free(batch->buckets);
    batch->buckets = memory_new(batch->room * sizeof(*batch->buckets));
    for (size_t i = 0; i < batch->count; i++)
        batch_link(batch, i);
}

void lookup_batch_add(struct lookup_batch *batch, int64_t hash, int64_t entry)
{
    assert(batch->count < LOOKUP_BATCH_MAX);
    if (batch->count == batch->room)
        batch_grow(batch);
    batch->pairs[batch->count] = (struct lookup_pair){ .entry = entry, .hash = (int32_t)hash };
    batch_link(batch, batch->count++);
}

const struct lookup_pair *lookup_batch_find(const struct lookup_batch *batch, int64_t hash,
                                            const struct lookup_pair *after)
{
    uint32_t next = 0;

    if (after)
        next = after->next;
    else if (batch->count > 0)
        next = *batch_bucket(batch, (int32_t)hash);
    while (next > 0 && batch->pairs[next - 1].hash != hash)
        next = batch->pairs[next - 1].next;
    return next > 0 ? &batch->pairs[next - 1] : NULL;
}

static int batch_compare(const void *first, const void *second)
{
    const struct lookup_pair *a = first, *b = second;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return (a->entry > b->entry) - (a->entry < b->entry);
}

void lookup_batch_sort(struct lookup_batch *batch)
{
    if (batch->count > 1)
        qsort(batch->pairs, batch->count, sizeof(*batch->pairs), batch_compare);
}

void lookup_batch_fini(struct lookup_batch *batch)
{
    free(batch->pairs);
    free(batch->buckets);
    *batch = (struct lookup_batch){ .count = 0 };
}

void lookup_batch_clear(struct lookup_batch *batch)
{
    batch->count = 0;
    if (batch->room > BATCH_ROOM_KEPT)
        lookup_batch_fini(batch);
    else if (batch->room > 0)
        memset(batch->buckets, 0, batch->room * sizeof(*batch->buckets));
}
