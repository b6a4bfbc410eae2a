/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sessions of a backend node use which storages, so that none is given up while one does.
 *
 * A login uses its account's storage from the moment it is let through until its store has closed
 * the connection; a transaction for mail those of its recipients until it is over.  The board has
 * the numbers (node_board.h).  When a storage is not attached any more, because it is released or
 * is not well, the watch asks all that use it to go, at once: logins when the store has done what
 * it was told, mail that the store has whole when that was answered.
 */
#ifndef MAILSTEAD_SESSION_STORAGE_USE_H
#define MAILSTEAD_SESSION_STORAGE_USE_H

#include "common/session/session_walk.h"

struct storage_watch {
    struct session_service *service;
    uv_timer_t timer;
    struct session_walk walk;
    uint64_t lost; /* the storages that the walk is for; 0: there is none */
    size_t parted;
    void (*stopped)(struct storage_watch *watch);
};

/* `session` uses the storage with this number (0: none) from now on; false when it may not. */
bool session_use_storage(struct session *session, unsigned number)
    __attribute__((warn_unused_result));

/* It uses none any more; idempotent. */
void session_leave_storages(struct session *session);

/* Asks it to go: one that uses storages when the store has done with it, any other at once. */
void session_part(struct session *session, const char *reason);

/* Asks sessions to go as said above, from now on.  It does not keep the loop alive. */
void storage_watch_start(struct storage_watch *watch, struct session_service *service);

/* Ends it; `stopped` comes from the loop. */
void storage_watch_stop(struct storage_watch *watch, void (*stopped)(struct storage_watch *watch));

#endif
