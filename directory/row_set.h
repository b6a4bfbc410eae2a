/* SPDX-License-Identifier: Apache-2.0 */
/* A set of the mirror's row ids, one bit each: row ids are dense. */
#ifndef MAILSTEAD_DIRECTORY_ROW_SET_H
#define MAILSTEAD_DIRECTORY_ROW_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct row_set {
    uint64_t *words; /* owned */
    size_t word_count;
    uint64_t count; /* members */
};

/* `id` is 0 or more in all. */
void row_set_add(struct row_set *set, int64_t id);
void row_set_remove(struct row_set *set, int64_t id);
bool row_set_has(const struct row_set *set, int64_t id);

/* The first member above `after`, which is 0 or more; 0: none. */
int64_t row_set_next(const struct row_set *set, int64_t after);

/* Leaves it empty, with or without its memory.  A zeroed set is empty too. */
void row_set_clear(struct row_set *set);
void row_set_fini(struct row_set *set);

#endif
