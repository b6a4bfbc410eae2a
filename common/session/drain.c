/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/drain.h"

#include "common/base/log.h"

enum { DRAIN_LOOK_MS = 500 };

/* What is in the sockets' backlogs is accepted first; it goes with the sessions. */
static void drain_begin(struct drain *drain)
{
    uint64_t now_ms = io_loop_now_ms(drain->service->loop);
    uint64_t left_ms = drain->deadline_ms > now_ms ? drain->deadline_ms - now_ms : 0;

    for (size_t i = 0; i < *drain->listener_count; i++)
        listener_refuse(&drain->listeners[i]);
    departures_drain(&drain->service->departures, drain->deadline_ms);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "drain_started",
              LOG_INTEGER("sessions", drain->service->session_count),
              LOG_INTEGER("s", left_ms / 1000));
}

static void drain_end(struct drain *drain)
{
    for (size_t i = 0; i < *drain->listener_count; i++)
        listener_listen(&drain->listeners[i]);
    departures_undrain(&drain->service->departures);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "drain_ended",
              LOG_INTEGER("sessions", drain->service->session_count));
}

static void drain_look(uv_timer_t *timer)
{
    struct drain *drain = CONTAINER_OF(timer, struct drain, timer);
    uint64_t deadline_ms = atomic_load(&drain->board->drain_deadline_ms);

    if (deadline_ms == drain->deadline_ms)
        return;
    drain->deadline_ms = deadline_ms;
    if (deadline_ms > 0)
        drain_begin(drain);
    else
        drain_end(drain);
}

void drain_start(struct drain *drain)
{
    uv_timer_init(&drain->service->loop->uv, &drain->timer);
    uv_timer_start(&drain->timer, drain_look, DRAIN_LOOK_MS, DRAIN_LOOK_MS);
    uv_unref((uv_handle_t *)&drain->timer);
    drain_look(&drain->timer);
}

static void drain_on_closed(uv_handle_t *handle)
{
    struct drain *drain = CONTAINER_OF(handle, struct drain, timer);

    drain->stopped(drain);
}

void drain_stop(struct drain *drain, void (*stopped)(struct drain *drain))
{
    drain->stopped = stopped;
    uv_close((uv_handle_t *)&drain->timer, drain_on_closed);
}
