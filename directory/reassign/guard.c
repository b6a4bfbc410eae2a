/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child of a process that may have threads: it calls nothing but what may be called in a signal
 * handler, and only ends.  It learns of its parent's end from the socket between them, and what was
 * under way then from memory that both share.
 */
#include "directory/reassign/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/memory.h"

enum {
    GUARD_QUIET_MS = 500,     /* without input: the server is through */
    GUARD_COMMIT_MS = 300000, /* for the end of a transaction */
    GUARD_STEP_MS = 50
};

struct guarded {
    atomic_bool is_ending;
};

/* Shared by both processes. */
struct guard_board {
    struct guarded guarded[GUARD_CONNECTIONS_MAX];
};

struct guard {
    pid_t pid;
    int socket; /* to the child */
    size_t count;
    struct guard_board *board;
};

/* The child's. */
struct guard_child {
    int socket;
    struct guard_board *board;
    size_t count;
    int fds[GUARD_CONNECTIONS_MAX];
};

/* --- in the child ----------------------------------------------------------------------- */

static unsigned long guard_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * 1000 + (unsigned long)now.tv_nsec / 1000000;
}

/* Leaves behind all that is the parent's, above all what others wait on for its end. */
static void guard_leave_parent(int socket)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE };
    int null = open("/dev/null", O_RDWR);

    setsid();
    prctl(PR_SET_NAME, "reassign-guard");
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    for (int fd = 0; fd < 3; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            close(fd);
    if (socket > 3)
        close_range(3, (unsigned)socket - 1, 0);
    close_range((unsigned)socket + 1, ~0U, 0);
}

/* Takes one connection, or sees the parent's end: false, and `*is_well` when it was a good one. */
static bool guard_take(struct guard_child *child, bool *is_well)
{
    union {
        struct cmsghdr head;
        char memory[CMSG_SPACE(sizeof(int))];
    } control;
    char byte = 0;
    struct iovec content = { &byte, 1 };
    struct msghdr message = { .msg_iov = &content,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    ssize_t length = recvmsg(child->socket, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *part = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    if (length < 0 && errno == EINTR)
        return true;
    *is_well = length > 0 && !part;
    if (!part)
        return false;
    if (child->count < GUARD_CONNECTIONS_MAX)
        memcpy(&child->fds[child->count++], CMSG_DATA(part), sizeof(int));
    return true;
}

/* Throws away what has arrived; false when the connection is at its end. */
static bool guard_drain(int fd, bool *has_input)
{
    char memory[4096];
    ssize_t length;

    do {
        length = recv(fd, memory, sizeof(memory), MSG_DONTWAIT);
        if (length > 0)
            *has_input = true;
    } while (length > 0);
    return length < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Keeps one connection as long as the server may still be at work for it. */
static void guard_wait(int fd, bool is_ending)
{
    unsigned long start_ms = guard_now_ms(), last_ms = start_ms;

    for (;;) {
        struct pollfd input = { .fd = fd, .events = POLLIN };
        bool has_input = false;
        unsigned long now_ms;

        (void)poll(&input, 1, GUARD_STEP_MS);
        if (!guard_drain(fd, &has_input))
            return;
        now_ms = guard_now_ms();
        if (has_input) {
            is_ending = false;
            last_ms = now_ms;
        }
        if (now_ms - last_ms >= (is_ending ? GUARD_COMMIT_MS : GUARD_QUIET_MS))
            return;
    }
}

static _Noreturn void guard_run(int socket, struct guard_board *board)
{
    struct guard_child child = { .socket = socket, .board = board };
    bool is_well;

    guard_leave_parent(socket);
    while (guard_take(&child, &is_well))
        ;
    for (size_t i = 0; !is_well && i < child.count; i++)
        guard_wait(child.fds[i], atomic_load(&board->guarded[i].is_ending));
    _exit(0);
}

/* --- in the parent ------------------------------------------------------------------------ */

struct guard *guard_start(void)
{
    void *board = mmap(NULL, sizeof(struct guard_board), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct guard *guard;
    int sockets[2];
    pid_t pid;

    if (board == MAP_FAILED)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        munmap(board, sizeof(struct guard_board));
        return NULL;
    }
    pid = fork();
    if (pid == 0) {
        close(sockets[0]); /* whatever close_range may do: of its end it learns by this */
        guard_run(sockets[1], board);
    }
    close(sockets[1]);
    if (pid < 0) {
        close(sockets[0]);
        munmap(board, sizeof(struct guard_board));
        return NULL;
    }
    guard = memory_new(sizeof(*guard));
    *guard = (struct guard){ .pid = pid, .socket = sockets[0], .board = board };
    return guard;
}

struct guarded *guard_keep(struct guard *guard, int fd)
{
    union {
        struct cmsghdr head;
        char memory[CMSG_SPACE(sizeof(int))];
    } control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS } };
    char byte = 'k';
    struct iovec content = { &byte, 1 };
    struct msghdr message = { .msg_iov = &content,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };

    if (!guard || fd < 0 || guard->count == GUARD_CONNECTIONS_MAX)
        return NULL;
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    if (sendmsg(guard->socket, &message, MSG_NOSIGNAL) != 1)
        return NULL;
    return &guard->board->guarded[guard->count++];
}

void guard_mark(struct guarded *guarded, bool is_ending)
{
    if (guarded)
        atomic_store(&guarded->is_ending, is_ending);
}

void guard_stop(struct guard *guard)
{
    if (!guard)
        return;
    (void)send(guard->socket, "w", 1, MSG_NOSIGNAL);
    close(guard->socket);
    while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    munmap(guard->board, sizeof(*guard->board));
    free(guard);
}
