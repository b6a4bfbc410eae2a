/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board's memory, its slots and its rows.  It never waits for anybody.
 *
 * The rows of backends are a hash table to which processes only add: a key is looked for
 * from its own place on, and the first free row on that way is taken for it in one step, so
 * that two processes cannot take two rows for one key.
 */
#include "common/service/board.h"

#include <sys/mman.h>

const char *const board_counter_names[BOARD_COUNTERS] = {
    [BOARD_SESSIONS] = "sessions",
    [BOARD_CONNECTIONS] = "connections",
    [BOARD_LOGINS] = "logins",
    [BOARD_LOGINS_REFUSED] = "logins_refused",
    [BOARD_LOGINS_TEMPORARY] = "logins_temporary",
    [BOARD_MESSAGES_CUT_THROUGH] = "messages_cut_through",
    [BOARD_MESSAGES_QUEUED] = "messages_queued",
    [BOARD_MESSAGES_REFUSED] = "messages_refused",
    [BOARD_RECIPIENTS_DELIVERED] = "recipients_delivered",
    [BOARD_RECIPIENTS_DEFERRED] = "recipients_deferred",
    [BOARD_RECIPIENTS_FAILED] = "recipients_failed",
    [BOARD_RECIPIENTS_LIMITED] = "recipients_limited",
    [BOARD_QUEUE_MESSAGES] = "queue_messages",
    [BOARD_QUEUE_RECIPIENTS] = "queue_recipients",
};

const char *const board_health_names[3] = { "unknown", "up", "down" };

/* A counter of what is there now ends with its process. */
static bool counter_is_gauge(enum board_counter counter)
{
    return counter == BOARD_SESSIONS || counter == BOARD_QUEUE_MESSAGES ||
           counter == BOARD_QUEUE_RECIPIENTS;
}

struct board *board_new(void)
{
    struct board *board =
        mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (board == MAP_FAILED)
        return NULL;
    tally_init(&board->tally);
    return board;
}

void board_free(struct board *board)
{
    munmap(board, sizeof(*board));
}

int64_t board_sum(const struct board *board, enum board_counter counter)
{
    int64_t sum = atomic_load(&board->retired.counters[counter]);

    for (size_t i = 0; i < BOARD_SLOTS; i++)
        sum += atomic_load_explicit(&board->slots[i].counters[counter], memory_order_relaxed);
    return sum;
}

struct board_backend *board_backend(struct board *board, uint64_t key)
{
    for (size_t i = 0; i < BOARD_BACKENDS; i++) {
        struct board_backend *row = &board->backends[(key + i) % BOARD_BACKENDS];
        uint64_t found = 0;

        if (atomic_compare_exchange_strong(&row->key, &found, key) || found == key)
            return row;
    }
    return NULL;
}

struct board_slot *board_take_slot(struct board *board)
{
    for (size_t i = 0; i < BOARD_SLOTS; i++)
        if (atomic_load(&board->slots[i].pid) == 0)
            return &board->slots[i];
    return NULL;
}

void board_retire_slot(struct board *board, struct board_slot *slot)
{
    if (atomic_load(&slot->counters[BOARD_SESSIONS]) > 0)
        tally_begin_epoch(&board->tally); /* it had counted sessions of its own there */
    for (int i = 0; i < BOARD_COUNTERS; i++) {
        int64_t count = atomic_exchange(&slot->counters[i], 0);

        if (!counter_is_gauge(i))
            board_count(&board->retired, i, count);
    }
    for (int i = 0; i < BOARD_STORAGES; i++)
        atomic_store(&slot->storage_sessions[i], 0);
    atomic_store(&slot->is_ready, 0);
    atomic_store(&slot->is_draining, 0);
    atomic_store(&slot->heartbeat_ms, 0);
    atomic_store(&slot->pid, 0);
}
