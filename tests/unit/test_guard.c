/* SPDX-License-Identifier: Apache-2.0 */
/* The guard's process outlives the one that it guards, by what a connection needs and no more. */
#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "directory/reassign/guard.h"

/* A server's ends of the connections of a process that was killed. */
struct scene {
    int server[2];
};

/* Kills a process that keeps two connections, the first in the end of its transaction or not. */
static struct scene kill_the_guarded(bool is_ending)
{
    struct scene scene;
    int client[2];
    pid_t child;

    for (size_t i = 0; i < 2; i++) {
        int sockets[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
        scene.server[i] = sockets[0];
        client[i] = sockets[1];
    }
    child = fork();
    if (child == 0) {
        struct guard *guard;

        close(scene.server[0]);
        close(scene.server[1]);
        guard = guard_start();
        guard_mark(guard_keep(guard, client[0]), is_ending);
        (void)guard_keep(guard, client[1]);
        kill(getpid(), SIGKILL);
    }
    close(client[0]);
    close(client[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return scene;
}

/* Whether the peer has closed, within `timeout_ms`. */
static bool is_closed(int fd, int timeout_ms)
{
    struct pollfd hangup = { .fd = fd, .events = POLLIN };
    char byte;

    return poll(&hangup, 1, timeout_ms) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void a_quiet_connection_is_closed_soon_after_the_process_was_killed(void **state)
{
    struct scene scene = kill_the_guarded(false);

    (void)state;
    assert_false(is_closed(scene.server[0], 100));
    assert_true(is_closed(scene.server[0], 20000));
    assert_true(is_closed(scene.server[1], 20000));
    close(scene.server[0]);
    close(scene.server[1]);
}

static void a_transaction_that_ends_keeps_its_connection_until_the_answer(void **state)
{
    struct scene scene = kill_the_guarded(true);

    (void)state;
    assert_false(is_closed(scene.server[0], 1500));
    assert_int_equal(write(scene.server[0], "answer", 6), 6);
    assert_true(is_closed(scene.server[0], 20000));
    assert_true(is_closed(scene.server[1], 20000));
    close(scene.server[0]);
    close(scene.server[1]);
}

static void a_guard_that_is_stopped_keeps_nothing(void **state)
{
    uint64_t begin_ms = clock_monotonic_ms();
    struct guard *guard = guard_start();
    int sockets[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    guard_mark(guard_keep(guard, sockets[1]), true);
    guard_stop(guard);
    close(sockets[1]);
    assert_true(is_closed(sockets[0], 0));
    assert_true(clock_monotonic_ms() - begin_ms < 20000);
    close(sockets[0]);
    guard_stop(NULL);
    assert_null(guard_keep(NULL, 1));
    guard_mark(NULL, true);
}

static void there_is_room_for_so_many_and_no_more(void **state)
{
    struct guard *guard = guard_start();

    (void)state;
    for (size_t i = 0; i < GUARD_CONNECTIONS_MAX; i++)
        assert_non_null(guard_keep(guard, STDERR_FILENO));
    assert_null(guard_keep(guard, STDERR_FILENO));
    guard_stop(guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_connection_is_closed_soon_after_the_process_was_killed),
        cmocka_unit_test(a_transaction_that_ends_keeps_its_connection_until_the_answer),
        cmocka_unit_test(a_guard_that_is_stopped_keeps_nothing),
        cmocka_unit_test(there_is_room_for_so_many_and_no_more),
    };

    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
