/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/node_board.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/service/board.h"

const char *const node_state_names[] = { "waiting", "serving", "leaving", "left", NULL };
const char *const storage_state_names[] = { "detached",  "attaching", "attached",
                                            "releasing", "failed",    NULL };

enum node_state node_board_state(const struct board *board)
{
    const struct board_node *node = &board->node;

    switch ((enum node_order)atomic_load(&node->order)) {
    case NODE_ORDER_LEAVE:
        return atomic_load(&node->has_left) ? NODE_LEFT : NODE_LEAVING;
    case NODE_ORDER_SERVE:
        if (atomic_load(&board->mirror_is_synchronised) || atomic_load(&node->is_overridden))
            return NODE_SERVING;
        return NODE_WAITING;
    case NODE_ORDER_UNKNOWN:
        break;
    }
    return NODE_WAITING;
}

bool storage_server_is_good(const char *server)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(server);

    return length > 0 && length < BOARD_SERVER_SIZE && server[0] != '.' &&
           strspn(server, good) == length;
}

struct board_storage *node_board_storage(struct board *board, const char *server)
{
    uint64_t key = hash_string(server) | 1; /* 0 is a free row */

    if (!storage_server_is_good(server))
        return NULL;
    for (size_t i = 0; i < BOARD_STORAGES; i++) {
        struct board_storage *row = &board->node.storages[(key + i) % BOARD_STORAGES];
        uint64_t found = 0;

        if (atomic_compare_exchange_strong(&row->key, &found, key)) {
            strcpy(row->server, server);
            atomic_store(&row->is_named, 1);
            return row;
        }
        if (found == key)
            return row;
    }
    return NULL;
}

void node_board_open_storages(struct board *board, bool is_open)
{
    for (size_t i = 0; i < BOARD_STORAGES; i++) {
        struct board_storage *row = &board->node.storages[i];
        bool was_open = atomic_load(&row->valid_until_ms) == UINT64_MAX;

        if (was_open == is_open)
            continue;
        atomic_store(&row->state, is_open ? STORAGE_ATTACHED : STORAGE_DETACHED);
        atomic_store(&row->valid_until_ms, is_open ? UINT64_MAX : 0);
    }
}

unsigned node_board_storage_number(const struct board *board, const struct board_storage *storage)
{
    return (unsigned)(storage - board->node.storages) + 1;
}

bool node_board_use(struct board *board, struct board_slot *slot, unsigned number, uint64_t now_ms)
{
    atomic_fetch_add(&slot->storage_sessions[number - 1], 1);
    if (storage_is_attached(&board->node.storages[number - 1], now_ms))
        return true;
    node_board_leave(slot, number);
    return false;
}

void node_board_leave(struct board_slot *slot, unsigned number)
{
    atomic_fetch_sub(&slot->storage_sessions[number - 1], 1);
}

uint64_t node_board_storage_sessions(const struct board *board, const struct board_storage *storage)
{
    unsigned number = node_board_storage_number(board, storage);
    uint64_t sessions = 0;

    for (size_t i = 0; i < BOARD_SLOTS; i++)
        sessions += atomic_load(&board->slots[i].storage_sessions[number - 1]);
    return sessions;
}

bool storage_is_missed(const struct board_storage *storage, uint64_t now_ms)
{
    return now_ms < atomic_load(&storage->missed_until_ms) && !storage_is_attached(storage, now_ms);
}

bool storage_is_attached(const struct board_storage *storage, uint64_t now_ms)
{
    return storage && atomic_load(&storage->state) == STORAGE_ATTACHED &&
           now_ms < atomic_load(&storage->valid_until_ms);
}
