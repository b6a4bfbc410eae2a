/* SPDX-License-Identifier: Apache-2.0 */
/* The connector and the listener, with each other and with what goes wrong. */
#include "tests/unit/io_support.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/io/connector.h"
#include "common/io/keepalive.h"
#include "common/io/listener.h"

enum { TIMEOUT_MS = 10000 };

struct outcome {
    struct connector *connector;
    int fd;
    char error[128];
    bool is_done;
};

static void outcome_on_done(struct connector *connector, struct io_watch *watch, const char *error)
{
    struct outcome *outcome = connector_context(connector);

    assert_ptr_equal(outcome->connector, connector);
    assert_false(outcome->is_done);
    outcome->is_done = true;
    if (watch) {
        outcome->fd = watch->fd;
        io_watch_return(watch, NULL);
    }
    if (error)
        snprintf(outcome->error, sizeof(outcome->error), "%s", error);
}

static void outcome_start(struct outcome *outcome, struct io_loop *loop, const char *text,
                          unsigned timeout_ms)
{
    struct endpoint endpoint;

    *outcome = (struct outcome){ .fd = -1 };
    assert_true(endpoint_parse(text, &endpoint));
    outcome->connector =
        connector_start(loop, &endpoint, 1, NULL, timeout_ms, outcome_on_done, outcome);
    assert_false(outcome->is_done);
}

static int loop_setup(void **state)
{
    struct io_loop *loop = memory_new(sizeof(*loop));

    io_loop_init(loop);
    *state = loop;
    return 0;
}

static int loop_teardown(void **state)
{
    io_loop_fini(*state);
    free(*state);
    return 0;
}

static void format_port(char *text, size_t size, const char *host, uint16_t port)
{
    snprintf(text, size, "%s:%u", host, port);
}

static void assert_connected(struct outcome *outcome, int listening)
{
    char byte;
    int accepted = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

    assert_true(accepted >= 0);
    assert_true(outcome->fd >= 0);
    assert_true(fcntl(outcome->fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(outcome->fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(outcome->fd, "x", 1), 1);
    assert_int_equal(read(accepted, &byte, 1), 1);
    close(accepted);
    close(outcome->fd);
}

static void it_connects_to_a_numeric_address(void **state)
{
    struct outcome outcome;
    char text[32];
    uint16_t port;
    int listening = io_listen_tcp(&port);

    format_port(text, sizeof(text), "127.0.0.1", port);
    outcome_start(&outcome, *state, text, TIMEOUT_MS);
    io_run_until_set(*state, &outcome.is_done);
    assert_connected(&outcome, listening);
    close(listening);
}

/* Where localhost is ::1 first, nothing listens there: the next address is tried. */
static void it_resolves_a_name_and_tries_its_addresses(void **state)
{
    struct outcome outcome;
    char text[32];
    uint16_t port;
    int listening = io_listen_tcp(&port);

    format_port(text, sizeof(text), "localhost", port);
    outcome_start(&outcome, *state, text, TIMEOUT_MS);
    io_run_until_set(*state, &outcome.is_done);
    assert_connected(&outcome, listening);
    close(listening);
}

static void it_connects_to_a_unix_socket(void **state)
{
    char folder[] = "/tmp/test_io_connect.XXXXXX";
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct outcome outcome;
    char text[128];
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_non_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
    snprintf(text, sizeof(text), "unix:%s", address.sun_path);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listening, 4), 0);
    outcome_start(&outcome, *state, text, TIMEOUT_MS);
    io_run_until_set(*state, &outcome.is_done);
    assert_connected(&outcome, listening);
    close(listening);
    unlink(address.sun_path);
    outcome_start(&outcome, *state, text, TIMEOUT_MS);
    io_run_until_set(*state, &outcome.is_done);
    assert_int_equal(outcome.fd, -1);
    assert_string_equal(outcome.error, "connect: No such file or directory");
    rmdir(folder);
}

struct held_watch {
    struct io_watch *watch;
    bool is_done;
    unsigned events;
};

static void held_watch_on_event(void *owner, unsigned readiness)
{
    (void)readiness;
    ((struct held_watch *)owner)->events++;
}

static void held_watch_on_done(struct connector *connector, struct io_watch *watch,
                               const char *error)
{
    struct held_watch *held = connector_context(connector);

    assert_null(error);
    io_watch_give(watch, held_watch_on_event, held);
    held->watch = watch;
    held->is_done = true;
}

/* Else each thing that is sent to a store by a unix socket would wake us when the store reads it.
 */
static void what_the_peer_reads_from_a_unix_socket_is_no_event(void **state)
{
    char folder[] = "/tmp/test_io_connect.XXXXXX", byte;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct endpoint endpoint = { .is_unix = true };
    struct held_watch held = { .watch = NULL };
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;

    assert_non_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
    snprintf(endpoint.host, sizeof(endpoint.host), "%s/socket", folder);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listening, 4), 0);
    connector_start(*state, &endpoint, 1, NULL, TIMEOUT_MS, held_watch_on_done, &held);
    assert_false(held.is_done);
    io_run_until_set(*state, &held.is_done);
    accepted = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(write(held.watch->fd, "x", 1), 1);
    assert_int_equal(read(accepted, &byte, 1), 1);
    io_run_turns(*state, 3);
    assert_int_equal(held.events, 0);
    assert_int_equal(write(accepted, "y", 1), 1);
    io_run_turns(*state, 1);
    assert_int_equal(held.events, 1);
    io_watch_close(held.watch, NULL);
    io_run_turns(*state, 1);
    unlink(address.sun_path);
    rmdir(folder);
    close(accepted);
    close(listening);
}

static void a_refused_connection_says_so(void **state)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost" };
    uint16_t port;

    close(io_listen_tcp(&port));
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
        struct outcome outcome;
        char text[32];

        format_port(text, sizeof(text), hosts[i], port);
        outcome_start(&outcome, *state, text, TIMEOUT_MS);
        io_run_until_set(*state, &outcome.is_done);
        assert_int_equal(outcome.fd, -1);
        assert_string_equal(outcome.error, "connect: Connection refused");
    }
}

static void a_name_that_is_none_says_so(void **state)
{
    struct outcome outcome;

    outcome_start(&outcome, *state, "..:25", TIMEOUT_MS);
    io_run_until_set(*state, &outcome.is_done);
    assert_int_equal(outcome.fd, -1);
    assert_memory_equal(outcome.error, "resolve: ", 9);
}

/* A listening socket whose backlog is full: Linux drops further SYNs. */
static int listen_full(uint16_t *port, int fillers[4])
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listening = io_listen_tcp(port);

    assert_int_equal(listen(listening, 0), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(connect(fillers[i], (struct sockaddr *)&address, length) == 0 ||
                    errno == EINPROGRESS);
    }
    return listening;
}

static void close_all(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        close(fds[i]);
}

static void a_server_that_does_not_answer_times_out(void **state)
{
    struct outcome outcome;
    char text[32];
    int fillers[4];
    uint16_t port;
    int listening = listen_full(&port, fillers);

    format_port(text, sizeof(text), "127.0.0.1", port);
    outcome_start(&outcome, *state, text, 50);
    io_run_until_set(*state, &outcome.is_done);
    assert_int_equal(outcome.fd, -1);
    assert_string_equal(outcome.error, "timed out");
    close_all(fillers, 4);
    close(listening);
}

static void start_two(struct outcome *outcome, struct io_loop *loop, uint16_t first,
                      uint16_t second, unsigned timeout_ms)
{
    struct endpoint endpoints[] = { { .host = "127.0.0.1", .port = first },
                                    { .host = "127.0.0.1", .port = second } };

    *outcome = (struct outcome){ .fd = -1 };
    outcome->connector =
        connector_start(loop, endpoints, 2, NULL, timeout_ms, outcome_on_done, outcome);
}

static void a_connection_goes_out_from_where_it_is_told(void **state)
{
    struct endpoint_sources sources = { .ipv4 = { .sin_family = 0 } };
    struct outcome outcome = { .fd = -1 };
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    struct held_watch held = { .is_done = false };
    struct endpoint endpoint = { .host = "127.0.0.1" };
    char text[INET_ADDRSTRLEN];
    int listening = io_listen_tcp(&endpoint.port), accepted;

    assert_false(endpoint_sources_add(&sources, "localhost"));
    assert_true(endpoint_sources_add(&sources, "127.0.0.77"));
    assert_false(endpoint_sources_add(&sources, "127.0.0.78"));
    assert_true(endpoint_sources_add(&sources, "2001:db8::1")); /* which this machine has not */
    connector_start(*state, &endpoint, 1, &sources, TIMEOUT_MS, held_watch_on_done, &held);
    io_run_until_set(*state, &held.is_done);
    accepted = accept4(listening, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
    assert_string_equal(
        inet_ntop(AF_INET, &((struct sockaddr_in *)&peer)->sin_addr, text, sizeof(text)),
        "127.0.0.77");
    io_watch_close(held.watch, NULL);
    close(accepted);
    snprintf(endpoint.host, sizeof(endpoint.host), "::1");
    outcome.connector =
        connector_start(*state, &endpoint, 1, &sources, TIMEOUT_MS, outcome_on_done, &outcome);
    io_run_until_set(*state, &outcome.is_done);
    assert_string_equal(outcome.error, "bind_address: Cannot assign requested address");
    close(listening);
}

static void behind_an_endpoint_that_refuses_or_is_silent_comes_the_next(void **state)
{
    struct outcome outcome;
    int fillers[4];
    uint16_t full_port, port;
    int full = listen_full(&full_port, fillers), listening = io_listen_tcp(&port);

    start_two(&outcome, *state, full_port, port, 200);
    io_run_until_set(*state, &outcome.is_done);
    assert_connected(&outcome, listening);
    start_two(&outcome, *state, port, full_port, 200);
    io_run_until_set(*state, &outcome.is_done);
    assert_connected(&outcome, listening);
    close(listening); /* refuses from here on */
    start_two(&outcome, *state, port, full_port, 200);
    io_run_until_set(*state, &outcome.is_done);
    assert_string_equal(outcome.error, "timed out");
    start_two(&outcome, *state, port, port, 200);
    io_run_until_set(*state, &outcome.is_done);
    assert_non_null(strstr(outcome.error, "refused"));
    start_two(&outcome, *state, full_port, port, 200);
    connector_cancel(outcome.connector);
    close_all(fillers, 4);
    close(full);
}

enum { POOL_THREADS = 4 }; /* libuv's, unless UV_THREADPOOL_SIZE says otherwise */

struct blocked_pool {
    uv_work_t work[POOL_THREADS];
    uv_sem_t release;
};

static void pool_on_work(uv_work_t *work)
{
    uv_sem_wait(&((struct blocked_pool *)work->data)->release);
}

static void pool_block(struct blocked_pool *pool, struct io_loop *loop)
{
    assert_int_equal(uv_sem_init(&pool->release, 0), 0);
    for (int i = 0; i < POOL_THREADS; i++) {
        pool->work[i].data = pool;
        assert_int_equal(uv_queue_work(&loop->uv, &pool->work[i], pool_on_work, NULL), 0);
    }
}

static void pool_release(struct blocked_pool *pool, struct io_loop *loop)
{
    for (int i = 0; i < POOL_THREADS; i++)
        uv_sem_post(&pool->release);
    while (io_loop_turn(loop, true))
        ;
    uv_sem_destroy(&pool->release);
}

static void the_deadline_covers_the_resolution_and_takes_it_back(void **state)
{
    struct io_loop *loop = *state;
    struct blocked_pool pool;
    struct outcome outcome;

    pool_block(&pool, loop);
    outcome_start(&outcome, loop, "localhost:25", 20);
    io_run_until_set(loop, &outcome.is_done);
    assert_int_equal(outcome.fd, -1);
    assert_string_equal(outcome.error, "timed out");
    io_run_turns(loop, 2);
    assert_int_equal(loop->uv.active_reqs.count, POOL_THREADS);
    pool_release(&pool, loop);
}

/* The teardown's io_loop_fini finds what a cancelled connector leaves behind. */
static void a_connector_can_be_cancelled_at_each_stage(void **state)
{
    struct io_loop *loop = *state;
    static const char *const hosts[] = { "127.0.0.1", "localhost" };
    int fillers[4];
    uint16_t ports[3];
    int full = listen_full(&ports[0], fillers);
    int listening = io_listen_tcp(&ports[1]);

    close(io_listen_tcp(&ports[2]));
    for (size_t host = 0; host < ARRAY_LENGTH(hosts); host++)
        for (size_t port = 0; port < ARRAY_LENGTH(ports); port++)
            for (int turns = 0; turns < 8; turns++) {
                struct outcome outcome;
                char text[32];

                format_port(text, sizeof(text), hosts[host], ports[port]);
                outcome_start(&outcome, loop, text, TIMEOUT_MS);
                io_run_turns(loop, turns);
                if (!outcome.is_done)
                    connector_cancel(outcome.connector);
                else if (outcome.fd >= 0)
                    close(outcome.fd);
            }
    close_all(fillers, 4);
    close(full);
    close(listening);
}

struct counter {
    unsigned accepted;
    unsigned wanted;
    unsigned turn; /* of the loop, the last one that had a connection */
    unsigned in_this_turn;
    unsigned most_in_a_turn;
    bool is_done;
    bool is_stopped;
    bool stops_itself;
    struct listener listener;
};

static void counter_on_stopped(struct listener *listener)
{
    struct counter *counter = CONTAINER_OF(listener, struct counter, listener);

    assert_false(counter->is_stopped);
    counter->is_stopped = true;
}

static int socket_option(int fd, int level, int option)
{
    int number = -1;
    socklen_t length = sizeof(number);

    assert_int_equal(getsockopt(fd, level, option, &number, &length), 0);
    return number;
}

static void counter_on_accepted(struct listener *listener, int fd,
                                const struct sockaddr_storage *peer)
{
    struct counter *counter = listener->context;
    char text[46];

    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(peer_format(peer, text) > 0);
    assert_string_equal(text, "127.0.0.1");
    close(fd);
    counter->accepted++;
    if (counter->turn != listener->loop->turn)
        counter->in_this_turn = 0;
    counter->turn = listener->loop->turn;
    if (++counter->in_this_turn > counter->most_in_a_turn)
        counter->most_in_a_turn = counter->in_this_turn;
    counter->is_done = counter->accepted >= counter->wanted;
    if (counter->stops_itself)
        listener_stop(listener, counter_on_stopped);
}

static void connect_many(int *fds, int count, uint16_t port)
{
    struct endpoint endpoint = { .host = "127.0.0.1", .port = port };
    struct sockaddr_storage address;
    socklen_t length;

    assert_true(endpoint_to_sockaddr(&endpoint, &address, &length));
    for (int i = 0; i < count; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, length), 0);
    }
}

static void a_listener_takes_many_connections_a_few_in_each_turn(void **state)
{
    struct io_loop *loop = *state;
    struct counter counter = { .wanted = 100 };
    uint16_t port;
    int listening = io_listen_tcp(&port);
    int fds[100];

    connect_many(fds, 100, port);
    listener_start(&counter.listener, loop, listening, counter_on_accepted, &counter);
    io_run_until_set(loop, &counter.is_done);
    assert_int_equal(counter.accepted, 100);
    assert_in_range(counter.most_in_a_turn, 2, 16);
    listener_stop(&counter.listener, counter_on_stopped);
    listener_stop(&counter.listener, counter_on_stopped);
    io_run_until_set(loop, &counter.is_stopped);
    assert_int_equal(fcntl(listening, F_GETFD), FD_CLOEXEC);
    close_all(fds, 100);
    close(listening);
}

static void what_is_accepted_has_what_its_listening_socket_asked_for(void **state)
{
    uint16_t port;
    int listening = io_listen_tcp(&port);
    int fd, accepted;

    (void)state;
    keepalive_set(listening, 300);
    nodelay_set(listening);
    connect_many(&fd, 1, port);
    accepted = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(socket_option(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(socket_option(accepted, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(socket_option(accepted, IPPROTO_TCP, TCP_KEEPIDLE), 300);
    assert_int_equal(socket_option(accepted, IPPROTO_TCP, TCP_KEEPINTVL), 30);
    assert_int_equal(socket_option(accepted, IPPROTO_TCP, TCP_KEEPCNT), 9);
    keepalive_set(accepted, 1);
    assert_int_equal(socket_option(accepted, IPPROTO_TCP, TCP_KEEPINTVL), 1);
    keepalive_set(accepted, 0);
    assert_int_equal(socket_option(accepted, SOL_SOCKET, SO_KEEPALIVE), 0);
    close(accepted);
    close(fd);
    close(listening);
}

static void a_long_wait_has_the_peer_asked_every_second(void **state)
{
    struct keepalive_wait wait;
    uint16_t port;
    int listening = io_listen_tcp(&port);
    int fd;

    (void)state;
    connect_many(&fd, 1, port);
    assert_int_equal(keepalive_wait_begin(&wait, 1500), 1500);
    assert_int_equal(keepalive_wait_on(&wait, fd), 0);
    assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(keepalive_wait_begin(&wait, 60000), KEEPALIVE_WAIT_MS);
    assert_int_equal(keepalive_wait_on(&wait, fd), 60000 - KEEPALIVE_WAIT_MS);
    assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 1);
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 1);
    assert_int_equal(keepalive_wait_on(&wait, fd), 0);
    close(fd);
    close(listening);
}

static void a_listener_may_be_stopped_while_it_accepts(void **state)
{
    struct io_loop *loop = *state;
    struct counter counter = { .stops_itself = true };
    uint16_t port;
    int listening = io_listen_tcp(&port);
    int fds[3];

    connect_many(fds, 3, port);
    listener_start(&counter.listener, loop, listening, counter_on_accepted, &counter);
    io_run_until_set(loop, &counter.is_stopped);
    assert_int_equal(counter.accepted, 1);
    close_all(fds, 3);
    close(listening);
}

static void without_descriptors_a_listener_pauses_with_one_line_and_goes_on(void **state)
{
    struct io_loop *loop = *state;
    struct counter counter = { .wanted = 3 };
    struct rlimit before, none;
    char text[512] = "";
    uint16_t port;
    int listening = io_listen_tcp(&port);
    int fds[3], log[2];

    assert_int_equal(pipe2(log, O_CLOEXEC | O_NONBLOCK), 0);
    log_set_descriptor(log[1]);
    connect_many(fds, 3, port);
    listener_start(&counter.listener, loop, listening, counter_on_accepted, &counter);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    io_run_turns(loop, 5);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(counter.accepted, 0);
    assert_true(read(log[0], text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "event=accept_paused"));
    assert_null(strstr(strstr(text, "accept_paused") + 1, "accept_paused"));
    io_run_until_set(loop, &counter.is_done);
    log_set_descriptor(STDERR_FILENO);
    listener_stop(&counter.listener, NULL);
    io_run_turns(loop, 2);
    close_all(fds, 3);
    close_all(log, 2);
    close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_setup, loop_teardown)
        TEST(it_connects_to_a_numeric_address),
        TEST(it_resolves_a_name_and_tries_its_addresses),
        TEST(it_connects_to_a_unix_socket),
        TEST(what_the_peer_reads_from_a_unix_socket_is_no_event),
        TEST(a_refused_connection_says_so),
        TEST(a_name_that_is_none_says_so),
        TEST(a_server_that_does_not_answer_times_out),
        TEST(a_connection_goes_out_from_where_it_is_told),
        TEST(behind_an_endpoint_that_refuses_or_is_silent_comes_the_next),
        TEST(the_deadline_covers_the_resolution_and_takes_it_back),
        TEST(a_connector_can_be_cancelled_at_each_stage),
        TEST(a_listener_takes_many_connections_a_few_in_each_turn),
        TEST(what_is_accepted_has_what_its_listening_socket_asked_for),
        TEST(a_long_wait_has_the_peer_asked_every_second),
        TEST(a_listener_may_be_stopped_while_it_accepts),
        TEST(without_descriptors_a_listener_pauses_with_one_line_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
