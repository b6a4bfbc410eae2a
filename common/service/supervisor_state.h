/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the supervisor (supervisor*.c) share. */
#ifndef MAILSTEAD_SERVICE_SUPERVISOR_STATE_H
#define MAILSTEAD_SERVICE_SUPERVISOR_STATE_H

#include "common/base/state.h"
#include "common/io/tls_tickets.h"
#include "common/service/supervisor.h"

enum {
    SUPERVISOR_ROLES_MAX = 8,
    SUPERVISOR_WORKERS_MAX = 64,
    ACCOUNT_GROUPS_MAX = 64,
    HEARTBEAT_TIMEOUT_MS = 10000,
    START_TIMEOUT_MS = 300000, /* until its loop runs: opening a large queue takes its time */
    END_GRACE_MS = 5000,       /* between SIGTERM and SIGKILL */
    LOCK_WAIT_MS = 2000,       /* for the children of a supervisor that was killed */
    LOCK_RETRY_MS = 20
};

/* The account that children run as. */
struct service_account {
    bool is_switched_to; /* false: the supervisor has no privileges to give up */
    uid_t uid;
    gid_t gid;
    gid_t groups[ACCOUNT_GROUPS_MAX];
    int group_count;
};

/* One listening TCP socket, for one worker number. */
struct listening_socket {
    struct list node;
    struct endpoint endpoint;
    unsigned number;
    uint64_t generation; /* the newest that wants it */
    int fd;
};

struct supervisor_sockets {
    struct list listening;              /* of struct listening_socket */
    int services[SUPERVISOR_ROLES_MAX]; /* by role; -1: none */
    int control;                        /* control.sock, or -1 */
};

enum process_state {
    PROCESS_WAITING, /* to be started at due_ms */
    PROCESS_RUNNING,
    PROCESS_DRAINING, /* SIGUSR1 sent; SIGTERM at due_ms */
    PROCESS_ENDING,   /* SIGTERM sent; SIGKILL at due_ms */
    PROCESS_KILLED    /* SIGKILL sent while it was ending or draining */
};

/* A child that is, or is to be: it keeps its number over deaths. */
struct process {
    struct list node; /* in supervisor->processes */
    const struct supervisor_role *role;
    unsigned number;
    uint64_t generation;
    struct state state;
    pid_t pid;               /* 0 while waiting */
    struct board_slot *slot; /* NULL while waiting */
    uint64_t started_ms;
    uint64_t due_ms;
    unsigned quick_deaths; /* in a row, soon after the start */
    bool is_hung;          /* killed because it showed no heartbeat */
    bool has_successor;    /* the only one of its role is started anew when it has ended */
};

struct supervisor {
    const struct supervisor_program *program;
    const char *config_file;
    pid_t pid;
    struct config *config;
    struct service_account account;
    bool follows_killed; /* the one before has not cleaned up */
    struct board *board;
    struct supervisor_sockets sockets;
    struct list processes;
    uint64_t generation;
    struct tls_tickets *tickets; /* NULL before all is prepared */
    int signal_fd;               /* signalfd(2) */
    int ready_fd;                /* eventfd(2), written by children whose loop runs */
    int lock_fd;                 /* the run directory, locked; or -1 */
    uint64_t last_turn_ms;
    uint64_t stalled_until_ms; /* no heartbeat is judged before */
    bool is_stopping;
    bool is_ready; /* this generation was announced as ready */
    bool reload_is_wanted;
};

/* supervisor_files.c: each false with `error` for the operator. */
bool supervisor_find_account(const struct config *config, struct service_account *account,
                             char error[CONFIG_ERROR_SIZE]);
bool supervisor_make_directories(const struct supervisor *supervisor, const struct config *config,
                                 char error[CONFIG_ERROR_SIZE]);
bool supervisor_lock(struct supervisor *supervisor, char error[CONFIG_ERROR_SIZE]);
void supervisor_unlock(struct supervisor *supervisor);

/* supervisor_sockets.c */
void supervisor_sockets_init(struct supervisor_sockets *sockets);
void supervisor_sockets_close(struct supervisor_sockets *sockets);
/* Makes the unix sockets of all roles. */
bool supervisor_open_services(struct supervisor *supervisor, char error[CONFIG_ERROR_SIZE]);
void supervisor_unlink_services(const struct supervisor *supervisor);
/*
 * Binds what `config` wants and is not there yet, for `generation`; nothing has
 * changed when it fails.  After it, keep closes what `generation` does not want.
 */
bool supervisor_bind(struct supervisor_sockets *sockets, const struct config *config,
                     unsigned workers, uint64_t generation, char error[CONFIG_ERROR_SIZE]);
void supervisor_keep_sockets(struct supervisor_sockets *sockets, const struct config *config,
                             unsigned workers, uint64_t generation);
/* The descriptor for a listener and a worker number, or -1. */
int supervisor_find_socket(const struct supervisor_sockets *sockets,
                           const struct endpoint *endpoint, unsigned number);

/* supervisor_processes.c */
/* Lists the processes of the roles for this generation; workers_only leaves the others alone. */
void supervisor_plan(struct supervisor *supervisor, bool workers_only);
/* Takes notice of every child that is gone. */
void supervisor_reap(struct supervisor *supervisor);
/* Starts, ends and kills what is due, and who shows no heartbeat. */
void supervisor_tend(struct supervisor *supervisor, uint64_t now_ms);
/* Milliseconds until the next is due, `limit_ms` at most. */
int supervisor_next_due_ms(const struct supervisor *supervisor, uint64_t now_ms, int limit_ms);
/* SIGTERM to all of them; those that wait are dropped. */
void supervisor_end_all(struct supervisor *supervisor, uint64_t now_ms);
/* At a reload: the only one of each role ends and is started anew; old workers that only wait are
 * dropped. */
void supervisor_succeed_singles(struct supervisor *supervisor, uint64_t now_ms);
/* SIGUSR1 to the workers of older generations. */
void supervisor_drain_old(struct supervisor *supervisor, uint64_t now_ms);
/*
 * Before a reload, so that two generations of workers live at most: true when no worker is on
 * its way out; those that are get SIGTERM.  A generation that never became ready beside
 * one that serves is told to end, too.
 */
bool supervisor_make_room(struct supervisor *supervisor, uint64_t now_ms);
/* True when every worker of this generation is there and its loop runs. */
bool supervisor_is_complete(const struct supervisor *supervisor);

/* supervisor_child.c: the rest of a forked child's life. */
void supervisor_run_child(struct supervisor *supervisor, struct process *process)
    __attribute__((noreturn));

/* supervisor_reload.c */
void supervisor_reload(struct supervisor *supervisor, uint64_t now_ms);

/* Sets the log to config->log_level. */
void supervisor_set_log_level(const struct config *config);

#endif
