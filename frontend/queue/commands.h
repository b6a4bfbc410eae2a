/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administrator's commands that the queue process answers.  listing.h, orders.h and adoption.h
 * have theirs; here are
 *
 *     queue-stat                  counts, and each destination that is known in memory
 *     queue-stat {"waiting":true} with the recipients that wait for each, and when the first is due
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
    bool is_stopping; /* set by the owner: what nobody asked for ends */
};

/* For control_client_start, with a struct commands as context. */
extern const struct control_command queue_commands[];

#endif
