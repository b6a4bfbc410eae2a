/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking.  What the program leaves running in the background when it succeeds is its own affair;
 * it is not waited for.
 */
#include "admin/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/span.h"

enum { FENCE_TAIL_SIZE = 256, FENCE_VARIABLE_SIZE = 400, FENCE_LAST_READS = 20 };

/* The end of what it wrote. */
struct tail {
    char text[FENCE_TAIL_SIZE];
    size_t length;
};

static void tail_add(struct tail *tail, const char *text, size_t length)
{
    size_t excess;

    if (length > sizeof(tail->text)) {
        text += length - sizeof(tail->text);
        length = sizeof(tail->text);
    }
    excess =
        tail->length + length > sizeof(tail->text) ? tail->length + length - sizeof(tail->text) : 0;
    memmove(tail->text, tail->text + excess, tail->length - excess);
    memcpy(tail->text + tail->length - excess, text, length);
    tail->length += length - excess;
}

/* The last line that is not empty. */
static struct span tail_line(const struct tail *tail)
{
    struct span all = span_of(tail->text, tail->length);
    size_t start;

    while (all.length > 0 && (unsigned char)all.data[all.length - 1] <= ' ')
        all.length--;
    start = span_find_last(all, '\n');
    return start < all.length ? span_drop(all, start + 1) : all;
}

/* -1 and errno; `output` becomes its standard output and error. */
static pid_t fence_spawn(const struct fence *fence, int output)
{
    char node[FENCE_VARIABLE_SIZE], address[FENCE_VARIABLE_SIZE];
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char action[] = "MAILSTEAD_ACTION=off";
    char *environment[] = { path, action, node, address, NULL };
    char *arguments[] = { (char *)fence->program, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    pid_t pid;

    snprintf(node, sizeof(node), "MAILSTEAD_NODE=%s", fence->node);
    snprintf(address, sizeof(address), "MAILSTEAD_ADDRESS=%s", fence->address);
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    errno = posix_spawn(&pid, fence->program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return errno == 0 ? pid : -1;
}

/* Takes some of what has been written; false when there is no more to come. */
static bool fence_read(int output, struct tail *tail)
{
    char text[4096];
    ssize_t length = read(output, text, sizeof(text));

    if (length > 0)
        tail_add(tail, text, (size_t)length);
    return length > 0 || (length < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Until it ends; false at the deadline. */
static bool fence_wait(int process, int output, uint64_t deadline_ms, struct tail *tail)
{
    struct pollfd watched[] = { { .fd = process, .events = POLLIN },
                                { .fd = output, .events = POLLIN } };

    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();

        if (now_ms >= deadline_ms)
            return false;
        if (poll(watched, 2, (int)(deadline_ms - now_ms)) < 0 && errno != EINTR)
            return false;
        if (watched[1].revents && !fence_read(output, tail))
            watched[1].fd = -1;
        if (watched[0].revents)
            return true;
    }
}

static void fence_tell(const struct fence *fence, const struct tail *tail, const char *what,
                       char why[FENCE_WHY_SIZE])
{
    struct span line = tail_line(tail);

    snprintf(why, FENCE_WHY_SIZE, "%.200s %s%s%.*s", fence->program, what,
             line.length > 0 ? ": " : "", (int)line.length, line.length > 0 ? line.data : "");
}

static bool fence_judge(const struct fence *fence, int status, const struct tail *tail,
                        char why[FENCE_WHY_SIZE])
{
    char what[64];

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFEXITED(status))
        snprintf(what, sizeof(what), "ended with status %d", WEXITSTATUS(status));
    else
        snprintf(what, sizeof(what), "was killed by signal %d", WTERMSIG(status));
    fence_tell(fence, tail, what, why);
    return false;
}

static bool fence_follow(const struct fence *fence, pid_t pid, int process, int output,
                         char why[FENCE_WHY_SIZE])
{
    struct tail tail = { .length = 0 };
    bool has_ended = fence_wait(process, output, clock_monotonic_ms() + fence->timeout_ms, &tail);
    int status = 0;

    if (!has_ended)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    for (unsigned i = 0; has_ended && i < FENCE_LAST_READS && fence_read(output, &tail); i++)
        ; /* what it wrote last */
    if (has_ended)
        return fence_judge(fence, status, &tail, why);
    fence_tell(fence, &tail, "did not end in time and was killed", why);
    return false;
}

bool fence_run(const struct fence *fence, char why[FENCE_WHY_SIZE])
{
    bool is_off = false;
    int output[2], process;
    pid_t pid;

    if (pipe2(output, O_CLOEXEC | O_NONBLOCK) != 0) {
        snprintf(why, FENCE_WHY_SIZE, "no pipe: %s", strerror(errno));
        return false;
    }
    fcntl(output[1], F_SETFL, 0); /* the program's end is an ordinary one */
    pid = fence_spawn(fence, output[1]);
    close(output[1]);
    process = pid > 0 ? pidfd_open(pid, 0) : -1;
    if (pid < 0) {
        snprintf(why, FENCE_WHY_SIZE, "%.200s cannot be run: %s", fence->program, strerror(errno));
    } else if (process < 0) {
        snprintf(why, FENCE_WHY_SIZE, "it cannot be watched: %s", strerror(errno));
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
    } else {
        is_off = fence_follow(fence, pid, process, output[0], why);
        close(process);
    }
    close(output[0]);
    return is_off;
}
