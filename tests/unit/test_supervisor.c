/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor with toy roles.  The toy worker greets with a line about itself and then obeys
 * one-byte commands.
 */
#include "tests/unit/daemon_support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/io/listener.h"
#include "common/service/supervisor.h"

/* --- the toy roles, in the children --- */

struct session {
    uv_poll_t poll;
    struct worker *worker;
    int fd;
};

struct worker {
    struct child *child;
    struct listener listeners[DAEMON_LISTENERS_MAX];
    unsigned sessions;
    bool is_draining;
};

static void worker_end_if_done(struct worker *worker)
{
    if (worker->is_draining && worker->sessions == 0)
        io_loop_stop(&worker->child->loop);
}

static void session_closed(uv_handle_t *handle)
{
    struct session *session = CONTAINER_OF(handle, struct session, poll);

    session->worker->sessions--;
    worker_end_if_done(session->worker);
    free(session);
}

static void ignore_stop(struct child *child)
{
    (void)child;
}

static void obey(struct worker *worker, int fd, char command)
{
    switch (command) {
    case 'h': /* hang */
        for (;;)
            pause();
    case 'x':
        _exit(3);
    case 'i':
        worker->child->stop = ignore_stop;
        break;
    default:
        break;
    }
    (void)!write(fd, &command, 1);
}

static void session_readable(uv_poll_t *poll, int status, int events)
{
    struct session *session = CONTAINER_OF(poll, struct session, poll);
    char command;

    (void)status;
    (void)events;
    if (read(session->fd, &command, 1) == 1) {
        obey(session->worker, session->fd, command);
        return;
    }
    uv_close((uv_handle_t *)poll, session_closed);
    close(session->fd);
}

static void worker_accepted(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct worker *worker = listener->context;
    struct session *session = memory_new(sizeof(*session));
    const struct child *child = worker->child;
    char line[256];

    (void)peer;
    board_count(child->slot, BOARD_CONNECTIONS, 1);
    snprintf(
        line, sizeof(line),
        "generation=%d number=%d pid=%d connections=%d uid=%d confined=%d secret=%.20s ticket=%d\n",
        (int)child->generation, child->number, (int)getpid(),
        (int)board_sum(child->board, BOARD_CONNECTIONS), (int)getuid(),
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), child->config->directory.bind_password.value,
        (int)tls_tickets_count(child->tickets));
    (void)!write(fd, line, strlen(line));
    session->worker = worker;
    session->fd = fd;
    worker->sessions++;
    uv_poll_init(&worker->child->loop.uv, &session->poll, fd);
    uv_poll_start(&session->poll, UV_READABLE, session_readable);
}

static void worker_drain(struct child *child)
{
    struct worker *worker = child->context;

    for (size_t i = 0; i < child->config->listener_count; i++)
        listener_stop(&worker->listeners[i], NULL);
    child_close_listeners(child);
    worker->is_draining = true;
    worker_end_if_done(worker);
}

static bool worker_run(struct child *child)
{
    struct worker worker = { .child = child };

    if (strcmp(child->config->cluster.hostname, "crash.example.org") == 0)
        return false;
    child->context = &worker;
    child->drain = worker_drain;
    for (size_t i = 0; i < child->config->listener_count; i++)
        listener_start(&worker.listeners[i], &child->loop, child->listen_fds[i], worker_accepted,
                       &worker);
    child_run_loop(child);
    if (!worker.is_draining)
        worker_drain(child);
    if (worker.sessions > 0) /* the toy leaves its sessions to the kernel */
        _exit(0);
    child->context = NULL;
    return true;
}

static bool single_run(struct child *child)
{
    if (child->service_fd < 0 || child->listen_fds || child->control_fd != -1)
        return false;
    child_run_loop(child);
    return true;
}

static const struct supervisor_role toy_roles[] = {
    { .name = "single",
      .socket_name = "single.sock",
      .secrets = CONFIG_SECRET_DIRECTORY,
      .run = single_run },
    { .name = "worker", .is_per_core = true, .secrets = CONFIG_SECRET_TLS_KEY, .run = worker_run },
};

static bool prepare_unless_forbidden(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    if (strcmp(config->cluster.hostname, "forbidden.example.org") != 0)
        return true;
    snprintf(error, CONFIG_ERROR_SIZE, "the hook says no");
    return false;
}

static const struct supervisor_program toy_program = {
    .name = "toy",
    .program = CONFIG_BACKEND,
    .roles = toy_roles,
    .role_count = sizeof(toy_roles) / sizeof(toy_roles[0]),
    .prepare = prepare_unless_forbidden,
    .heartbeat_timeout_ms = 2000,
};

/* --- the tests' side --- */

static int connect_port(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* One byte from `fd`: 1, 0 at the end, -1 when nothing comes. */
static int read_byte(int fd, char *byte)
{
    struct pollfd readable = { .fd = fd, .events = POLLIN };

    if (poll(&readable, 1, DAEMON_WAIT_MS) != 1)
        return -1;
    return read(fd, byte, 1) == 1 ? 1 : 0;
}

struct greeting {
    int fd, generation, number, pid, connections, uid, confined, ticket;
    char secret[32];
};

/* Connects, and reads who answers. */
static struct greeting greet(uint16_t port)
{
    struct greeting greeting = { .fd = connect_port(port) };
    char line[256] = "", secret[64];
    size_t used = 0;

    assert_true(greeting.fd >= 0);
    while (used < sizeof(line) - 1 && (used == 0 || line[used - 1] != '\n'))
        assert_int_equal(read_byte(greeting.fd, &line[used++]), 1);
    assert_int_equal(sscanf(line,
                            "generation=%d number=%d pid=%d connections=%d uid=%d confined=%d %63s "
                            "ticket=%d",
                            &greeting.generation, &greeting.number, &greeting.pid,
                            &greeting.connections, &greeting.uid, &greeting.confined, secret,
                            &greeting.ticket),
                     8);
    snprintf(greeting.secret, sizeof(greeting.secret), "%.20s", secret + strlen("secret="));
    return greeting;
}

static void command(int fd, char byte)
{
    char answer;

    assert_int_equal(write(fd, &byte, 1), 1);
    assert_int_equal(read_byte(fd, &answer), 1);
    assert_int_equal(answer, byte);
}

static bool has_ended(int fd)
{
    char byte;

    return read_byte(fd, &byte) == 0;
}

static bool exists(const char *name)
{
    char path[128];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", daemon_folder, name);
    return stat(path, &status) == 0;
}

static void test_a_child_has_what_it_needs_and_no_more(void **unused)
{
    struct greeting greeting;
    struct stat status;
    char path[128];

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    greeting = greet(daemon_ports[0]);
    assert_int_equal(greeting.generation, 1);
    assert_int_equal(greeting.confined, 1);
    assert_string_equal(greeting.secret, "");
    if (geteuid() == 0)
        assert_int_not_equal(greeting.uid, 0);
    snprintf(path, sizeof(path), "%s/run/single.sock", daemon_folder);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
    assert_true(exists("state"));
    assert_true(exists("run/toy.pid"));
    close(greeting.fd);
    daemon_stop();
    assert_false(exists("run/toy.pid"));
    assert_false(exists("run/single.sock"));
}

static void test_connections_wait_while_a_killed_worker_is_replaced(void **unused)
{
    struct greeting first, second, third;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    first = greet(daemon_ports[0]);
    kill(first.pid, SIGKILL);
    second = greet(daemon_ports[0]);
    DAEMON_AWAIT("event=child_died", "role=worker", "signal=9", "name=KILL");
    assert_int_not_equal(second.pid, first.pid);
    assert_int_equal(second.connections, 2); /* the count of the dead one is kept */
    assert_true(has_ended(first.fd));
    assert_int_equal(write(second.fd, "x", 1), 1);
    third = greet(daemon_ports[0]);
    DAEMON_AWAIT("event=child_died", "role=worker", "status=3");
    assert_int_equal(third.connections, 3);
    close(first.fd);
    close(second.fd);
    close(third.fd);
    daemon_stop();
}

static void test_a_hung_worker_is_killed_and_replaced(void **unused)
{
    struct greeting first, second;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    first = greet(daemon_ports[0]);
    assert_int_equal(write(first.fd, "h", 1), 1);
    DAEMON_AWAIT("event=child_killed", "role=worker", "reason=\"no heartbeat\"");
    second = greet(daemon_ports[0]);
    assert_int_not_equal(second.pid, first.pid);
    close(first.fd);
    close(second.fd);
    daemon_stop();
}

static void test_a_reload_drops_no_session(void **unused)
{
    struct greeting old, new;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    old = greet(daemon_ports[0]);
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=ready generation=2");
    DAEMON_AWAIT("worker-0 info event=draining");
    new = greet(daemon_ports[0]);
    assert_int_equal(new.generation, 2);
    assert_int_not_equal(new.pid, old.pid);
    assert_int_equal(new.ticket, old.ticket);
    command(old.fd, 'e');
    close(old.fd);
    DAEMON_AWAIT("event=child_ended", "role=worker", "generation=1", "status=0");
    command(new.fd, 'e');
    close(new.fd);
    daemon_stop();
}

static void test_a_wrong_configuration_changes_nothing(void **unused)
{
    struct greeting greeting;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    daemon_configure(1, "a.example.org", "log_level = \"loud\"");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=configuration_error", "line=7", "log_level: \\\"loud\\\" is wrong");
    DAEMON_AWAIT("event=reload_refused generation=1");
    daemon_configure(1, "forbidden.example.org", "");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=reload_refused generation=1", "the hook says no");
    daemon_configure(1, "a.example.org", "run_directory = \"/nonexistent\"");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=reload_refused generation=1", "run_directory: cannot change while running");
    greeting = greet(daemon_ports[0]);
    assert_int_equal(greeting.generation, 1);
    close(greeting.fd);
    daemon_stop();
}

static void test_workers_that_cannot_run_leave_the_old_ones_serving(void **unused)
{
    struct greeting old, new;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    old = greet(daemon_ports[0]);
    daemon_configure(1, "crash.example.org", "");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=child_died", "role=worker", "generation=2", "status=1");
    DAEMON_AWAIT("event=child_died", "role=worker", "generation=2", "status=1");
    new = greet(daemon_ports[0]);
    assert_int_equal(new.generation, 1);
    close(new.fd);
    daemon_configure(1, "a.example.org", "");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=ready generation=3");
    DAEMON_AWAIT("worker-0 info event=draining");
    command(old.fd, 'e');
    new = greet(daemon_ports[0]);
    assert_int_equal(new.generation, 3);
    close(old.fd);
    close(new.fd);
    daemon_stop();
}

static void test_an_address_that_is_taken_refuses_the_reload(void **unused)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct greeting greeting;
    int fd;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* after the fork: only we have it */
    address.sin_port = htons(daemon_ports[1]);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    daemon_configure(2, "a.example.org", "workers = 2");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=reload_refused generation=1", "listen \\\"l1\\\": cannot listen on");
    greeting = greet(daemon_ports[0]);
    assert_int_equal(greeting.generation, 1);
    close(greeting.fd);
    close(fd);
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=ready generation=2");
    greeting = greet(daemon_ports[1]);
    assert_int_equal(greeting.generation, 2);
    close(greeting.fd);
    daemon_stop();
}

static void test_a_second_reload_ends_the_oldest_generation(void **unused)
{
    struct greeting oldest, newest;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    oldest = greet(daemon_ports[0]);
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=ready generation=2");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=child_ended", "role=worker", "generation=1");
    DAEMON_AWAIT("event=ready generation=3");
    DAEMON_AWAIT("worker-0 info event=draining");
    assert_true(has_ended(oldest.fd));
    newest = greet(daemon_ports[0]);
    assert_int_equal(newest.generation, 3);
    close(oldest.fd);
    close(newest.fd);
    daemon_stop();
}

static void test_sessions_that_outlive_the_drain_are_ended(void **unused)
{
    struct greeting old;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    old = greet(daemon_ports[0]);
    daemon_configure(1, "a.example.org", "timeouts { drain_s = 0 }");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=ready generation=2");
    DAEMON_AWAIT("event=child_ended", "role=worker", "generation=1");
    assert_true(has_ended(old.fd));
    close(old.fd);
    daemon_stop();
}

static void test_listeners_come_and_go_with_a_reload(void **unused)
{
    struct greeting greeting;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    assert_int_equal(connect_port(daemon_ports[1]), -1);
    daemon_configure(2, "a.example.org", "");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=ready generation=2");
    greeting = greet(daemon_ports[1]);
    close(greeting.fd);
    daemon_configure(1, "a.example.org", "");
    kill(daemon_pid, SIGHUP);
    DAEMON_AWAIT("event=child_ended", "role=worker", "generation=2");
    assert_int_equal(connect_port(daemon_ports[1]), -1);
    greeting = greet(daemon_ports[0]);
    assert_int_equal(greeting.generation, 3);
    close(greeting.fd);
    daemon_stop();
}

static void test_no_child_outlives_a_killed_supervisor(void **unused)
{
    struct greeting greeting;
    int status;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    greeting = greet(daemon_ports[0]);
    kill(daemon_pid, SIGKILL);
    assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
    assert_true(has_ended(greeting.fd));
    close(greeting.fd);
    daemon_start(&toy_program); /* takes over what the dead one left behind */
    greeting = greet(daemon_ports[0]);
    close(greeting.fd);
    daemon_stop();
}

/* Takes an address as soon as it is free, and has it for a while; the process that does so. */
static pid_t hold_port(uint16_t port, unsigned milliseconds)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    for (unsigned tries = 0; bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0; tries++) {
        assert_true(tries < 500);
        poll(NULL, 0, 10);
    }
    assert_int_equal(listen(fd, 1), 0);
    pid = fork();
    if (pid == 0) {
        poll(NULL, 0, (int)milliseconds);
        _exit(0);
    }
    close(fd);
    return pid;
}

static void test_addresses_of_a_killed_supervisor_are_waited_for(void **unused)
{
    int status;
    pid_t holder;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    kill(daemon_pid, SIGKILL);
    assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
    holder = hold_port(daemon_ports[0], 300);
    daemon_start(&toy_program);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    close(greet(daemon_ports[0]).fd);
    daemon_stop();
}

static void test_a_worker_that_ignores_the_end_is_killed(void **unused)
{
    struct greeting greeting;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    greeting = greet(daemon_ports[0]);
    command(greeting.fd, 'i');
    kill(daemon_pid, SIGTERM);
    DAEMON_AWAIT("event=child_killed", "role=worker", "reason=\"did not end when told\"");
    DAEMON_AWAIT("event=ended");
    assert_int_equal(daemon_await_status(), 0);
    close(greeting.fd);
}

static void assert_cannot_start(const char *reason)
{
    daemon_launch(&toy_program);
    DAEMON_AWAIT("toy: ", reason);
    assert_int_equal(daemon_await_status(), 1);
    assert_false(exists("run/toy.pid"));
    assert_false(exists("run/single.sock"));
}

static void test_what_prevents_a_start_is_said_in_one_line(void **unused)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    (void)unused;
    daemon_configure(1, "a.example.org", "workers = 99");
    assert_cannot_start(":7: workers: \"99\" is wrong; expected a number from 0 to 64");
    daemon_configure(1, "forbidden.example.org", "");
    assert_cannot_start("the hook says no");
    daemon_configure(1, "a.example.org", "state_directory = \"/dev/null\"");
    assert_cannot_start("state_directory: /dev/null is no directory");
    /* Another daemon that would share its port with us is in the way, too. */
    address.sin_port = htons(daemon_ports[0]);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    daemon_configure(1, "a.example.org", "");
    assert_cannot_start("listen \"l0\": cannot listen on 127.0.0.1");
    close(fd);
    if (geteuid() == 0) {
        daemon_configure(1, "a.example.org", "user = \"nobody-of-this-name\"");
        assert_cannot_start("user: \"nobody-of-this-name\" is no account of this machine");
        daemon_configure(1, "a.example.org", "user = \"root\"");
        assert_cannot_start("user: \"root\" is root");
    }
}

static void test_a_second_daemon_in_one_run_directory_is_refused(void **unused)
{
    pid_t first_pid;
    int first_log;

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    first_pid = daemon_pid;
    first_log = daemon_log_fd;
    daemon_log_fd = -1;
    daemon_launch(&toy_program);
    DAEMON_AWAIT("toy: ", "is locked: another daemon is running there");
    assert_int_equal(daemon_await_status(), 1);
    assert_true(exists("run/single.sock"));
    daemon_pid = first_pid;
    close(daemon_log_fd);
    daemon_log_fd = first_log;
    daemon_stop();
}

static void test_the_service_manager_is_told(void **unused)
{
    struct sockaddr_un {
        sa_family_t family;
        char path[108];
    } address = { AF_UNIX, "" };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char state[128];
    ssize_t length;

    (void)unused;
    snprintf(address.path, sizeof(address.path), "%s/notify", daemon_folder);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.path, 1);
    daemon_configure(1, "a.example.org", "");
    daemon_start(&toy_program);
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(recv(fd, state, sizeof(state), 0), 7);
    assert_memory_equal(state, "READY=1", 7);
    kill(daemon_pid, SIGHUP);
    length = recv(fd, state, sizeof(state), 0);
    assert_true(length > 0);
    assert_memory_equal(state, "RELOADING=1\nMONOTONIC_USEC=", 27);
    assert_int_equal(recv(fd, state, sizeof(state), 0), 7);
    daemon_stop();
    assert_int_equal(recv(fd, state, sizeof(state), 0), 10);
    assert_memory_equal(state, "STOPPING=1", 10);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(test_a_child_has_what_it_needs_and_no_more),
        DAEMON_TEST(test_connections_wait_while_a_killed_worker_is_replaced),
        DAEMON_TEST(test_a_hung_worker_is_killed_and_replaced),
        DAEMON_TEST(test_a_reload_drops_no_session),
        DAEMON_TEST(test_a_wrong_configuration_changes_nothing),
        DAEMON_TEST(test_workers_that_cannot_run_leave_the_old_ones_serving),
        DAEMON_TEST(test_an_address_that_is_taken_refuses_the_reload),
        DAEMON_TEST(test_a_second_reload_ends_the_oldest_generation),
        DAEMON_TEST(test_sessions_that_outlive_the_drain_are_ended),
        DAEMON_TEST(test_listeners_come_and_go_with_a_reload),
        DAEMON_TEST(test_no_child_outlives_a_killed_supervisor),
        DAEMON_TEST(test_addresses_of_a_killed_supervisor_are_waited_for),
        DAEMON_TEST(test_a_worker_that_ignores_the_end_is_killed),
        DAEMON_TEST(test_what_prevents_a_start_is_said_in_one_line),
        DAEMON_TEST(test_a_second_daemon_in_one_run_directory_is_refused),
        DAEMON_TEST(test_the_service_manager_is_told),
    };

    return cmocka_run_group_tests(tests, daemon_set_up, daemon_tear_down);
}
