/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From fork(2) to the role: a child gives up everything that it does not need
 * (descriptors, privileges, secrets) before it runs a line of its role.  When any of that
 * fails it says so and ends; it never runs with more than it should have.
 */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/service/confine.h"
#include "common/service/logical_host.h"
#include "common/service/supervisor_state.h"

enum { KEPT_MAX = 1024, FIRST_OWN_FD = STDERR_FILENO + 1 };

/* The descriptors that a child keeps. */
struct kept {
    int fds[KEPT_MAX];
    size_t count;
};

static void fail(const char *what)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "child_cannot_run", LOG_TEXT("failed", what),
              LOG_TEXT("error", strerror(errno)));
    _exit(1);
}

static void keep(struct kept *kept, int fd)
{
    if (fd < 0)
        return;
    if (kept->count == KEPT_MAX) {
        errno = EMFILE;
        fail("keeping descriptors");
    }
    kept->fds[kept->count++] = fd;
}

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Closes the others: the signals' descriptor and the sockets of other processes. */
static void close_others(struct kept *kept)
{
    unsigned next = FIRST_OWN_FD;

    qsort(kept->fds, kept->count, sizeof(kept->fds[0]), compare_fds);
    for (size_t i = 0; i < kept->count; i++) {
        unsigned fd = (unsigned)kept->fds[i];

        if (fd > next)
            close_range(next, fd - 1, 0);
        next = fd + 1;
    }
    close_range(next, ~0U, 0);
}

/* SIGTERM and SIGUSR1 stay blocked until child_run_loop can answer them. */
static void reset_signals(void)
{
    sigset_t blocked;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* of a terminal: the supervisor answers for all */
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static void drop_privileges(const struct service_account *account)
{
    if (!account->is_switched_to)
        return;
    if (setgroups((size_t)account->group_count, account->groups) != 0)
        fail("setgroups");
    if (setresgid(account->gid, account->gid, account->gid) != 0)
        fail("setresgid");
    if (setresuid(account->uid, account->uid, account->uid) != 0)
        fail("setresuid");
    if (setuid(0) == 0 || geteuid() != account->uid || getegid() != account->gid)
        fail("giving up root");
}

/* After the change of user, which resets two of these; we end with the supervisor. */
static void confine(pid_t supervisor_pid)
{
    umask(0077);
    if (!confine_privileges())
        fail("giving up capabilities");
    if (!confine_memory())
        fail("forbidding core files");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        fail("pdeathsig");
    if (getppid() != supervisor_pid) /* it was gone before */
        _exit(1);
}

static void keep_secrets(struct supervisor *supervisor, struct child *child, unsigned secrets)
{
    config_wipe_secrets(supervisor->config, secrets);
    if (secrets & CONFIG_SECRET_TLS_KEY) {
        tls_tickets_protect(supervisor->tickets);
        child->tickets = supervisor->tickets;
    } else {
        tls_tickets_free(supervisor->tickets);
    }
    supervisor->tickets = NULL;
}

/* Picks this child's sockets; all others are closed. */
static void take_sockets(struct supervisor *supervisor, const struct process *process,
                         struct child *child)
{
    const struct supervisor_sockets *sockets = &supervisor->sockets;
    const struct config *config = supervisor->config;
    struct kept kept = { .count = 0 };

    child->service_fd = sockets->services[process->role - supervisor->program->roles];
    child->control_fd = strcmp(process->role->name, "control") == 0 ? sockets->control : -1;
    keep(&kept, supervisor->lock_fd);
    keep(&kept, supervisor->ready_fd);
    keep(&kept, child->service_fd);
    keep(&kept, child->control_fd);
    child->admin_fd = -1;
    if (strcmp(process->role->name, "admin") == 0)
        child->admin_fd = supervisor_find_socket(sockets, &config->admin_port.endpoint, 0);
    keep(&kept, child->admin_fd);
    if (process->role->is_per_core && config->listener_count > 0) {
        child->listen_fds = memory_new(config->listener_count * sizeof(child->listen_fds[0]));
        for (size_t i = 0; i < config->listener_count; i++) {
            child->listen_fds[i] =
                supervisor_find_socket(sockets, &config->listeners[i].endpoint, process->number);
            keep(&kept, child->listen_fds[i]);
        }
    }
    close_others(&kept);
}

static void name_process(const struct supervisor *supervisor, const struct process *process)
{
    char title[64], name[128];

    logical_host_title(supervisor->program->name, title, sizeof(title));
    if (process->role->is_per_core)
        snprintf(name, sizeof(name), "%s %s-%u", title, process->role->name, process->number);
    else
        snprintf(name, sizeof(name), "%s %s", title, process->role->name);
    log_set_process(name);
    snprintf(name, sizeof(name), "%s-%u", process->role->name, process->number);
    prctl(PR_SET_NAME, name, 0, 0, 0); /* for ps and top; cut at 15 bytes */
}

void supervisor_run_child(struct supervisor *supervisor, struct process *process)
{
    struct child *child = memory_new(sizeof(*child));
    bool has_ended_well;

    reset_signals();
    name_process(supervisor, process);
    *child = (struct child){ .program = supervisor->program,
                             .config = supervisor->config,
                             .board = supervisor->board,
                             .slot = process->slot,
                             .number = (int)process->number,
                             .generation = process->generation,
                             .helper_fd = -1,
                             .ready_fd = supervisor->ready_fd };
    atomic_store(&child->slot->pid, getpid());
    take_sockets(supervisor, process, child);
    keep_secrets(supervisor, child, process->role->secrets);
    if (process->role->start_helper && !process->role->start_helper(child))
        fail("starting a helper");
    drop_privileges(&supervisor->account);
    confine(supervisor->pid);
    io_loop_init(&child->loop);
    has_ended_well = process->role->run(child);
    io_loop_fini(&child->loop);
    config_free(supervisor->config);
    tls_tickets_free(child->tickets);
    free(child->listen_fds);
    free(child);
    exit(has_ended_well ? 0 : 1);
}
