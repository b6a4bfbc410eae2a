/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the parts of the queue process together: store, committer, scheduler, workers,
 * resolver, commands.
 *
 * Its time is the date at its start plus what the monotonic clock counted since, so
 * that setting the clock neither delays nor expires anything; while the two disagree
 * nothing expires.
 *
 * Failures: a queue folder that cannot be used ends the process with one line; everything
 * later is the parts'.
 */
#include "frontend/queue/process.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/session/backends.h"
#include "common/session/resolver.h"
#include "frontend/queue/adoption.h"
#include "frontend/queue/commands.h"
#include "frontend/queue/workers.h"

enum { TICK_MS = 200, CLOCK_JUMP_MS = 60000 };

struct queue_process {
    struct child *child;
    struct store *store;
    struct committer committer;
    struct scheduler *scheduler;
    struct workers workers;
    struct resolver resolver;
    struct backends backends;
    struct commands commands;
    struct control_client *control;
    struct list questions; /* of struct question */
    uv_timer_t tick;
    int64_t wall_start_ms;
    uint64_t monotonic_start_ms;
    char salvaged[64]; /* the folder that was set aside last */
    bool is_stopping, is_probing, has_clock_jumped;
};

/* An address whose absence the directory process is asked to confirm. */
struct question {
    struct resolver_request request;
    struct list node;
    struct queue_process *queue;
    uint64_t row;
};

/* --- what the scheduler asks ----------------------------------------------------------- */

static int64_t queue_now_ms(void *context)
{
    const struct queue_process *queue = context;

    return queue->wall_start_ms + (int64_t)(clock_monotonic_ms() - queue->monotonic_start_ms);
}

static void queue_route(void *context, struct span address, struct route *route)
{
    struct queue_process *queue = context;
    struct route_source source = mirror_source(queue->resolver.mirror);

    route_address(&queue->resolver.rules, &source, address, route);
}

static void question_answered(struct resolver_request *request)
{
    struct question *question = CONTAINER_OF(request, struct question, request);
    struct queue_process *queue = question->queue;
    uint64_t row = question->row;
    bool is_absent = request->route.outcome == ROUTE_UNKNOWN;

    list_remove(&question->node);
    free(question);
    if (!queue->is_stopping)
        scheduler_confirmed(queue->scheduler, row, is_absent);
}

static void queue_confirm(void *context, uint64_t row, struct span address)
{
    struct queue_process *queue = context;
    struct question *question = memory_new(sizeof(*question));

    question->queue = queue;
    question->row = row;
    resolver_request_init(&question->request, question_answered);
    list_append(&queue->questions, &question->node);
    if (resolver_ask(&queue->resolver, &question->request, ROUTE_KEY_ADDRESS, address, NULL))
        question_answered(&question->request);
}

static uint64_t queue_revision(void *context)
{
    const struct queue_process *queue = context;

    return atomic_load(&queue->child->board->mirror_revision);
}

static bool queue_is_known(void *context, const char *backend)
{
    const struct queue_process *queue = context;

    return backends_find(&queue->backends, backend) != NULL;
}

static bool queue_is_up(void *context, const char *name)
{
    const struct queue_process *queue = context;
    const struct backend *backend = backends_find(&queue->backends, name);

    return !backend || backends_is_up(&queue->backends, backend, PROTOCOL_LMTP);
}

static bool queue_may_begin(void *context, const char *name)
{
    const struct queue_process *queue = context;
    const struct backend *backend = backends_find(&queue->backends, name);

    return !backend || backends_may_begin(&queue->backends, backend->id, PROTOCOL_LMTP, false);
}

static unsigned queue_free_slots(void *context)
{
    return workers_free_slots(&((struct queue_process *)context)->workers);
}

static bool queue_deliver(void *context, struct job *job)
{
    return workers_deliver(&((struct queue_process *)context)->workers, job);
}

static void queue_acknowledge(void *context, uint64_t worker, uint64_t attempt)
{
    workers_acknowledge(&((struct queue_process *)context)->workers, worker, attempt);
}

static const struct scheduler_ops queue_scheduler_ops = {
    .now_ms = queue_now_ms,
    .route = queue_route,
    .confirm = queue_confirm,
    .revision = queue_revision,
    .is_known = queue_is_known,
    .is_up = queue_is_up,
    .may_begin = queue_may_begin,
    .free_slots = queue_free_slots,
    .deliver = queue_deliver,
    .acknowledge = queue_acknowledge,
};

/* --- whether anything can be stored ----------------------------------------------------- */

struct probe {
    struct operation operation;
    struct queue_process *queue;
};

static bool probe_apply(struct operation *operation, struct store *store)
{
    (void)operation;
    return store_probe(store);
}

static void probe_done(struct operation *operation, bool is_committed)
{
    struct probe *probe = CONTAINER_OF(operation, struct probe, operation);

    (void)is_committed; /* the committer knows */
    probe->queue->is_probing = false;
    free(probe);
}

/* After a failure nobody may come with anything to write: find out whether it works again. */
static void probe_storage(struct queue_process *queue)
{
    struct probe *probe;

    if (!queue->committer.has_failed || queue->is_probing)
        return;
    probe = memory_new(sizeof(*probe));
    probe->operation.apply = probe_apply;
    probe->operation.done = probe_done;
    probe->queue = queue;
    queue->is_probing = true;
    committer_submit(&queue->committer, &probe->operation);
}

/* --- running --------------------------------------------------------------------------- */

/* While the date is in doubt no mail expires; the next start believes it. */
static void look_at_clock(struct queue_process *queue)
{
    int64_t difference_ms = clock_wall_ms() - queue_now_ms(queue);
    bool has_jumped = difference_ms > CLOCK_JUMP_MS || difference_ms < -CLOCK_JUMP_MS;

    if (has_jumped && !queue->has_clock_jumped)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_clock_jumped",
                  LOG_INTEGER("seconds", difference_ms / 1000));
    queue->has_clock_jumped = has_jumped;
    scheduler_suspend_expiry(queue->scheduler, has_jumped);
}

static void queue_tick(uv_timer_t *timer)
{
    struct queue_process *queue = CONTAINER_OF(timer, struct queue_process, tick);

    look_at_clock(queue);
    scheduler_tick(queue->scheduler);
    probe_storage(queue);
}

/* What can be read of a database that was set aside comes back by itself. */
static void salvage(struct queue_process *queue)
{
    const char *name = store_set_aside_folder(queue->store);
    char directory[4096];

    if (strcmp(name, queue->salvaged) == 0 || queue->is_stopping)
        return;
    snprintf(queue->salvaged, sizeof(queue->salvaged), "%s", name);
    snprintf(directory, sizeof(directory), "%s/%s", queue->child->config->queue.directory, name);
    scheduler_drop_windows(queue->scheduler);
    adoption_salvage(&queue->commands, directory);
}

static void show_counts(struct committer *committer, const struct store_counts *counts)
{
    struct queue_process *queue = CONTAINER_OF(committer, struct queue_process, committer);
    struct board_slot *slot = queue->child->slot;

    atomic_store(&slot->counters[BOARD_QUEUE_MESSAGES], counts->messages);
    atomic_store(&slot->counters[BOARD_QUEUE_RECIPIENTS], counts->recipients);
    workers_set_refusing(&queue->workers, committer->has_failed);
    atomic_store(&queue->child->board->queue_is_refusing, committer->has_failed);
    salvage(queue);
}

/* --- ending: what was handed over is committed and answered, then all is closed -------- */

static void queue_committed_all(struct committer *committer)
{
    struct queue_process *queue = CONTAINER_OF(committer, struct queue_process, committer);

    workers_stop(&queue->workers, NULL);
}

static void queue_stop(struct child *child)
{
    struct queue_process *queue = child->context;

    if (queue->is_stopping)
        return;
    queue->is_stopping = queue->commands.is_stopping = true;
    scheduler_stop(queue->scheduler);
    workers_pause(&queue->workers);
    control_client_stop(queue->control);
    uv_close((uv_handle_t *)&queue->tick, NULL);
    LIST_EACH (node, &queue->questions) {
        struct question *question = LIST_ELEMENT(node, struct question, node);

        resolver_cancel(&question->request);
        list_remove(node);
        free(question);
    }
    resolver_stop(&queue->resolver, NULL);
    committer_stop(&queue->committer, queue_committed_all);
}

/* --- starting --------------------------------------------------------------------------- */

static bool queue_open_store(struct queue_process *queue)
{
    const struct config *config = queue->child->config;
    int64_t daemon_age_ms =
        (int64_t)(clock_monotonic_ms() - atomic_load(&queue->child->board->started_ms));
    char error[STORE_ERROR_SIZE];

    queue->store = store_open(config->queue.directory, &store_system_real, error);
    if (!queue->store) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_cannot_start", LOG_TEXT("reason", error));
        return false;
    }
    if (!store_clean_files(queue->store, (clock_wall_ms() - daemon_age_ms) / 1000))
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_not_cleaned",
                  LOG_TEXT("directory", config->queue.directory));
    return true;
}

static void queue_start_scheduler(struct queue_process *queue)
{
    const struct config *config = queue->child->config;
    struct scheduler_options options = {
        .rules = { .hostname = config->cluster.hostname,
                   .retry_min_ms = (int64_t)config->queue.retry_min_s * 1000,
                   .unknown_delay_ms = (int64_t)config->queue.unknown_delay_s * 1000,
                   .retry_max_ms = (int64_t)config->queue.retry_max_s * 1000,
                   .expiry_ms = (int64_t)config->queue.expiry_s * 1000,
                   .lifetime_ms = (int64_t)config->queue.expiry_s * 1000,
                   .delay_ms = (int64_t)config->queue.delay_report_s * 1000 },
        .has_relay_host = config->relay_host.address != NULL,
        .ops = &queue_scheduler_ops,
        .context = queue,
    };

    queue->scheduler = scheduler_new(&options, &queue->committer);
}

static bool queue_backends_changed(struct resolver *resolver)
{
    struct queue_process *queue = CONTAINER_OF(resolver, struct queue_process, resolver);
    bool has_changed; /* the revision wakes who waits */

    return backends_read(&queue->backends, resolver->mirror, &has_changed);
}

static void queue_start(struct queue_process *queue)
{
    struct child *child = queue->child;

    backends_init(&queue->backends, child->config, child->board);
    resolver_start(&queue->resolver, &child->loop, child->config, NULL);
    queue->resolver.backends_changed = queue_backends_changed;
    (void)queue_backends_changed(&queue->resolver);
    committer_start(&queue->committer, &child->loop, queue->store);
    queue->committer.committed = show_counts;
    queue_start_scheduler(queue);
    queue->workers = (struct workers){
        .loop = &child->loop,
        .committer = &queue->committer,
        .scheduler = queue->scheduler,
        .store = queue->store,
        .hostname = child->config->cluster.hostname,
        .now_ms = queue_now_ms,
        .context = queue,
    };
    workers_start(&queue->workers, child->service_fd);
    queue->commands = (struct commands){
        &queue->committer, queue->scheduler, queue_now_ms, queue, false,
    };
    show_counts(&queue->committer, &queue->committer.counts);
    queue->control = control_client_start(child, queue_commands, &queue->commands);
    uv_timer_init(&child->loop.uv, &queue->tick);
    uv_timer_start(&queue->tick, queue_tick, TICK_MS, TICK_MS);
}

bool queue_run(struct child *child)
{
    struct queue_process queue = { .child = child,
                                   .wall_start_ms = clock_wall_ms(),
                                   .monotonic_start_ms = clock_monotonic_ms() };

    list_init(&queue.questions);
    if (!queue_open_store(&queue))
        return false;
    queue_start(&queue);
    child->context = &queue;
    child->stop = queue_stop;
    child_run_loop(child);
    scheduler_free(queue.scheduler);
    store_close(queue.store);
    backends_fini(&queue.backends);
    child->context = NULL;
    return true;
}
