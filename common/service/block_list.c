/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each row is a sequence lock: odd while it is written.  Who dies while he writes takes the row
 * with him.
 */
#include "common/service/block_list.h"

#include <string.h>

/* Writes a row unless somebody else does; false then. */
static bool block_list_write(struct block_list *list, size_t index, const struct block *block)
{
    uint32_t turn = atomic_load(&list->rows[index].turn);

    if (turn % 2 == 1 || !atomic_compare_exchange_strong(&list->rows[index].turn, &turn, turn + 1))
        return false;
    atomic_thread_fence(memory_order_seq_cst);
    list->rows[index].block = *block;
    atomic_store(&list->rows[index].turn, turn + 2);
    return true;
}

/* A copy that is whole; false when the row is being written. */
static bool block_list_read(const struct block_list *list, size_t index, struct block *block)
{
    uint32_t turn = atomic_load(&list->rows[index].turn);

    if (turn % 2 == 1)
        return false;
    *block = list->rows[index].block;
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&list->rows[index].turn) == turn;
}

void block_list_add(struct block_list *list, const struct block *block)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        size_t best = BLOCK_ROWS;
        uint64_t best_ms = UINT64_MAX;

        for (size_t i = 0; i < BLOCK_ROWS; i++) {
            struct block other;

            if (!block_list_read(list, i, &other))
                continue;
            if (other.key == block->key) {
                best = i;
                break;
            }
            if (other.until_ms < best_ms) {
                best = i;
                best_ms = other.until_ms;
            }
        }
        if (best < BLOCK_ROWS && block_list_write(list, best, block))
            return;
    }
}

bool block_list_get(const struct block_list *list, size_t index, uint64_t now_ms,
                    struct block *block)
{
    return block_list_read(list, index, block) && block->until_ms > now_ms;
}

static void lift_row(struct tally_row *row)
{
    atomic_store(&row->blocked_until_ms, 0);
    atomic_store(&row->failures, 0);
}

void block_list_lift(struct block_list *list, struct tally *tally, const struct block *block)
{
    struct tally_row *row = tally_find(tally, block->key);

    if (row)
        lift_row(row);
    for (size_t i = 0; i < BLOCK_ROWS; i++) {
        struct block other;

        if (block_list_read(list, i, &other) && other.key == block->key)
            (void)block_list_write(list, i, &(struct block){ 0 });
    }
}

size_t block_list_lift_all(struct block_list *list, struct tally *tally, uint64_t now_ms)
{
    size_t count = 0;

    for (size_t i = 0; i < TALLY_ROWS; i++)
        if (atomic_load(&tally->rows[i].blocked_until_ms) > now_ms) {
            lift_row(&tally->rows[i]);
            count++;
        }
    for (size_t i = 0; i < BLOCK_ROWS; i++)
        (void)block_list_write(list, i, &(struct block){ 0 });
    return count;
}
