/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the children as the supervisor sees it.  A child that dies unasked is
 * started again, later and later while it dies soon after its start; one that
 * shows no heartbeat is killed first.  Whatever ends is one line in the log.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/supervisor_state.h"

enum {
    QUICK_DEATH_MS = 5000,
    RESTART_DELAY_MS = 100, /* after the first quick death; doubled by each more */
    RESTART_DELAY_MAX_MS = 10000,
    STALL_MS = 3000 /* a turn of ours that late says nothing about the children */
};

static const struct state_row process_states[] = {
    [PROCESS_WAITING] = { "waiting", STATE_BIT(PROCESS_RUNNING) },
    [PROCESS_RUNNING] = { "running", STATE_BIT(PROCESS_WAITING) | STATE_BIT(PROCESS_DRAINING) |
                                         STATE_BIT(PROCESS_ENDING) },
    [PROCESS_DRAINING] = { "draining", STATE_BIT(PROCESS_ENDING) | STATE_BIT(PROCESS_KILLED) },
    [PROCESS_ENDING] = { "ending", STATE_BIT(PROCESS_WAITING) | STATE_BIT(PROCESS_KILLED) },
    [PROCESS_KILLED] = { "killed", STATE_BIT(PROCESS_WAITING) },
};

unsigned supervisor_worker_count(const struct config *config)
{
    long cores = config->workers > 0 ? (long)config->workers : sysconf(_SC_NPROCESSORS_ONLN);

    if (cores < 1)
        return 1;
    return cores < SUPERVISOR_WORKERS_MAX ? (unsigned)cores : SUPERVISOR_WORKERS_MAX;
}

unsigned supervisor_role_count(const struct supervisor_role *role, const struct config *config)
{
    if (role->is_wanted && !role->is_wanted(config))
        return 0;
    return role->is_per_core ? supervisor_worker_count(config) : 1;
}

static void plan_process(struct supervisor *supervisor, const struct supervisor_role *role,
                         unsigned number)
{
    struct process *process = memory_new(sizeof(*process));

    process->role = role;
    process->number = number;
    process->generation = supervisor->generation;
    state_init(&process->state, process_states, PROCESS_WAITING);
    list_append(&supervisor->processes, &process->node);
}

void supervisor_plan(struct supervisor *supervisor, bool workers_only)
{
    const struct supervisor_program *program = supervisor->program;

    for (size_t i = 0; i < program->role_count; i++) {
        const struct supervisor_role *role = &program->roles[i];
        unsigned count = supervisor_role_count(role, supervisor->config);

        if (workers_only && !role->is_per_core)
            continue;
        for (unsigned number = 0; number < count; number++)
            plan_process(supervisor, role, number);
    }
}

static void free_process(struct process *process)
{
    list_remove(&process->node);
    free(process);
}

#define LOG_PROCESS(process)                                                                       \
    LOG_TEXT("role", (process)->role->name), LOG_INTEGER("number", (process)->number),             \
        LOG_INTEGER("pid", (process)->pid), LOG_INTEGER("generation", (process)->generation)

/* The start did not work, or it died: again, later when it is not the first time. */
static void wait_for_restart(struct process *process, uint64_t now_ms)
{
    uint64_t delay_ms = 0;

    if (process->quick_deaths > 0) {
        unsigned doublings = process->quick_deaths - 1 < 10 ? process->quick_deaths - 1 : 10;

        delay_ms = (uint64_t)RESTART_DELAY_MS << doublings;
        if (delay_ms > RESTART_DELAY_MAX_MS)
            delay_ms = RESTART_DELAY_MAX_MS;
    }
    process->due_ms = now_ms + delay_ms;
}

static void fill_slot(struct board_slot *slot, const struct supervisor *supervisor,
                      const struct process *process, uint64_t now_ms)
{
    atomic_store(&slot->heartbeat_ms, now_ms);
    atomic_store(&slot->generation, process->generation);
    atomic_store(&slot->role, (int)(process->role - supervisor->program->roles));
    atomic_store(&slot->number, (int)process->number);
}

static void start_process(struct supervisor *supervisor, struct process *process, uint64_t now_ms)
{
    struct board_slot *slot = board_take_slot(supervisor->board);
    pid_t pid = -1;

    process->started_ms = now_ms;
    if (slot) {
        process->slot = slot;
        fill_slot(slot, supervisor, process, now_ms);
        pid = fork();
    }
    if (pid == 0)
        supervisor_run_child(supervisor, process);
    if (pid < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "child_not_started", LOG_TEXT("role", process->role->name),
                  LOG_INTEGER("number", process->number),
                  LOG_TEXT("error", slot ? strerror(errno) : "the board is full"));
        process->slot = NULL;
        process->quick_deaths++;
        wait_for_restart(process, now_ms);
        return;
    }
    process->pid = pid;
    process->is_hung = false;
    atomic_store(&slot->pid, pid);
    state_move(&process->state, PROCESS_RUNNING);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "child_started", LOG_PROCESS(process));
}

static void log_end(const struct process *process, int status, bool is_expected)
{
    enum log_level level = is_expected ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR;
    const char *event = is_expected ? "child_ended" : "child_died";

    if (WIFSIGNALED(status))
        LOG_EVENT(level, NULL, event, LOG_PROCESS(process), LOG_INTEGER("signal", WTERMSIG(status)),
                  LOG_TEXT("name", sigabbrev_np(WTERMSIG(status))));
    else
        LOG_EVENT(level, NULL, event, LOG_PROCESS(process),
                  LOG_INTEGER("status", WEXITSTATUS(status)));
}

/* Back to the state before its start, its counts kept. */
static void take_down(struct supervisor *supervisor, struct process *process)
{
    board_retire_slot(supervisor->board, process->slot);
    process->slot = NULL;
    process->pid = 0;
    state_move(&process->state, PROCESS_WAITING);
}

static void end_process(struct supervisor *supervisor, struct process *process, int status,
                        uint64_t now_ms)
{
    bool was_running = process->state.current == PROCESS_RUNNING;
    bool is_old = process->generation < supervisor->generation;

    log_end(process, status, !was_running);
    if (was_running && !is_old) {
        bool was_quick = now_ms - process->started_ms < QUICK_DEATH_MS;

        process->quick_deaths = was_quick ? process->quick_deaths + 1 : 0;
        take_down(supervisor, process);
        wait_for_restart(process, now_ms);
    } else if (process->has_successor && !supervisor->is_stopping) {
        take_down(supervisor, process);
        process->has_successor = false;
        process->quick_deaths = 0;
        process->generation = supervisor->generation;
        process->due_ms = now_ms;
    } else {
        board_retire_slot(supervisor->board, process->slot);
        free_process(process);
    }
}

static struct process *find_process(const struct supervisor *supervisor, pid_t pid)
{
    LIST_EACH (node, &supervisor->processes) {
        struct process *process = LIST_ELEMENT(node, struct process, node);

        if (process->pid == pid)
            return process;
    }
    return NULL;
}

void supervisor_reap(struct supervisor *supervisor)
{
    uint64_t now_ms = clock_monotonic_ms();
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct process *process = find_process(supervisor, pid);

        if (process)
            end_process(supervisor, process, status, now_ms);
    }
}

static void tell_to_end(struct process *process, uint64_t now_ms)
{
    state_move(&process->state, PROCESS_ENDING);
    process->due_ms = now_ms + END_GRACE_MS;
    kill(process->pid, SIGTERM);
}

static void kill_process(struct process *process, const char *reason)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "child_killed", LOG_PROCESS(process),
              LOG_TEXT("reason", reason));
    kill(process->pid, SIGKILL);
}

static void tend_heartbeat(struct supervisor *supervisor, struct process *process, uint64_t now_ms)
{
    unsigned timeout_ms = supervisor->program->heartbeat_timeout_ms;
    uint64_t heartbeat_ms = atomic_load(&process->slot->heartbeat_ms);

    if (timeout_ms == 0)
        timeout_ms = HEARTBEAT_TIMEOUT_MS;
    if (!atomic_load(&process->slot->is_ready))
        timeout_ms = START_TIMEOUT_MS;
    if (process->is_hung || now_ms < supervisor->stalled_until_ms ||
        now_ms < heartbeat_ms + timeout_ms)
        return;
    kill_process(process, "no heartbeat");
    process->is_hung = true;
}

static void tend_process(struct supervisor *supervisor, struct process *process, uint64_t now_ms)
{
    bool is_due = now_ms >= process->due_ms;

    switch (process->state.current) {
    case PROCESS_WAITING:
        if (is_due)
            start_process(supervisor, process, now_ms);
        break;
    case PROCESS_RUNNING:
        tend_heartbeat(supervisor, process, now_ms);
        break;
    case PROCESS_DRAINING:
        if (is_due)
            tell_to_end(process, now_ms);
        else
            tend_heartbeat(supervisor, process, now_ms);
        break;
    case PROCESS_ENDING:
        if (is_due) {
            kill_process(process, "did not end when told");
            state_move(&process->state, PROCESS_KILLED);
        }
        break;
    default:
        break;
    }
}

void supervisor_tend(struct supervisor *supervisor, uint64_t now_ms)
{
    /* The whole machine stood still, not the children: they get their time anew. */
    if (supervisor->last_turn_ms > 0 && now_ms - supervisor->last_turn_ms > STALL_MS)
        supervisor->stalled_until_ms = now_ms + STALL_MS;
    supervisor->last_turn_ms = now_ms;
    LIST_EACH (node, &supervisor->processes) {
        tend_process(supervisor, LIST_ELEMENT(node, struct process, node), now_ms);
    }
}

int supervisor_next_due_ms(const struct supervisor *supervisor, uint64_t now_ms, int limit_ms)
{
    LIST_EACH (node, &supervisor->processes) {
        const struct process *process = LIST_ELEMENT(node, struct process, node);
        unsigned state = process->state.current;

        if (state == PROCESS_RUNNING || state == PROCESS_KILLED)
            continue;
        if (process->due_ms <= now_ms)
            return 0;
        if (process->due_ms - now_ms < (uint64_t)limit_ms)
            limit_ms = (int)(process->due_ms - now_ms);
    }
    return limit_ms;
}

static bool process_is_old(const struct supervisor *supervisor, const struct process *process)
{
    return process->role->is_per_core && process->generation < supervisor->generation;
}

void supervisor_end_all(struct supervisor *supervisor, uint64_t now_ms)
{
    LIST_EACH (node, &supervisor->processes) {
        struct process *process = LIST_ELEMENT(node, struct process, node);

        if (process->state.current == PROCESS_WAITING)
            free_process(process);
        else if (process->state.current == PROCESS_RUNNING ||
                 process->state.current == PROCESS_DRAINING)
            tell_to_end(process, now_ms);
    }
}

/* The only one of its role ends, and is started anew if it `is_wanted`. */
static void succeed_single(struct supervisor *supervisor, struct process *process, bool is_wanted,
                           uint64_t now_ms)
{
    if (process->state.current == PROCESS_WAITING && !is_wanted) {
        free_process(process);
        return;
    }
    if (process->state.current == PROCESS_WAITING) {
        process->generation = supervisor->generation;
        process->due_ms = now_ms;
        return;
    }
    process->has_successor = is_wanted;
    if (process->state.current == PROCESS_RUNNING)
        tell_to_end(process, now_ms);
}

static bool has_process(const struct supervisor *supervisor, const struct supervisor_role *role)
{
    LIST_EACH (node, &supervisor->processes) {
        if (LIST_ELEMENT(node, struct process, node)->role == role)
            return true;
    }
    return false;
}

/* Those that the configuration did not want before. */
static void plan_new_singles(struct supervisor *supervisor)
{
    const struct supervisor_program *program = supervisor->program;

    for (size_t i = 0; i < program->role_count; i++) {
        const struct supervisor_role *role = &program->roles[i];

        if (!role->is_per_core && supervisor_role_count(role, supervisor->config) > 0 &&
            !has_process(supervisor, role))
            plan_process(supervisor, role, 0);
    }
}

void supervisor_succeed_singles(struct supervisor *supervisor, uint64_t now_ms)
{
    LIST_EACH (node, &supervisor->processes) {
        struct process *process = LIST_ELEMENT(node, struct process, node);

        if (!process->role->is_per_core)
            succeed_single(supervisor, process,
                           supervisor_role_count(process->role, supervisor->config) > 0, now_ms);
        else if (process_is_old(supervisor, process) && process->state.current == PROCESS_WAITING)
            free_process(process);
    }
    plan_new_singles(supervisor);
}

void supervisor_drain_old(struct supervisor *supervisor, uint64_t now_ms)
{
    uint64_t drain_ms = (uint64_t)supervisor->config->timeout.drain_s * 1000;

    LIST_EACH (node, &supervisor->processes) {
        struct process *process = LIST_ELEMENT(node, struct process, node);

        if (!process_is_old(supervisor, process) || process->state.current != PROCESS_RUNNING)
            continue;
        state_move(&process->state, PROCESS_DRAINING);
        process->due_ms = now_ms + drain_ms;
        kill(process->pid, SIGUSR1);
    }
}

/* Tells the workers that drain to end; true when none is left that is on its way out. */
static bool hurry_leaving(struct supervisor *supervisor, uint64_t now_ms)
{
    bool none_leaves = true;

    LIST_EACH (node, &supervisor->processes) {
        struct process *process = LIST_ELEMENT(node, struct process, node);
        unsigned state = process->state.current;

        if (!process->role->is_per_core || state == PROCESS_WAITING || state == PROCESS_RUNNING)
            continue;
        none_leaves = false;
        if (state == PROCESS_DRAINING)
            tell_to_end(process, now_ms);
    }
    return none_leaves;
}

static bool has_old(const struct supervisor *supervisor)
{
    LIST_EACH (node, &supervisor->processes) {
        if (process_is_old(supervisor, LIST_ELEMENT(node, struct process, node)))
            return true;
    }
    return false;
}

bool supervisor_make_room(struct supervisor *supervisor, uint64_t now_ms)
{
    if (!hurry_leaving(supervisor, now_ms))
        return false;
    if (supervisor->is_ready || !has_old(supervisor))
        return true;
    LIST_EACH (node, &supervisor->processes) {
        struct process *process = LIST_ELEMENT(node, struct process, node);

        if (process->role->is_per_core && process->generation == supervisor->generation &&
            process->state.current == PROCESS_RUNNING)
            tell_to_end(process, now_ms);
    }
    return true;
}

bool supervisor_is_complete(const struct supervisor *supervisor)
{
    LIST_EACH (node, &supervisor->processes) {
        const struct process *process = LIST_ELEMENT(node, struct process, node);

        if (!process->role->is_per_core || process_is_old(supervisor, process))
            continue;
        if (process->state.current != PROCESS_RUNNING || !atomic_load(&process->slot->is_ready))
            return false;
    }
    return true;
}
