/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/row_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

static uint64_t row_set_bit(int64_t id)
{
    return UINT64_C(1) << (id % 64);
}

static void row_set_grow(struct row_set *set, size_t word_count)
{
    set->words = memory_resize(set->words, word_count * sizeof(*set->words));
    memset(set->words + set->word_count, 0, (word_count - set->word_count) * sizeof(*set->words));
    set->word_count = word_count;
}

void row_set_add(struct row_set *set, int64_t id)
{
    size_t word = (size_t)id / 64;

    if (row_set_has(set, id))
        return;
    if (word >= set->word_count)
        row_set_grow(set, (word + 1) * 2);
    set->words[word] |= row_set_bit(id);
    set->count++;
}

void row_set_remove(struct row_set *set, int64_t id)
{
    if (!row_set_has(set, id))
        return;
    set->words[(size_t)id / 64] &= ~row_set_bit(id);
    set->count--;
}

bool row_set_has(const struct row_set *set, int64_t id)
{
    size_t word = (size_t)id / 64;

    return word < set->word_count && (set->words[word] & row_set_bit(id)) != 0;
}

int64_t row_set_next(const struct row_set *set, int64_t after)
{
    size_t word = (size_t)(after + 1) / 64;
    uint64_t members;

    if (word >= set->word_count)
        return 0;
    members = set->words[word] & (UINT64_MAX << ((after + 1) % 64));
    while (members == 0 && ++word < set->word_count)
        members = set->words[word];
    return members ? (int64_t)word * 64 + __builtin_ctzll(members) : 0;
}

void row_set_clear(struct row_set *set)
{
    if (set->word_count > 0)
        memset(set->words, 0, set->word_count * sizeof(*set->words));
    set->count = 0;
}

void row_set_fini(struct row_set *set)
{
    free(set->words);
    *set = (struct row_set){ 0 };
}
