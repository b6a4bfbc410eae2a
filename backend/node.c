/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's parts, and its memory.  It stops without releasing anything: what a node has
 * claimed stays its own until it leaves, so that a stop of this daemon, under which the mail store
 * may run on, lets nobody else in.  What it had before its start it may have lost meanwhile: it is
 * held (node_holds.c), and no hook runs, until the directory has said whose it is.
 */
#include "backend/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/node_private.h"
#include "common/base/log.h"

enum {
    NODE_LOOK_MS = 200,
    NODE_TELL_TICKS = 15,   /* who waits hears of us every 3 s */
    NODE_RELEASE_MS = 10000 /* for sessions that a process before this one had to end */
};

static bool node_is_own(const struct node *node, const char *server)
{
    return strcmp(server, node->child->config->node.name) == 0;
}

/*
 * That the own storage was released while the node stays must be said: else it is attached.  A node
 * that claims none has all but what it let go.
 */
static bool node_must_remember(const struct node *node, const struct storage *storage)
{
    bool is_here = node_leave_memory(node) == NODE_MEMORY_HERE;

    if (!node_has_storages(node))
        return storage->is_barred;
    return storage->is_wanted || (is_here && node_is_own(node, storage->server));
}

static void node_remember_storage(const struct node *node, const struct storage *storage,
                                  struct node_file *file)
{
    if (!node_must_remember(node, storage))
        return;
    file->is_held[file->server_count] = storage->is_barred || !storage->is_wanted;
    memcpy(file->servers[file->server_count++], storage->server, sizeof(storage->server));
}

bool node_remember(struct node *node)
{
    struct node_file *file = memory_new(sizeof(*file));
    bool is_written;

    file->memory = node_leave_memory(node);
    LIST_EACH (item, &node->storages.list)
        node_remember_storage(node, LIST_ELEMENT(item, struct storage, node), file);
    is_written = node_file_write(node->child->config->state_directory, file);
    if (!is_written)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "node_not_written", LOG_TEXT("error", strerror(errno)));
    free(file);
    return is_written;
}

static void node_on_remember(void *context)
{
    (void)node_remember(context); /* logged; the order itself is carried out */
}

static void node_on_settled(void *context)
{
    node_leave_look(context);
}

/* Black start: until the directory has been seen once. */
static void node_look_at_override(struct node *node)
{
    if (!atomic_load(&node_board(node)->is_overridden) ||
        !atomic_load(&node->child->board->mirror_is_synchronised))
        return;
    atomic_store(&node_board(node)->is_overridden, 0);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "node_override_ended", LOG_TEXT("why", "synchronised"));
}

static void node_on_tick(uv_timer_t *timer)
{
    struct node *node = CONTAINER_OF(timer, struct node, timer);

    storage_jobs_look(&node->jobs);
    storages_look(&node->storages);
    node_look_at_override(node);
    node_holds_look(node);
    node_leave_look(node);
    if (++node->ticks % NODE_TELL_TICKS == 0) {
        node_tell(node);
        storages_tell(&node->storages);
    }
}

/* Without it nothing can be told of the storages: a new process makes a new one. */
static void node_on_hand_lost(struct storage_jobs *jobs)
{
    struct node *node = CONTAINER_OF(jobs, struct node, jobs);

    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "storage_hand_lost");
    node->is_lost = true;
    io_loop_stop(&node->child->loop);
}

/* Only this process was started anew when the board still has it attached: it never went. */
static void node_want(struct node *node, const char *server, bool is_barred)
{
    struct storage *storage = storages_find(&node->storages, server);

    if (!storage)
        return;
    storage->is_wanted = true;
    storage->is_barred = is_barred;
    if (atomic_load(&storage->row->state) == STORAGE_ATTACHED)
        storage_attach(storage, false, false);
    else
        storage_hold(storage, STORAGE_UNJUDGED, "it waits for the directory");
}

static bool node_file_has(const struct node_file *file, const char *server)
{
    for (unsigned i = 0; i < file->server_count; i++)
        if (strcmp(file->servers[i], server) == 0)
            return true;
    return false;
}

/* Before anything is served. */
static void node_let_go_remembered(struct node *node, const struct node_file *file)
{
    (void)storages_find(&node->storages, node->child->config->node.name); /* it is told of */
    for (unsigned i = 0; i < file->server_count; i++) {
        struct storage *storage =
            file->is_held[i] ? storages_find(&node->storages, file->servers[i]) : NULL;

        if (storage) {
            storage->is_barred = true;
            storage_release(storage, NODE_RELEASE_MS, false);
        }
    }
}

/* Its own, and those that it had: to be attached again, or known, so that they are released. */
static void node_want_remembered(struct node *node, const struct node_file *file)
{
    const char *own = node->child->config->node.name;
    bool is_here = file->memory == NODE_MEMORY_HERE;

    if (!node_has_storages(node)) {
        node_let_go_remembered(node, file);
        return;
    }
    if (is_here && !node_file_has(file, own))
        node_want(node, own, false);
    for (unsigned i = 0; i < file->server_count; i++) {
        struct storage *storage = is_here ? NULL : storages_find(&node->storages, file->servers[i]);

        if (is_here)
            node_want(node, file->servers[i], file->is_held[i]);
        else if (storage)
            storage->is_wanted = true;
    }
}

/* What cannot be read may have said that the node left: it does not serve before it is told to. */
static void node_begin(struct node *node)
{
    struct node_file *file = memory_new(sizeof(*file));

    if (!node_file_read(node->child->config->state_directory, file)) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "node_unreadable");
        file->memory = NODE_MEMORY_LEFT;
    }
    node_want_remembered(node, file);
    if (file->memory != NODE_MEMORY_HERE)
        node_resume_leaving(node, file->memory);
    else
        atomic_store(&node_board(node)->order, NODE_ORDER_SERVE);
    free(file);
}

static void node_start(struct node *node)
{
    struct io_loop *loop = &node->child->loop;

    storage_jobs_start(&node->jobs, node->child, node_on_hand_lost);
    storages_start(&node->storages, node->child, &node->jobs);
    node->storages.settled = node_on_settled;
    node->storages.remember = node_on_remember;
    node->storages.context = node;
    node_leave_init(node);
    node_begin(node);
    uv_timer_init(&loop->uv, &node->timer);
    uv_timer_start(&node->timer, node_on_tick, NODE_LOOK_MS, NODE_LOOK_MS);
    uv_unref((uv_handle_t *)&node->timer);
    node->control = control_client_start(node->child, node_commands, node);
}

static void node_stop(struct node *node)
{
    uv_close((uv_handle_t *)&node->timer, NULL);
    LIST_EACH (item, &node->waiters) {
        struct node_waiter *waiter = LIST_ELEMENT(item, struct node_waiter, node);

        control_finish(waiter->request, "this process ends");
        list_remove(&waiter->node);
        free(waiter);
    }
    node_holds_stop(node);
    storages_stop(&node->storages);
    storage_jobs_stop(&node->jobs);
    control_client_stop(node->control);
}

bool node_run(struct child *child)
{
    static struct node node; /* until the process ends, and its last close events with it */

    node.child = child;
    child->context = &node;
    node_start(&node);
    child_run_loop(child);
    node_stop(&node);
    child->context = NULL;
    return !node.is_lost;
}
