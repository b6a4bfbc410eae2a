/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a child of the supervisor is given, and what it has to do: run one loop,
 * show its heartbeat, drain when asked (SIGUSR1: finish what is open, accept
 * until the backlog is empty, then end), end soon when told (SIGTERM).
 *
 * A role's run function starts its own things on child->loop, sets drain and
 * stop, calls child_run_loop, and closes what it started; the supervisor's part of the
 * child makes the loop before it and takes it down after it, running the last close events.
 */
#ifndef MAILSTEAD_SERVICE_CHILD_H
#define MAILSTEAD_SERVICE_CHILD_H

#include "common/io/loop.h"
#include "common/io/tls_tickets.h"
#include "common/service/board.h"
#include "common/service/config.h"

struct supervisor_program;

struct child {
    const struct supervisor_program *program;
    const struct config *config; /* of this generation; secrets of other roles are wiped */
    struct board *board;
    struct board_slot *slot; /* our own */
    int number;              /* of the worker, from 0; 0 otherwise */
    uint64_t generation;
    struct tls_tickets *tickets; /* read-only; NULL for a role without CONFIG_SECRET_TLS_KEY */
    int *listen_fds; /* workers: one a listener of config->listeners, in that order; -1 when closed
                      */
    int service_fd;  /* the listening SEQPACKET socket of the role, or -1 */
    int control_fd;  /* the listening stream socket of the role "control", or -1 */
    int helper_fd;   /* towards what the role's start_helper made, or -1 */
    int admin_fd;    /* the listening TCP socket of the role "admin", or -1 */
    struct io_loop loop;
    /* Set by the role before child_run_loop: */
    void (*drain)(struct child *child); /* NULL: as stop */
    void (*stop)(struct child *
                     child); /* must make the loop end within a second or two; NULL: io_loop_stop */
    void *context;
    /* ... own members below */
    int ready_fd; /* an eventfd that wakes the supervisor, or -1 */
    uv_timer_t heartbeat;
    uv_signal_t signal_term, signal_usr1;
};

/*
 * Starts heartbeat and signals, tells the supervisor that this process is ready, runs the loop
 * until io_loop_stop, or until nothing of the role is left after drain or stop was called; closes
 * them.
 */
void child_run_loop(struct child *child);

/*
 * Closes the listening sockets of a worker.  To be called once a draining worker has stopped its
 * listeners with their backlogs empty: a socket that the new generation does not have is
 * gone then, and the kernel gives it no more connections; the others live on in the new workers.
 */
void child_close_listeners(struct child *child);

/* The path of `name` in the run directory, "directory.sock" for instance. */
void child_run_path(const struct config *config, const char *name, char *path, size_t size);

#endif
