/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/io_support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

enum { IO_TEST_LIMIT_MS = 20000, PEER_RECEIVED_MAX = 64 * 1024 * 1024 };

void io_make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

int io_listen_tcp(uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void socket_shrink(int fd, int buffer_size)
{
    if (buffer_size == 0)
        return;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof(buffer_size)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof(buffer_size)), 0);
}

void io_make_tcp_pair(int fds[2], int buffer_size)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    uint16_t port;
    int listening = io_listen_tcp(&port);

    address.sin_port = htons(port);
    socket_shrink(listening, buffer_size);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fds[0] >= 0);
    socket_shrink(fds[0], buffer_size);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    fds[1] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    close(listening);
}

static void guard_on_timer(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void io_run_until(struct io_loop *loop, bool (*is_done)(void *context), void *context)
{
    bool has_expired = false;
    uv_timer_t guard;

    assert_int_equal(uv_timer_init(&loop->uv, &guard), 0);
    guard.data = &has_expired;
    uv_timer_start(&guard, guard_on_timer, IO_TEST_LIMIT_MS, 0);
    while (!is_done(context) && !has_expired)
        io_loop_turn(loop, true);
    uv_close((uv_handle_t *)&guard, NULL);
    io_loop_turn(loop, false);
    assert_false(has_expired);
}

static bool flag_is_set(void *context)
{
    return *(const bool *)context;
}

void io_run_until_set(struct io_loop *loop, const bool *flag)
{
    io_run_until(loop, flag_is_set, (void *)(uintptr_t)flag);
}

void io_run_turns(struct io_loop *loop, int turns)
{
    while (turns-- > 0)
        io_loop_turn(loop, false);
}

void io_assert_quiet(const struct io_loop *loop)
{
    struct epoll_event event;

    assert_true(list_is_empty(&loop->resume));
    assert_int_equal(epoll_wait(loop->epoll_fd, &event, 1, 0), 0);
}

static bool peer_read_once(struct peer *peer)
{
    size_t size = peer->read_size > 0 ? peer->read_size : IO_SCRATCH_SIZE;
    char *scratch = peer->transport.loop->scratch;
    ssize_t count = transport_read(&peer->transport, scratch, size);

    if (count == TRANSPORT_END)
        peer->has_ended = true;
    if (count == TRANSPORT_ERROR)
        peer->has_failed = true;
    if (count < 0)
        return false;
    assert_in_range(count, 1, size);
    assert_true(bytes_append(&peer->received, span_of(scratch, (size_t)count)));
    return true;
}

void peer_drain(struct peer *peer)
{
    while (peer_read_once(peer))
        ;
}

static void peer_on_ready(struct transport *transport, unsigned readiness)
{
    struct peer *peer = CONTAINER_OF(transport, struct peer, transport);

    assert_false(peer->is_closed);
    if (readiness & TRANSPORT_SECURED)
        peer->is_secured = true;
    if (readiness & TRANSPORT_WRITABLE)
        peer->writable_count++;
    if (readiness & TRANSPORT_READABLE)
        peer->readable_count++;
    if (peer->on_ready)
        peer->on_ready(peer, readiness);
    else if ((readiness & TRANSPORT_READABLE) && peer->reads_once)
        peer_read_once(peer);
    else if (readiness & TRANSPORT_READABLE)
        peer_drain(peer);
}

static void peer_on_closed(struct transport *transport)
{
    CONTAINER_OF(transport, struct peer, transport)->is_closed = true;
}

void peer_init(struct peer *peer, struct io_loop *loop, int fd)
{
    static const struct transport_events events = { peer_on_ready, peer_on_closed };

    *peer = (struct peer){ .received = bytes_empty(PEER_RECEIVED_MAX) };
    transport_init(&peer->transport, loop, fd, &events);
    transport_watch(&peer->transport, TRANSPORT_READABLE);
}

void peer_fini(struct peer *peer)
{
    transport_close(&peer->transport);
    io_run_until_set(peer->transport.loop, &peer->is_closed);
    bytes_release(&peer->received);
}
