/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administrator's commands that the queue process answers:
 *
 *     queue-list {"limit", "backend"}   a line a message, with its recipients
 *     queue-show {"id"}                 one such line
 *     queue-flush {"id" or "backend" or neither: all}   makes recipients due now: {"flushed": n}
 *     queue-stat                        counts, and a line for each destination
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_COMMANDS_H
#define MAILSTEAD_FRONTEND_QUEUE_COMMANDS_H

#include "common/service/control.h"
#include "frontend/queue/scheduler.h"

struct commands {
    struct committer *committer;
    struct scheduler *scheduler;
    int64_t (*now_ms)(void *context);
    void *context;
};

/* For control_client_start, with a struct commands as context. */
extern const struct control_command queue_commands[];

#endif
