/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/storage_use.h"

#include "common/base/log.h"

enum { WATCH_LOOK_MS = 200, WATCH_TICK_MS = 1, WATCH_SLICE = 128 /* sessions in one turn */ };

static uint64_t storage_bit(unsigned number)
{
    return UINT64_C(1) << (number - 1);
}

bool session_use_storage(struct session *session, unsigned number)
{
    struct session_service *service = session->service;

    _Static_assert(BOARD_STORAGES <= 64, "a set of storages is one word");
    if (number == 0 || session->storages & storage_bit(number))
        return true;
    if (!node_board_use(service->backends.board, service->slot, number,
                        io_loop_now_ms(service->loop)))
        return false;
    session->storages |= storage_bit(number);
    return true;
}

void session_leave_storages(struct session *session)
{
    for (unsigned number = 1; session->storages; number++)
        if (session->storages & storage_bit(number)) {
            session->storages &= ~storage_bit(number);
            node_board_leave(session->service->slot, number);
        }
}

void session_part(struct session *session, const char *reason)
{
    bool is_awaited = session->storages && session->part;

    (is_awaited ? session->part : session->end)(session, reason);
}

/* --- those that must go ------------------------------------------------------------------- */

/* The storages that are used here and not attached. */
static uint64_t watch_lost(const struct session_service *service)
{
    const struct board_node *node = &service->backends.board->node;
    uint64_t lost = 0;

    for (unsigned number = 1; number <= BOARD_STORAGES; number++)
        if (atomic_load(&service->slot->storage_sessions[number - 1]) > 0 &&
            !storage_is_attached(&node->storages[number - 1], io_loop_now_ms(service->loop)))
            lost |= storage_bit(number);
    return lost;
}

static void watch_end(struct storage_watch *watch)
{
    session_walk_end(&watch->walk);
    watch->lost = 0;
    if (watch->parted > 0)
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "storage_sessions_ended",
                  LOG_INTEGER("sessions", watch->parted));
    watch->parted = 0;
}

static void watch_meet(struct storage_watch *watch, struct session *session)
{
    if (!(session->storages & watch->lost) || session->is_parted)
        return;
    session->is_parted = true;
    watch->parted++;
    session_part(session, "its storage is not attached any more");
}

static void watch_go_on(struct storage_watch *watch)
{
    for (int i = 0; i < WATCH_SLICE; i++) {
        struct session *session = session_walk_next(&watch->walk);

        if (!session) {
            watch_end(watch);
            return;
        }
        watch_meet(watch, session);
    }
}

static void watch_on_tick(uv_timer_t *timer)
{
    struct storage_watch *watch = CONTAINER_OF(timer, struct storage_watch, timer);

    if (!watch->lost) {
        watch->lost = watch_lost(watch->service);
        if (watch->lost)
            session_walk_begin(&watch->walk, watch->service);
    }
    if (watch->lost)
        watch_go_on(watch);
    uv_timer_start(timer, watch_on_tick, watch->lost ? WATCH_TICK_MS : WATCH_LOOK_MS, 0);
}

/* --- life ---------------------------------------------------------------------------------- */

void storage_watch_start(struct storage_watch *watch, struct session_service *service)
{
    *watch = (struct storage_watch){ .service = service };
    list_init(&watch->walk.node);
    uv_timer_init(&service->loop->uv, &watch->timer);
    uv_timer_start(&watch->timer, watch_on_tick, WATCH_LOOK_MS, 0);
    uv_unref((uv_handle_t *)&watch->timer);
}

static void watch_on_closed(uv_handle_t *handle)
{
    struct storage_watch *watch = CONTAINER_OF(handle, struct storage_watch, timer);

    watch->stopped(watch);
}

void storage_watch_stop(struct storage_watch *watch, void (*stopped)(struct storage_watch *watch))
{
    watch->stopped = stopped;
    session_walk_end(&watch->walk);
    uv_close((uv_handle_t *)&watch->timer, watch_on_closed);
}
