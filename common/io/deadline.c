/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/deadline.h"

static void deadline_fired(uv_timer_t *timer)
{
    struct deadline *deadline = CONTAINER_OF(timer, struct deadline, timer);
    uint64_t now_ms = io_loop_now_ms(deadline->loop);

    if (deadline->at_ms == 0)
        return;
    if (now_ms < deadline->at_ms) {
        uv_timer_start(timer, deadline_fired, deadline->at_ms - now_ms, 0);
        return;
    }
    deadline->at_ms = 0;
    deadline->expired(deadline);
}

void deadline_init(struct deadline *deadline, struct io_loop *loop,
                   void (*expired)(struct deadline *deadline))
{
    uv_timer_init(&loop->uv, &deadline->timer);
    deadline->loop = loop;
    deadline->at_ms = 0;
    deadline->expired = expired;
    deadline->closed = NULL;
}

void deadline_set(struct deadline *deadline, uint64_t after_ms)
{
    bool is_armed = uv_is_active((uv_handle_t *)&deadline->timer);

    deadline->at_ms = io_loop_now_ms(deadline->loop) + after_ms;
    if (!is_armed || uv_timer_get_due_in(&deadline->timer) > after_ms)
        uv_timer_start(&deadline->timer, deadline_fired, after_ms, 0);
}

void deadline_clear(struct deadline *deadline)
{
    deadline->at_ms = 0;
}

static void deadline_handle_closed(uv_handle_t *handle)
{
    struct deadline *deadline = CONTAINER_OF(handle, struct deadline, timer);

    deadline->closed(deadline);
}

void deadline_close(struct deadline *deadline, void (*closed)(struct deadline *deadline))
{
    deadline->closed = closed;
    uv_close((uv_handle_t *)&deadline->timer, deadline_handle_closed);
}
