/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing is answered before its batch is durable; a failed batch fails all of its operations. */
#include "frontend/queue/committer.h"

#include <assert.h>
#include <stdlib.h>

enum {
    COMMITTER_BATCH_MAX = 1000, /* operations: bounds the time that one batch takes */
    COMMITTER_PAUSE_MS = 200
};

static void start_soon(struct committer *committer);
static void start_batch(struct committer *committer);

static bool apply_all(struct committer *committer)
{
    LIST_EACH (node, &committer->running) {
        struct operation *operation = LIST_ELEMENT(node, struct operation, node);

        if (!operation->apply(operation, committer->store))
            return false;
    }
    return true;
}

/* In the pool's thread. */
static void run_batch(uv_work_t *work)
{
    struct committer *committer = CONTAINER_OF(work, struct committer, work);
    struct store *store = committer->store;

    committer->is_committed = store_begin(store) && apply_all(committer) && store_commit(store);
    if (!committer->is_committed)
        store_abort(store);
    committer->counts = store_counts(store);
}

static void tell_all(struct list *operations, bool is_committed)
{
    while (!list_is_empty(operations)) {
        struct operation *operation = LIST_ELEMENT(operations->next, struct operation, node);

        list_remove(&operation->node);
        operation->done(operation, is_committed);
    }
}

static void committer_closed(uv_handle_t *handle)
{
    struct committer *committer = CONTAINER_OF((uv_timer_t *)handle, struct committer, pause);

    committer->stopped(committer);
}

static void end_pause(uv_timer_t *timer)
{
    struct committer *committer = CONTAINER_OF(timer, struct committer, pause);

    committer->is_paused = false;
    start_batch(committer);
}

static void batch_done(uv_work_t *work, int status)
{
    struct committer *committer = CONTAINER_OF(work, struct committer, work);
    struct list ended;

    (void)status; /* work is never cancelled */
    list_init(&ended);
    while (!list_is_empty(&committer->running)) {
        struct list *node = committer->running.next;

        list_remove(node);
        list_append(&ended, node);
    }
    committer->is_running = false;
    if (!committer->is_committed) {
        committer->is_paused = true;
        uv_timer_start(&committer->pause, end_pause, COMMITTER_PAUSE_MS, 0);
    }
    if (committer->committed)
        committer->committed(committer, &committer->counts);
    tell_all(&ended, committer->is_committed);
    start_soon(committer);
}

/* What is submitted in one turn of the loop goes into one batch. */
static void start_soon(struct committer *committer)
{
    if (!committer->is_running && !committer->is_paused)
        io_loop_resume(committer->loop, &committer->turn);
}

static void turn_ended(struct io_resumption *resumption)
{
    start_batch(CONTAINER_OF(resumption, struct committer, turn));
}

static void start_batch(struct committer *committer)
{
    if (committer->is_running || committer->is_paused)
        return;
    for (unsigned i = 0; i < COMMITTER_BATCH_MAX && !list_is_empty(&committer->waiting); i++) {
        struct list *node = committer->waiting.next;

        list_remove(node);
        list_append(&committer->running, node);
    }
    if (!list_is_empty(&committer->running)) {
        committer->is_running = true;
        if (uv_queue_work(&committer->loop->uv, &committer->work, run_batch, batch_done) != 0)
            abort();
    } else if (committer->is_stopping && !committer->is_closed) {
        committer->is_closed = true;
        uv_close((uv_handle_t *)&committer->pause, committer_closed);
    }
}

void committer_start(struct committer *committer, struct io_loop *loop, struct store *store)
{
    *committer = (struct committer){ .loop = loop, .store = store };
    list_init(&committer->waiting);
    list_init(&committer->running);
    committer->counts = store_counts(store);
    io_resumption_init(&committer->turn, turn_ended);
    uv_timer_init(&loop->uv, &committer->pause);
}

void committer_submit(struct committer *committer, struct operation *operation)
{
    assert(!committer->is_closed);
    list_append(&committer->waiting, &operation->node);
    start_soon(committer);
}

void committer_stop(struct committer *committer, void (*stopped)(struct committer *committer))
{
    committer->stopped = stopped;
    committer->is_stopping = true;
    start_soon(committer);
}
