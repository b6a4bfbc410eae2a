/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: the one privileged process of a daemon.  It has no event loop and
 * parses nothing from the network.  It reads the configuration and the secrets, binds the
 * sockets and keeps them, forks the children, watches their heartbeat, starts
 * again what died, and on SIGHUP starts a new generation.
 *
 * In run_directory: the sockets of the roles (0660, for the service user's group), control.sock
 * (0600) of the role "control", and NAME.pid.  run_directory, state_directory and, for a
 * frontend, queue.directory are made when they are not there.
 *
 * Signals: SIGHUP reload, SIGTERM/SIGINT end cleanly.
 */
#ifndef MAILSTEAD_SERVICE_SUPERVISOR_H
#define MAILSTEAD_SERVICE_SUPERVISOR_H

#include "common/service/child.h"

struct supervisor_role {
    const char *name; /* "worker" */
    bool is_per_core; /* workers: several, one set a generation; else one at any time */
    const char
        *socket_name; /* a SEQPACKET socket in run_directory that this role listens on, or NULL */
    unsigned secrets; /* enum config_secret that it keeps */
    bool (*is_wanted)(const struct config *config); /* NULL: it always runs */
    bool (*run)(struct child *child); /* true: ended as asked; false: failed, start again */
    /*
     * NULL: none.  Called while the child still has its privileges, but no secret and no other
     * descriptor any more: forks who must keep them, and sets child->helper_fd.  The helper ends
     * when the other end of that is gone.  False: the child cannot run.
     */
    bool (*start_helper)(struct child *child);
};

struct supervisor_program {
    const char *name; /* "mailstead-frontend" */
    enum config_program program;
    const struct supervisor_role *roles; /* in the order in which they are started; workers last */
    size_t role_count;
    /* Privileged preparation once before the first child and at each reload; NULL: none.  False:
     * cannot start. */
    bool (*prepare)(const struct config *config, char error[CONFIG_ERROR_SIZE]);
    /* A child whose loop runs and that shows none for so long is killed; 0: 10 seconds. */
    unsigned heartbeat_timeout_ms;
};

/*
 * Runs the whole daemon from main(): parses "-c FILE", "--logical-host NAME" (and
 * MAILSTEAD_LOGICAL_HOST), "--check", "--help", "--version".  The exit status: 0 ended as asked, 1 cannot
 * start (one line on standard error for each reason), 2 wrong usage.
 */
int supervisor_main(const struct supervisor_program *program, int argc, char **argv);

/* How many processes a generation has of each role that is_per_core: 1 or more. */
unsigned supervisor_worker_count(const struct config *config);

/* How many processes a generation has of this role; 0: `config` does not want it. */
unsigned supervisor_role_count(const struct supervisor_role *role, const struct config *config);

#endif
