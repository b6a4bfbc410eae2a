/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a child of the supervisor is given, and what it has to do: run one loop,
 * show its heartbeat, drain when asked (SIGUSR1: finish what is open, accept
 * until the backlog is empty, then end), end soon when told (SIGTERM).
 */
#ifndef MAILSTEAD_SERVICE_CHILD_H
#define MAILSTEAD_SERVICE_CHILD_H

#include "common/io/loop.h"
#include "common/service/board.h"
#include "common/service/config.h"

struct child {
    const struct config *config; /* of this generation; secrets of other roles are wiped */
    struct board *board;
    struct board_slot *slot; /* our own */
    int number;              /* of the worker, from 0; 0 otherwise */
    uint64_t generation;
    unsigned char ticket_key[80];
    const int *listen_fds;   /* workers: one a listener of config->listeners, in that order */
    int service_fd;          /* the listening SEQPACKET socket of the role, or -1 */
    int control_fd;          /* the listening stream socket of the role "control", or -1 */
    struct io_loop loop;
    /* Set by the role before child_run_loop: */
    void (*drain)(struct child *child);
    void (*stop)(struct child *child); /* must make the loop end within a second or two */
    void *context;
    /* ... own members below */
    uv_timer_t heartbeat;
    uv_signal_t signal_term, signal_usr1;
};

/* Starts heartbeat and signals, runs the loop until io_loop_stop or nothing is left, closes them. */
void child_run_loop(struct child *child);

/* The path of `name` in the run directory, "directory.sock" for instance. */
void child_run_path(const struct config *config, const char *name, char *path, size_t size);

#endif
