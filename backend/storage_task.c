/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hook gets a clean environment, no descriptor of ours, and its words on standard error are read
 * to their end and dropped but for the first.  A keeper holds a storage's claim: it sleeps, looks,
 * and says so; when it is told to go it gives the claim up, when it is killed the claim
 * stays this node's.
 */
#include "backend/storage_task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/wire.h"

enum { WORDS_LOOK_MS = 50, CANNOT_EXECUTE = 127 };

static void task_tell(const struct storage_task *task, bool is_well, const char *text)
{
    char memory[HAND_MESSAGE_MAX];
    struct buffer out = buffer_over(memory, sizeof(memory));

    wire_put_u8(&out, HAND_TELLS);
    wire_put_u32(&out, task->number);
    wire_put_u8(&out, is_well);
    wire_put_span(&out, span_take(span_from_string(text), STORAGE_WHY_SIZE - 1));
    (void)send(task->hand_fd, out.data, out.length, MSG_NOSIGNAL);
}

/* --- hooks ---------------------------------------------------------------------------------- */

const char *storage_task_program(const struct storage_config *config, enum hand_task kind)
{
    switch (kind) {
    case HAND_HOOK_ATTACH:
        return config->attach_hook;
    case HAND_HOOK_RELEASE:
        return config->release_hook;
    case HAND_HOOK_STOP:
        return config->stop_hook;
    case HAND_HOOK_START:
        return config->start_hook;
    case HAND_MARK:
    case HAND_KEEP:
    case HAND_DISCLAIM:
        break;
    }
    return NULL;
}

static void set_environment(const struct storage_task *task)
{
    static const char *const orders[] = { [HAND_HOOK_ATTACH] = "attach",
                                          [HAND_HOOK_RELEASE] = "release",
                                          [HAND_HOOK_STOP] = "stop",
                                          [HAND_HOOK_START] = "start" };
    char path[STORAGE_PATH_SIZE] = "";

    if (task->place.config->directory)
        storage_path(task->place.config, task->place.server, path);
    clearenv();
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("LC_ALL", "C", 1);
    setenv("MAILSTEAD_ORDER", orders[task->kind], 1);
    setenv("MAILSTEAD_SERVER", task->place.server, 1);
    setenv("MAILSTEAD_NODE", task->place.node, 1);
    setenv("MAILSTEAD_STORAGE", path, 1);
}

/* In the hook's own process. */
static void hook_execute(const struct storage_task *task, const char *program, int words_fd)
{
    char *const arguments[] = { (char *)program, NULL };
    sigset_t none;
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (nothing >= 0)
        dup2(nothing, STDIN_FILENO);
    dup2(words_fd, STDOUT_FILENO);
    dup2(words_fd, STDERR_FILENO);
    set_environment(task);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(program, arguments);
    dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
    _exit(CANNOT_EXECUTE);
}

/* Adds what has come to the first words; false at the end of them. */
static bool words_read(int fd, struct buffer *words)
{
    char bytes[1024];
    ssize_t count = read(fd, bytes, sizeof(bytes));

    if (count < 0)
        return errno == EINTR || errno == EAGAIN;
    buffer_append(words, span_take(span_of(bytes, (size_t)count), buffer_room(words)));
    return count > 0;
}

/*
 * Waits for the hook, reading what it says, so that it never waits for us.  What it has started
 * in the background may keep the pipe: the hook's own end is the end.
 */
static int hook_wait(pid_t pid, int words_fd, struct buffer *words)
{
    struct pollfd wakers[] = { { .fd = words_fd, .events = POLLIN } };
    int status;

    for (;;) {
        if (wakers[0].fd < 0) {
            if (waitpid(pid, &status, 0) == pid)
                return status;
            continue;
        }
        if (poll(wakers, 1, WORDS_LOOK_MS) > 0 && !words_read(words_fd, words))
            wakers[0].fd = -1;
        else if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
    }
}

static void hook_tell_failure(const struct storage_task *task, int status, struct span words)
{
    char text[STORAGE_WHY_SIZE];
    struct span line = span_trim(span_split(&words, '\n'));

    if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "killed by signal %d: %.*s", WTERMSIG(status),
                 SPAN_PRINTF(line));
    else
        snprintf(text, sizeof(text), "status %d: %.*s", WEXITSTATUS(status), SPAN_PRINTF(line));
    task_tell(task, false, text);
}

static int hook_run(const struct storage_task *task)
{
    const char *program = storage_task_program(task->place.config, task->kind);
    char memory[STORAGE_WHY_SIZE / 2];
    struct buffer words = buffer_over(memory, sizeof(memory));
    int pipe_fds[2], status;
    pid_t pid;

    if (!program)
        return 0;
    if (pipe2(pipe_fds, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
        task_tell(task, false, strerror(errno));
        return 1;
    }
    if (pid == 0)
        hook_execute(task, program, pipe_fds[1]);
    close(pipe_fds[1]);
    status = hook_wait(pid, pipe_fds[0], &words);
    if (status != 0)
        hook_tell_failure(task, status, buffer_span(&words));
    return status == 0 ? 0 : 1;
}

/* --- the keeper ---------------------------------------------------------------------------------
 */

/* Sleeps; true when it is told to go. */
static bool keeper_sleep(int signal_fd, unsigned interval_s)
{
    struct pollfd waker = { .fd = signal_fd, .events = POLLIN };

    return poll(&waker, 1, (int)interval_s * 1000) > 0;
}

static int keeper_stay(const struct storage_task *task, const struct claim *claim, int signal_fd)
{
    char why[STORAGE_WHY_SIZE] = "";
    bool is_well = true;

    while (is_well) {
        task_tell(task, true, "");
        if (keeper_sleep(signal_fd, task->place.config->check_interval_s)) {
            is_well = claim_release(&task->place, claim, why);
            break;
        }
        is_well = claim_check(&task->place, claim, why);
    }
    if (!is_well)
        task_tell(task, false, why);
    return is_well ? 0 : 1;
}

static int keeper_run(const struct storage_task *task)
{
    char why[STORAGE_WHY_SIZE];
    struct claim claim;
    sigset_t term;
    int signal_fd;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_SETMASK, &term, NULL);
    signal_fd = signalfd(-1, &term, SFD_CLOEXEC);
    if (signal_fd < 0 || !claim_take(&task->place, task->flag, &claim, why)) {
        task_tell(task, false, signal_fd < 0 ? strerror(errno) : why);
        return 1;
    }
    return keeper_stay(task, &claim, signal_fd);
}

int storage_task_run(const struct storage_task *task)
{
    char why[STORAGE_WHY_SIZE] = "";
    bool is_done;

    switch (task->kind) {
    case HAND_KEEP:
        return keeper_run(task);
    case HAND_MARK:
        is_done = storage_mark(&task->place, why);
        break;
    case HAND_DISCLAIM:
        is_done = claim_disclaim(&task->place, why);
        break;
    default:
        return hook_run(task);
    }
    if (!is_done)
        task_tell(task, false, why);
    return is_done ? 0 : 1;
}
