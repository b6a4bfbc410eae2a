/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand: what of the storage process keeps its privileges.  It is forked before the storage
 * process gives up its own, and does for it, on numbered tasks, what needs root or may hang: runs
 * the configured hooks, marks and claims storages and looks after them.  Each task is a process
 * of its own, in a group of its own, that can be killed; the hand itself touches no file system.
 *
 * It takes messages of fixed meaning over one socket pair, and nothing that anybody outside this
 * machine wrote but the names of servers, which it judges itself.  When the storage process is
 * gone it kills its tasks and ends.
 *
 *     storage process -> hand   HAND_START   number, kind, server, flag
 *                               HAND_SIGNAL  number, signal (SIGTERM to a keeper: release)
 *     hand -> storage process   HAND_TELLS   number, 1 all is well or 0, text: a hook's first words
 *                                            on standard error, or why a storage is not well
 *                               HAND_ENDED   number, 1 it succeeded or 0
 */
#ifndef MAILSTEAD_BACKEND_STORAGE_HAND_H
#define MAILSTEAD_BACKEND_STORAGE_HAND_H

#include "common/service/child.h"

enum hand_message { HAND_START = 1, HAND_SIGNAL, HAND_TELLS, HAND_ENDED };

enum hand_task {
    HAND_HOOK_ATTACH,
    HAND_HOOK_RELEASE,
    HAND_HOOK_STOP,
    HAND_HOOK_START,
    HAND_MARK,    /* makes the marker */
    HAND_KEEP,    /* claims the storage (flag: its holder was fenced) and stays until it is told to
                     go, or the storage is no longer well */
    HAND_DISCLAIM /* gives up what an earlier process of this node claimed */
};

enum { HAND_MESSAGE_MAX = 1024, HAND_TASKS_MAX = 192 };

/* struct supervisor_role's start_helper: forks the hand, if anything configured needs it. */
bool storage_hand_start(struct child *child);

#endif
