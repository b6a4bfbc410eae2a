/* SPDX-License-Identifier: Apache-2.0 */
/* Going through sessions while they come and go, and the drain of a worker. */
#include "tests/unit/session_support.h"

#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/proto/proxy_header.h"
#include "common/session/drain.h"
#include "common/session/session_walk.h"

static void leave(struct session *session, const char *reason)
{
    (void)reason;
    session_finish(session);
}

static void start(struct rig *rig, struct session *session)
{
    struct sockaddr_storage from = { .ss_family = AF_UNIX };

    session_start(session, &rig->service, &rig->imap, &from, leave);
}

static void a_walk_meets_each_session_once_whoever_comes_and_goes(void **state)
{
    struct rig *rig = *state;
    struct session sessions[6] = { { .service = NULL } };
    struct session_walk walk, other;

    for (int i = 0; i < 5; i++)
        start(rig, &sessions[i]);
    session_walk_begin(&walk, &rig->service);
    session_walk_begin(&other, &rig->service);
    assert_ptr_equal(session_walk_next(&walk), &sessions[0]);
    session_finish(&sessions[1]); /* the next one */
    session_finish(&sessions[0]); /* the last one */
    assert_ptr_equal(session_walk_next(&walk), &sessions[2]);
    start(rig, &sessions[5]);
    session_finish(&sessions[4]); /* one that comes later */
    assert_ptr_equal(session_walk_next(&walk), &sessions[3]);
    assert_ptr_equal(session_walk_next(&other), &sessions[2]);
    session_walk_end(&walk);
    session_finish(&sessions[3]);
    session_finish(&sessions[2]);
    session_finish(&sessions[5]);
    assert_null(session_walk_next(&other));
    session_walk_end(&other);
    session_walk_end(&other);
}

static void a_walk_is_not_endless_while_sessions_come(void **state)
{
    struct rig *rig = *state;
    struct session sessions[8] = { { .service = NULL } };
    struct session_walk walk;
    int met = 0;

    start(rig, &sessions[0]);
    start(rig, &sessions[1]);
    session_walk_begin(&walk, &rig->service);
    while (session_walk_next(&walk))
        start(rig, &sessions[2 + met++]);
    assert_int_equal(met, 2);
    session_walk_end(&walk);
    for (int i = 0; i < 4; i++)
        session_finish(&sessions[i]);
}

/* Neither who nor a drain may look for TLS of ours where a balancer does it. */
static void a_session_tells_whose_tls_it_has(void **state)
{
    static char network[] = "127.0.0.0/8";
    char *networks[] = { network };
    struct rig *rig = *state;
    char memory[PROXY_HEADER_ROOM];
    struct buffer header = buffer_over(memory, sizeof(memory));
    struct session_view view = { .is_busy = true };
    struct session *session;
    struct peer *client;

    rig->imap.proxy_protocol_from = (struct string_list){ networks, 1 };
    rig->imap.proxy_protocol_tls = true;
    proxy_header_write(
        &(struct proxy_header){ .address = "192.0.2.7", .port = 12345, .is_tls = true }, NULL, 0,
        &header);
    client = rig_connect(rig, &rig->imap);
    assert_true(transport_send(&client->transport, buffer_span(&header)));
    rig_expect(client, "* OK ");
    session = LIST_ELEMENT(rig->service.sessions.next, struct session, node);
    session->view(session, &view);
    assert_string_equal(session->peer_address, "192.0.2.7");
    assert_string_equal(view.tls, "balancer");
    assert_false(view.is_busy);
}

/* --- drain ---------------------------------------------------------------------------- */

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* Bound to a port that it asked for, as the supervisor's are: one that was found is not kept. */
static int listen_at_a_port(uint16_t *port)
{
    int found = io_listen_tcp(port), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = loopback(*port);

    close(found);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static bool is_refused(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refused = connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0;

    close(fd);
    return refused;
}

static unsigned accepted_count;

static void accept_and_read(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    char byte;

    (void)listener;
    (void)peer;
    /* Nothing has come, and it is not at its end: it was not born shut down. */
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    accepted_count++;
    close(fd);
}

static bool has_accepted(void *context)
{
    return accepted_count >= *(unsigned *)context;
}

static void listener_stopped(struct listener *listener)
{
    *(bool *)listener->context = true;
}

static bool is_true(void *context)
{
    return *(bool *)context;
}

static void a_socket_that_refuses_listens_again_however_many_processes_have_it(void **state)
{
    struct rig *rig = *state;
    struct sockaddr_in address;
    struct listener listeners[2];
    bool stopped[2] = { false, false };
    unsigned wanted = 1;
    uint16_t port;
    int fd = listen_at_a_port(&port), copy = dup(fd), client;

    accepted_count = 0;
    listener_start(&listeners[0], &rig->loop, fd, accept_and_read, &stopped[0]);
    listener_start(&listeners[1], &rig->loop, copy, accept_and_read, &stopped[1]);
    for (int i = 0; i < 2; i++)
        listener_refuse(&listeners[i]);
    (void)shutdown(fd, SHUT_RD); /* as in a race between the two */
    assert_true(is_refused(port));
    listener_drain(&listeners[0]); /* which must not take it for an error */
    for (int i = 0; i < 2; i++)
        listener_listen(&listeners[i]);
    address = loopback(port);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    io_run_until(&rig->loop, has_accepted, &wanted);
    close(client);
    for (int i = 0; i < 2; i++) {
        listener_stop(&listeners[i], listener_stopped);
        io_run_until(&rig->loop, is_true, &stopped[i]);
    }
    close(fd);
    close(copy);
}

static void a_drained_session_goes_when_it_is_silent(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = rig_log_in(rig, "anna", 0, &backend);
    uint64_t began_ms = clock_monotonic_ms();

    departures_drain(&rig->service.departures, io_loop_now_ms(&rig->loop) + 60000);
    for (int i = 0; i < 3; i++) {
        rig_wait(rig, 300);
        rig_say(backend, "* 1 EXISTS\r\n");
        rig_expect(client, "EXISTS\r\n");
    }
    rig_expect_end(client);
    assert_in_range(clock_monotonic_ms() - began_ms, 1800, 10000);
}

static void at_the_deadline_it_goes_whatever_it_does(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = rig_log_in(rig, "anna", 0, &backend);
    uint64_t began_ms = clock_monotonic_ms();

    departures_drain(&rig->service.departures, io_loop_now_ms(&rig->loop) + 200);
    rig_expect_end(client);
    assert_in_range(clock_monotonic_ms() - began_ms, 199, 950);
}

static void who_has_not_gone_stays_when_the_drain_is_undone(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = rig_log_in(rig, "anna", 0, &backend);

    departures_drain(&rig->service.departures, io_loop_now_ms(&rig->loop) + 60000);
    departures_undrain(&rig->service.departures);
    rig_wait(rig, 1300);
    rig_say(backend, "* 1 EXISTS\r\n");
    rig_expect(client, "EXISTS\r\n");
}

static void a_client_that_has_not_logged_in_is_told(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap), *other = rig_connect(rig, &rig->smtp);

    rig_expect(client, "* OK");
    rig_expect(other, "220 ");
    departures_drain(&rig->service.departures, io_loop_now_ms(&rig->loop) + 60000);
    rig_expect(client, "* BYE");
    rig_expect_end(client);
    rig_expect(other, "421 ");
    rig_expect_end(other);
}

static void kicked_sessions_go_at_the_configured_rate(void **state)
{
    struct rig *rig = *state;
    struct peer *clients[20];
    uint64_t began_ms = clock_monotonic_ms();

    rig->config.limits.disconnects_per_second = 50;
    for (int i = 0; i < 20; i++)
        clients[i] = rig_connect(rig, &rig->imap);
    LIST_EACH (node, &rig->service.registry)
        departures_add_abandoned(&rig->service.departures,
                                 LIST_ELEMENT(node, struct session, registry_node), "kicked");
    for (int i = 0; i < 20; i++)
        rig_expect_end(clients[i]);
    assert_in_range(clock_monotonic_ms() - began_ms, 16 * 1000 / 50, 10000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_walk_meets_each_session_once_whoever_comes_and_goes),
        TEST(a_walk_is_not_endless_while_sessions_come),
        TEST(a_session_tells_whose_tls_it_has),
        TEST(a_socket_that_refuses_listens_again_however_many_processes_have_it),
        TEST(a_drained_session_goes_when_it_is_silent),
        TEST(at_the_deadline_it_goes_whatever_it_does),
        TEST(who_has_not_gone_stays_when_the_drain_is_undone),
        TEST(a_client_that_has_not_logged_in_is_told),
        TEST(kicked_sessions_go_at_the_configured_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
