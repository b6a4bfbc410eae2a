/* SPDX-License-Identifier: Apache-2.0 */
/* What the control child answers by itself, from the board and the configuration. */
#include <unistd.h>

#include "common/base/clock.h"
#include "common/service/certificate_watch.h"
#include "common/service/control_hub.h"
#include "common/service/supervisor.h"

static json_t *ping(const struct child *child)
{
    return json_pack("{s:s, s:s, s:i}", "program", child->program->name, "version", PACKAGE_VERSION,
                     "pid", (int)getppid());
}

static json_t *slot_counters(const struct board_slot *slot)
{
    json_t *counters = json_object();

    for (int i = 0; i < BOARD_COUNTERS; i++)
        json_object_set_new(counters, board_counter_names[i],
                            json_integer(atomic_load(&slot->counters[i])));
    return counters;
}

static json_t *process_row(const struct child *child, const struct board_slot *slot,
                           uint64_t now_ms)
{
    uint64_t heartbeat_ms = atomic_load(&slot->heartbeat_ms);
    uint64_t age_ms = now_ms > heartbeat_ms ? now_ms - heartbeat_ms : 0;

    return json_pack("{s:s, s:i, s:i, s:I, s:b, s:b, s:I, s:o}", "role",
                     child->program->roles[atomic_load(&slot->role)].name, "number",
                     atomic_load(&slot->number), "pid", (int)atomic_load(&slot->pid), "generation",
                     (json_int_t)atomic_load(&slot->generation), "is_ready",
                     atomic_load(&slot->is_ready), "is_draining", atomic_load(&slot->is_draining),
                     "heartbeat_age_ms", (json_int_t)age_ms, "counters", slot_counters(slot));
}

static json_t *process_rows(const struct child *child, uint64_t now_ms)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < BOARD_SLOTS; i++)
        if (atomic_load(&child->board->slots[i].pid) != 0)
            json_array_append_new(rows, process_row(child, &child->board->slots[i], now_ms));
    return rows;
}

static json_t *sums(const struct board *board)
{
    json_t *counters = json_object();

    for (int i = 0; i < BOARD_COUNTERS; i++)
        json_object_set_new(counters, board_counter_names[i], json_integer(board_sum(board, i)));
    return counters;
}

static json_t *mirror(const struct board *board)
{
    return json_pack("{s:I, s:I, s:b, s:b}", "revision",
                     (json_int_t)atomic_load(&board->mirror_revision), "entries",
                     (json_int_t)atomic_load(&board->mirror_entries), "is_synchronised",
                     atomic_load(&board->mirror_is_synchronised), "is_connected",
                     atomic_load(&board->directory_is_connected));
}

static json_t *status(const struct child *child)
{
    uint64_t now_ms = clock_monotonic_ms();
    const struct board *board = child->board;
    json_t *answer = ping(child);

    json_object_set_new(
        answer, "uptime_s",
        json_integer((json_int_t)(now_ms - atomic_load(&board->started_ms)) / 1000));
    json_object_set_new(answer, "generation",
                        json_integer((json_int_t)atomic_load(&board->generation)));
    json_object_set_new(answer, "processes", process_rows(child, now_ms));
    json_object_set_new(answer, "counters", sums(board));
    json_object_set_new(answer, "mirror", mirror(board));
    json_object_set_new(answer, "drain", control_drain_state(board));
    json_object_set_new(answer, "certificates", certificate_rows(&child->config->tls));
    return answer;
}

static json_t *status_answer(const struct child *child, const char *command)
{
    static const struct {
        const char *name;
        json_t *(*answer)(const struct child *child);
    } commands[] = { { "ping", ping }, { "status", status } };

    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (strcmp(commands[i].name, command) == 0)
            return commands[i].answer(child);
    return NULL;
}

json_t *control_own_answer(const struct child *child, const char *command, const json_t *request)
{
    json_t *answer = status_answer(child, command);

    if (!answer)
        answer = control_blocks_answer(child, command, request);
    if (!answer)
        answer = control_drain_answer(child, command, request);
    return answer;
}
