/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/admin_health.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/service/supervisor.h"

static bool is_node(const struct child *child)
{
    return child->program->program == CONFIG_BACKEND;
}

static bool is_drained(const struct child *child)
{
    return atomic_load(&child->board->drain_deadline_ms) > 0;
}

/* A frontend serves from the mirror of its last life; a node only what it knows to be its own. */
static bool has_no_mirror(const struct child *child)
{
    const struct board *board = child->board;

    if (atomic_load(&board->mirror_is_synchronised))
        return false;
    return is_node(child) ? !atomic_load(&board->node.is_overridden)
                          : atomic_load(&board->mirror_revision) == 0;
}

static bool queue_refuses(const struct child *child)
{
    return atomic_load(&child->board->queue_is_refusing);
}

static bool has_no_worker(const struct child *child)
{
    for (size_t i = 0; i < BOARD_SLOTS; i++) {
        const struct board_slot *slot = &child->board->slots[i];

        if (atomic_load(&slot->pid) != 0 && atomic_load(&slot->is_ready) &&
            !atomic_load(&slot->is_draining) &&
            child->program->roles[atomic_load(&slot->role)].is_per_core)
            return false;
    }
    return true;
}

static bool node_is(const struct child *child, enum node_state state)
{
    return is_node(child) && node_board_state(child->board) == state;
}

static bool node_leaves(const struct child *child)
{
    return node_is(child, NODE_LEAVING);
}

static bool node_has_left(const struct child *child)
{
    return node_is(child, NODE_LEFT);
}

/* The node's own storage, and those that its accounts are on. */
static void add_storages(const struct child *child, json_t *reasons)
{
    uint64_t now_ms = clock_monotonic_ms();

    for (size_t i = 0; is_node(child) && i < BOARD_STORAGES; i++) {
        const struct board_storage *storage = &child->board->node.storages[i];

        if (!atomic_load(&storage->is_named) || storage_is_attached(storage, now_ms))
            continue;
        if (storage_is_missed(storage, now_ms) ||
            strcmp(storage->server, child->config->node.name) == 0)
            json_array_append_new(reasons,
                                  json_sprintf("storage of %s is not attached", storage->server));
    }
}

json_t *admin_health_reasons(const struct child *child)
{
    static const struct {
        const char *reason;
        bool (*is_so)(const struct child *child);
    } rows[] = { { "drained", is_drained },
                 { "mirror never synchronised", has_no_mirror },
                 { "queue cannot be written", queue_refuses },
                 { "no worker is ready", has_no_worker },
                 { "node leaves", node_leaves },
                 { "node has left", node_has_left } };
    json_t *reasons = json_array();

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (rows[i].is_so(child))
            json_array_append_new(reasons, json_string(rows[i].reason));
    add_storages(child, reasons);
    return reasons;
}
