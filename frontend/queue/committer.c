/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing is answered before its batch is durable.  When an operation fails, what came before it
 * is done again, then what comes after it.  When the batch as a whole cannot begin or commit, all
 * of it has failed: that is the disk, and no second try would say more.
 */
#include "frontend/queue/committer.h"

#include <assert.h>
#include <stdlib.h>

enum {
    COMMITTER_BATCH_MAX = 1000, /* operations: bounds the time that one batch takes */
    COMMITTER_PAUSE_MS = 200,   /* after the first failure */
    COMMITTER_PAUSE_MAX_MS = 3200,
    COMMITTER_ALONE_MAX =
        3 /* operations of a batch that may fail alone; with more, all the rest do */
};

static void start_soon(struct committer *committer);
static void start_batch(struct committer *committer);

/* The operations from `first` up to but not `end`. */
struct range {
    struct list *first, *end;
};

static struct operation *operation_at(struct list *node)
{
    return LIST_ELEMENT(node, struct operation, node);
}

/* Runs them as one batch; `*failed` is the one that failed by itself, if that is why it fails. */
static bool run_range(struct store *store, struct range range, struct list **failed)
{
    *failed = NULL;
    if (!store_begin(store)) {
        store_abort(store);
        return false;
    }
    for (struct list *node = range.first; node != range.end; node = node->next)
        if (!operation_at(node)->apply(operation_at(node), store)) {
            *failed = node;
            store_rewind(store);
            return false;
        }
    if (store_commit(store))
        return true;
    store_abort(store);
    return false;
}

static void mark_committed(struct committer *committer, struct range range)
{
    for (struct list *node = range.first; node != range.end; node = node->next)
        operation_at(node)->is_committed = true;
    committer->has_failed = false;
}

/*
 * Does all of it, or what can be done: `failed` failed by itself, so what is before it is done
 * again.  The rest after it is left in `*rest`; false when there is no use in going on.
 */
static bool run_around(struct committer *committer, struct range *rest)
{
    struct list *failed, *other;

    if (run_range(committer->store, *rest, &failed)) {
        mark_committed(committer, *rest);
        rest->first = rest->end;
        return true;
    }
    if (!failed)
        return false;
    if (rest->first != failed) {
        struct range before = { rest->first, failed };

        if (!run_range(committer->store, before, &other))
            return false;
        mark_committed(committer, before);
    }
    rest->first = failed->next;
    return true;
}

/* In the pool's thread. */
static void run_batch(uv_work_t *work)
{
    struct committer *committer = CONTAINER_OF(work, struct committer, work);
    struct range rest = { committer->running.next, &committer->running };

    committer->has_failed = true;
    for (unsigned i = 0; i <= COMMITTER_ALONE_MAX && rest.first != rest.end; i++)
        if (!run_around(committer, &rest))
            break;
    committer->counts = store_counts(committer->store);
}

static void tell_all(struct list *operations)
{
    while (!list_is_empty(operations)) {
        struct operation *operation = LIST_ELEMENT(operations->next, struct operation, node);

        list_remove(&operation->node);
        operation->done(operation, operation->is_committed);
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

static void end_gathering(uv_timer_t *timer)
{
    struct committer *committer = CONTAINER_OF(timer, struct committer, pause);

    start_soon(committer);
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
    gathering_end_batch(&committer->gathering, committer->running_count, committer->waiting_count,
                        io_loop_now_ms(committer->loop));
    if (committer->has_failed) {
        committer->is_paused = true;
        uv_timer_start(&committer->pause, end_pause, committer->pause_ms, 0);
        if (committer->pause_ms < COMMITTER_PAUSE_MAX_MS)
            committer->pause_ms *= 2;
    } else {
        committer->pause_ms = COMMITTER_PAUSE_MS;
    }
    if (committer->committed)
        committer->committed(committer, &committer->counts);
    tell_all(&ended);
    start_soon(committer);
}

/* Whether there is something to do now; if not yet, it is asked again when the time is over. */
static bool has_gathered(struct committer *committer)
{
    uint64_t wait_ms;

    if (committer->is_stopping)
        return true;
    if (committer->waiting_count == 0)
        return false;
    wait_ms = gathering_wait_ms(&committer->gathering, committer->waiting_count,
                                io_loop_now_ms(committer->loop));
    if (wait_ms > 0)
        uv_timer_start(&committer->pause, end_gathering, wait_ms, 0);
    return wait_ms == 0;
}

/* What is submitted in one turn of the loop goes into one batch. */
static void start_soon(struct committer *committer)
{
    if (!committer->is_running && !committer->is_paused && has_gathered(committer))
        io_loop_resume(committer->loop, &committer->turn);
}

static void turn_ended(struct io_resumption *resumption)
{
    start_batch(CONTAINER_OF(resumption, struct committer, turn));
}

static void start_batch(struct committer *committer)
{
    unsigned count = 0;

    if (committer->is_running || committer->is_paused)
        return;
    uv_timer_stop(&committer->pause);
    for (; count < COMMITTER_BATCH_MAX && !list_is_empty(&committer->waiting); count++) {
        struct list *node = committer->waiting.next;

        list_remove(node);
        operation_at(node)->is_committed = false;
        list_append(&committer->running, node);
    }
    committer->waiting_count -= count;
    if (count > 0) {
        committer->running_count = count;
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
    *committer = (struct committer){ .loop = loop, .store = store, .pause_ms = COMMITTER_PAUSE_MS };
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
    committer->waiting_count++;
    gathering_add(&committer->gathering, committer->waiting_count, io_loop_now_ms(committer->loop));
    start_soon(committer);
}

void committer_stop(struct committer *committer, void (*stopped)(struct committer *committer))
{
    committer->stopped = stopped;
    committer->is_stopping = true;
    start_soon(committer);
}
