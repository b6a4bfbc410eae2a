/* SPDX-License-Identifier: Apache-2.0 */
/* The order to drain, on the board: the workers obey it (common/session/drain.h). */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/control_hub.h"

enum { DRAIN_S_MAX = 7 * 86400 };

/* Seconds until the rest is closed; by default, as at a reload. */
static uint64_t drain_seconds(const struct child *child, const json_t *request)
{
    const json_t *seconds = json_object_get(request, "deadline_s");
    json_int_t count = json_integer_value(seconds);

    if (!json_is_integer(seconds))
        return child->config->timeout.drain_s;
    return count < 0 ? 0 : count > DRAIN_S_MAX ? DRAIN_S_MAX : (uint64_t)count;
}

json_t *control_drain_state(const struct board *board)
{
    uint64_t deadline_ms = atomic_load(&board->drain_deadline_ms);
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;

    return json_pack("{s:b, s:I, s:I}", "is_drained", deadline_ms > 0, "left_ms",
                     (json_int_t)left_ms, "sessions", (json_int_t)board_sum(board, BOARD_SESSIONS));
}

json_t *control_drain_answer(const struct child *child, const char *command, const json_t *request)
{
    bool is_undo = json_is_true(json_object_get(request, "undo"));
    uint64_t seconds = drain_seconds(child, request);

    if (strcmp(command, "drain") != 0)
        return NULL;
    atomic_store(&child->board->drain_deadline_ms,
                 is_undo ? 0 : clock_monotonic_ms() + seconds * 1000);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "drain_ordered", LOG_TEXT("order", is_undo ? "undo" : "drain"),
              LOG_INTEGER("s", is_undo ? 0 : seconds),
              LOG_INTEGER("sessions", board_sum(child->board, BOARD_SESSIONS)));
    return control_drain_state(child->board);
}
