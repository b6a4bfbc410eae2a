/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand's loop: it waits in poll(2) for orders and for the ends of its tasks.  Its tasks are
 * few, and none of them is waited for: one that cannot even be killed, since its file
 * system hangs, stays in the list until it is gone.
 */
#include "backend/storage_hand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/storage_task.h"
#include "common/base/log.h"
#include "common/base/wire.h"

enum { FIRST_OWN_FD = STDERR_FILENO + 1 };

struct running {
    uint32_t number; /* 0: the place is free */
    pid_t pid;       /* also of its group */
    enum hand_task kind;
    char server[BOARD_SERVER_SIZE];
};

struct hand {
    const struct config *config;
    int fd;        /* towards the storage process */
    int signal_fd; /* of SIGCHLD */
    struct running running[HAND_TASKS_MAX];
};

static void hand_tell_end(const struct hand *hand, uint32_t number, bool is_good)
{
    char memory[16];
    struct buffer out = buffer_over(memory, sizeof(memory));

    wire_put_u8(&out, HAND_ENDED);
    wire_put_u32(&out, number);
    wire_put_u8(&out, is_good);
    (void)send(hand->fd, out.data, out.length, MSG_NOSIGNAL);
}

/* --- tasks -------------------------------------------------------------------------------------
 */

static struct running *hand_find(struct hand *hand, uint32_t number)
{
    for (size_t i = 0; i < HAND_TASKS_MAX; i++)
        if (hand->running[i].number == number)
            return &hand->running[i];
    return NULL;
}

/* One that was given up since it hangs is still there: no more of its kind are added to it. */
static bool hand_may_start(struct hand *hand, const struct storage_task *task)
{
    for (size_t i = 0; i < HAND_TASKS_MAX; i++) {
        const struct running *other = &hand->running[i];

        if (other->number && other->kind == task->kind &&
            strcmp(other->server, task->place.server) == 0)
            return false;
    }
    return storage_server_is_good(task->place.server);
}

/* In the task's own process: nothing of the hand's is left to it but where it tells. */
static void task_begin(struct hand *hand, struct storage_task *task, pid_t hand_pid)
{
    sigset_t none;

    setsid();
    umask(0022);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != hand_pid)
        _exit(1);
    task->hand_fd = hand->fd;
    close(hand->signal_fd);
    _exit(storage_task_run(task));
}

static void hand_start_task(struct hand *hand, struct storage_task *task)
{
    struct running *place = hand_find(hand, 0);
    pid_t hand_pid = getpid(), pid = -1;

    if (place && hand_may_start(hand, task))
        pid = fork();
    if (pid == 0)
        task_begin(hand, task, hand_pid);
    if (pid < 0) {
        hand_tell_end(hand, task->number, false);
        return;
    }
    setpgid(pid, pid); /* as the task does itself: whoever is first */
    *place = (struct running){ .number = task->number, .pid = pid, .kind = task->kind };
    snprintf(place->server, sizeof(place->server), "%s", task->place.server);
}

/*
 * A keeper is told to go as a process; whatever is killed is killed as a group.  The place is kept
 * until it is reaped, so the number is no other process's yet.
 */
static void hand_signal_task(struct hand *hand, uint32_t number, int number_of_signal)
{
    const struct running *task = number ? hand_find(hand, number) : NULL;

    if (task && number_of_signal == SIGKILL)
        kill(-task->pid, SIGKILL);
    else if (task && number_of_signal == SIGTERM)
        kill(task->pid, SIGTERM);
}

static void hand_reap(struct hand *hand)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < HAND_TASKS_MAX; i++)
            if (hand->running[i].number && hand->running[i].pid == pid) {
                hand_tell_end(hand, hand->running[i].number, status == 0);
                hand->running[i].number = 0;
            }
}

/* --- orders --------------------------------------------------------------------------------------
 */

static void hand_take_start(struct hand *hand, struct wire_reader *reader)
{
    char server[BOARD_SERVER_SIZE];
    struct storage_task task = { .place = { &hand->config->storage, server,
                                            hand->config->node.name } };

    task.number = wire_get_u32(reader);
    task.kind = wire_get_u8(reader);
    wire_get_string(reader, server, sizeof(server));
    task.flag = wire_get_u8(reader) != 0;
    if (wire_reader_is_complete(reader) && task.number && task.kind <= HAND_DISCLAIM)
        hand_start_task(hand, &task);
}

static void hand_take_signal(struct hand *hand, struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);
    int number_of_signal = wire_get_u8(reader);

    if (wire_reader_is_complete(reader))
        hand_signal_task(hand, number, number_of_signal);
}

/* Takes one message; false when the storage process is gone. */
static bool hand_take(struct hand *hand)
{
    char memory[HAND_MESSAGE_MAX];
    ssize_t count = recv(hand->fd, memory, sizeof(memory), 0);
    struct wire_reader reader;

    if (count <= 0)
        return count < 0 && errno == EINTR;
    reader = wire_reader_over(span_of(memory, (size_t)count));
    switch (wire_get_u8(&reader)) {
    case HAND_START:
        hand_take_start(hand, &reader);
        break;
    case HAND_SIGNAL:
        hand_take_signal(hand, &reader);
        break;
    default:
        break;
    }
    return true;
}

/* --- life
 * -------------------------------------------------------------------------------------------
 */

static void hand_kill_all(struct hand *hand)
{
    for (size_t i = 0; i < HAND_TASKS_MAX; i++)
        if (hand->running[i].number)
            kill(-hand->running[i].pid, SIGKILL);
}

static void hand_run(struct hand *hand)
{
    struct pollfd wakers[] = { { .fd = hand->fd, .events = POLLIN },
                               { .fd = hand->signal_fd, .events = POLLIN } };
    struct signalfd_siginfo signal;
    bool is_wanted = true;

    while (is_wanted) {
        if (poll(wakers, 2, -1) < 0 && errno != EINTR)
            break;
        if (wakers[1].revents & POLLIN)
            (void)!read(hand->signal_fd, &signal, sizeof(signal)); /* one may stand for many */
        hand_reap(hand);
        if (wakers[0].revents)
            is_wanted = hand_take(hand);
    }
    hand_kill_all(hand);
}

/* SIGTERM is for the storage process, whose end is ours. */
static int hand_open_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

static void hand_main(const struct config *config, int fd)
{
    struct hand hand = { .config = config, .fd = FIRST_OWN_FD };

    log_set_process("mailstead-backend storage-hand");
    prctl(PR_SET_NAME, "storage-hand", 0, 0, 0);
    if (dup3(fd, FIRST_OWN_FD, O_CLOEXEC) < 0 && fd != FIRST_OWN_FD)
        _exit(1);
    close_range(FIRST_OWN_FD + 1, ~0U, 0);
    hand.signal_fd = hand_open_signals();
    if (hand.signal_fd >= 0)
        hand_run(&hand);
    _exit(0);
}

static bool storage_needs_hand(const struct storage_config *config)
{
    return config->kind != STORAGE_NONE || config->stop_hook || config->start_hook;
}

bool storage_hand_start(struct child *child)
{
    int fds[2];
    pid_t pid;

    if (!storage_needs_hand(&child->config->storage))
        return true;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    pid = fork();
    if (pid == 0)
        hand_main(child->config, fds[1]);
    close(fds[1]);
    child->helper_fd = fds[0];
    return pid > 0;
}
