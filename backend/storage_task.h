/* SPDX-License-Identifier: Apache-2.0 */
/* What the hand's tasks do, each in a process of its own.  They block, and may be killed. */
#ifndef MAILSTEAD_BACKEND_STORAGE_TASK_H
#define MAILSTEAD_BACKEND_STORAGE_TASK_H

#include "backend/storage_claim.h"
#include "backend/storage_hand.h"

struct storage_task {
    uint32_t number;
    enum hand_task kind;
    bool flag;
    struct storage_place place;
    int hand_fd; /* where it tells */
};

/* Does it, in a process that was forked for it; the exit status: 0 when it succeeded. */
int storage_task_run(const struct storage_task *task);

/* The program that is configured for a hook; NULL: none, or it is no hook. */
const char *storage_task_program(const struct storage_config *config, enum hand_task kind);

#endif
