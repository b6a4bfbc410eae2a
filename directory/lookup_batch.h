/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the table `lookup` that are not yet written.  Written in the order of their hashes, many
 * at a time, they cost a fraction: the table's pages are then visited one after the other.
 */
#ifndef MAILSTEAD_DIRECTORY_LOOKUP_BATCH_H
#define MAILSTEAD_DIRECTORY_LOOKUP_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOOKUP_BATCH_MAX = 262144 };

struct lookup_pair {
    int64_t entry;
    int32_t hash;  /* as mirror_hash gives it */
    uint32_t next; /* of the same bucket, plus 1; 0: none */
};

/* All zero is an empty one. */
struct lookup_batch {
    struct lookup_pair *pairs; /* owned, as are the buckets */
    uint32_t *buckets;         /* the last pair of each, plus 1; as many as there is room for */
    size_t count, room;
};

/* Adds one, which may be there already; at most LOOKUP_BATCH_MAX.  Not after a sort. */
void lookup_batch_add(struct lookup_batch *batch, int64_t hash, int64_t entry);

/*
 * The newest pair with this hash, or with `after` the one before that; NULL: none.  Valid until the
 * next change.
 */
const struct lookup_pair *lookup_batch_find(const struct lookup_batch *batch, int64_t hash,
                                            const struct lookup_pair *after);

/* Sorts by hash, then entry; nothing can be found any more. */
void lookup_batch_sort(struct lookup_batch *batch);

/* Forgets all; a large one gives its memory back. */
void lookup_batch_clear(struct lookup_batch *batch);

void lookup_batch_fini(struct lookup_batch *batch);

#endif
