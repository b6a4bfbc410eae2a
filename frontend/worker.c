/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/worker.h"

#include "common/base/log.h"
#include "common/io/tls.h"
#include "common/session/worker.h"
#include "frontend/choose.h"
#include "frontend/deliver.h"
#include "frontend/message_copy.h"

enum { FRONTEND_DELIVERIES = 50, FRONTEND_RELEASE_TICK_MS = 20 };

/* Of a worker that was told to stop, the time for deliveries to end, and for their results. */
enum { FRONTEND_GIVE_UP_MS = 1000, FRONTEND_RELEASE_MAX_MS = 2000 };

struct frontend_worker {
    struct worker worker;
    struct message_copies copies;
    struct deliver_service deliver;
    uv_timer_t release_timer; /* waits for the results of deliveries to be committed */
    uint64_t stop_seen_ms;    /* 0: it drains without hurry */
};

static void frontend_deliver(void *context, struct queue_delivery *delivery)
{
    struct frontend_worker *frontend = context;

    deliver_start(&frontend->deliver, delivery);
}

static void frontend_queue_stopped(void *context)
{
    struct frontend_worker *frontend = context;

    worker_released(&frontend->worker);
}

static void frontend_release_timer_closed(uv_handle_t *handle)
{
    struct frontend_worker *frontend = CONTAINER_OF(handle, struct frontend_worker, release_timer);

    queue_client_stop(frontend->copies.queue);
}

/* How long ago the worker was told to stop; 0 while it only drains. */
static uint64_t frontend_stopping_ms(struct frontend_worker *frontend)
{
    uint64_t now_ms = io_loop_now_ms(frontend->worker.service.loop);

    if (!frontend->worker.is_stopping)
        return 0;
    if (frontend->stop_seen_ms == 0)
        frontend->stop_seen_ms = now_ms;
    return now_ms - frontend->stop_seen_ms;
}

/*
 * Deliveries end, and their results are committed, before the worker does; within reason.  No
 * delivery may outlive the queue's client.
 */
static void frontend_release_tick(uv_timer_t *timer)
{
    struct frontend_worker *frontend = CONTAINER_OF(timer, struct frontend_worker, release_timer);
    uint64_t stopping_ms = frontend_stopping_ms(frontend);

    if (stopping_ms >= FRONTEND_GIVE_UP_MS)
        deliver_give_up_all(&frontend->deliver);
    if (queue_client_unfinished(frontend->copies.queue) > 0 &&
        (stopping_ms < FRONTEND_RELEASE_MAX_MS || !list_is_empty(&frontend->deliver.running)))
        return;
    uv_close((uv_handle_t *)timer, frontend_release_timer_closed);
}

/* What the queue has to deliver is for workers with the new configuration. */
static void frontend_draining(void *context)
{
    struct frontend_worker *frontend = context;

    queue_client_set_slots(frontend->copies.queue, 0);
}

static void frontend_release(struct worker *worker, void *context)
{
    struct frontend_worker *frontend = context;
    struct io_loop *loop = worker->service.loop;

    queue_client_set_slots(frontend->copies.queue, 0);
    uv_timer_init(&loop->uv, &frontend->release_timer);
    uv_timer_start(&frontend->release_timer, frontend_release_tick, 0, FRONTEND_RELEASE_TICK_MS);
}

static bool frontend_load_relay_tls(struct frontend_worker *frontend, const struct config *config)
{
    char error[TLS_ERROR_SIZE] = "";

    if (!config->relay_host.address || config->relay_host.tls == TLS_MODE_OFF)
        return true;
    frontend->deliver.tls_relay = tls_client_context(config->relay_host.ca, true, error);
    if (!frontend->deliver.tls_relay)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "tls_failed", LOG_TEXT("section", "relay_host"),
                  LOG_TEXT("why", error));
    return frontend->deliver.tls_relay != NULL;
}

bool frontend_worker_run(struct child *child)
{
    static const struct queue_client_events queue_events = {
        .deliver = frontend_deliver,
        .stopped = frontend_queue_stopped,
    };
    struct frontend_worker frontend = { .copies = { .config = child->config } };
    const struct worker_options options = {
        .choose = frontend_choose,
        .fallback = &message_copy_fallback,
        .fallback_context = &frontend.copies,
        .holds_logins = true,
        .probes_backends = true,
        .draining = frontend_draining,
        .release = frontend_release,
        .context = &frontend,
    };

    message_blocks_init(&frontend.copies.blocks);
    if (!frontend_load_relay_tls(&frontend, child->config) ||
        !worker_start(&frontend.worker, child, &options))
        return false;
    frontend.deliver.sessions = &frontend.worker.service;
    list_init(&frontend.deliver.running);
    frontend.copies.queue = queue_client_start(&child->loop, child->config, FRONTEND_DELIVERIES,
                                               &queue_events, &frontend);
    worker_run_loop(&frontend.worker);
    message_blocks_fini(&frontend.copies.blocks);
    SSL_CTX_free(frontend.deliver.tls_relay);
    return true;
}
