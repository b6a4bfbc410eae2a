/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edges are told once.  So before the loop waits, nothing may be left that a transport could do:
 * no byte or end that it wants is unread, and nothing that it holds could be sent.  That is looked
 * at before each wait while a relay carries both directions in random pieces, with random pauses
 * and cuts, through buffers of several sizes.
 *
 * A relay can be slow all the same: with tiny buffers the kernel's windows get out of step (the
 * receiver has read all, and offers a little less than half of the largest window, which is the
 * least that the sender sends), and only a window probe goes on, five a second.  Hence the small
 * volume there.
 */
#include "tests/unit/relay_support.h"

#include <poll.h>
#include <sys/ioctl.h>

/* Longer than any processor is away, shorter than the kernel takes to make up for a lost edge. */
enum { TOLD_WITHIN_MS = 150 };

enum cut { CUT_NOTHING, CUT_CLIENT_SHUTS_DOWN, CUT_BACKEND_SHUTS_DOWN, CUT_CLIENT_RESETS, CUTS };

struct scene {
    struct relay_fixture *fixture;
    size_t volume;
    uint64_t dice;
    enum cut cut;
    size_t waits; /* how often the loop was about to wait */
};

static bool has_news(const struct io_loop *loop, int timeout_ms)
{
    struct pollfd epoll = { .fd = loop->epoll_fd, .events = POLLIN };

    return !list_is_empty(&loop->resume) || !list_is_empty(&loop->closing) ||
           poll(&epoll, 1, timeout_ms) > 0;
}

/* What a look at the socket says is there, whatever the transport knows; a set of io_readiness. */
static unsigned readiness_of_socket(int fd)
{
    struct pollfd socket = { .fd = fd, .events = POLLOUT | POLLRDHUP };
    int unread = 0;

    assert_int_equal(ioctl(fd, FIONREAD, &unread), 0);
    poll(&socket, 1, 0);
    return (unread > 0 || (socket.revents & (POLLRDHUP | POLLERR)) ? IO_READABLE : 0) |
           (socket.revents & POLLOUT ? IO_WRITABLE : 0);
}

static unsigned what_is_put_off(const struct transport *transport)
{
    bool is_in_handshake = transport->handshake == TRANSPORT_IN_HANDSHAKE;
    bool wants_input = transport->input < TRANSPORT_INPUT_ENDED &&
                       (is_in_handshake || (transport->watched & TRANSPORT_READABLE));
    bool wants_output = transport->output == TRANSPORT_OUTPUT_BLOCKED && !is_in_handshake;

    if (transport->is_closing)
        return 0;
    return readiness_of_socket(transport->fd) &
           ((wants_input ? IO_READABLE : 0U) | (wants_output ? IO_WRITABLE : 0U));
}

static void assert_nothing_is_put_off(const struct scene *scene)
{
    const struct relay_fixture *fixture = scene->fixture;
    const struct transport *const transports[] = { &fixture->client.peer.transport,
                                                   &fixture->near_client, &fixture->near_backend,
                                                   &fixture->backend.peer.transport };

    for (size_t i = 0; i < ARRAY_LENGTH(transports); i++) {
        unsigned put_off = what_is_put_off(transports[i]);

        if (put_off != 0 && !has_news(&fixture->loop, TOLD_WITHIN_MS))
            fail_msg("transport %zu leaves %u undone (input %d, output %d, dry %d)", i, put_off,
                     transports[i]->input, transports[i]->output, transports[i]->is_dry);
    }
}

static bool has_heard_the_end(const struct far *far)
{
    return far->peer.has_ended || far->peer.has_failed;
}

static size_t roll(struct scene *scene, size_t sides)
{
    scene->dice = scene->dice * 6364136223846793005U + 1442695040888963407U;
    return (size_t)(scene->dice >> 33) % sides;
}

static void vary_reading(struct scene *scene, struct far *far)
{
    static const size_t sizes[] = { 100, 1000, 5000, 16384, 16385, 0 };

    far->peer.read_size = sizes[roll(scene, ARRAY_LENGTH(sizes))];
    transport_watch(&far->peer.transport, roll(scene, 4) > 0 ? TRANSPORT_READABLE : 0);
}

static void go_on_sending(struct scene *scene, struct far *far)
{
    struct relay_fixture *fixture = scene->fixture;

    if (transport_has_pending(&far->peer.transport) || far->shuts_down || fixture->has_ended)
        return;
    far->to_send += roll(scene, 60000);
    if (far->to_send >= scene->volume) {
        far->to_send = scene->volume;
        far->shuts_down = (scene->cut == CUT_CLIENT_SHUTS_DOWN && far == &fixture->client) ||
                          (scene->cut == CUT_BACKEND_SHUTS_DOWN && far == &fixture->backend);
    }
    far_send(far);
}

/* What its client did not wait for, a backend does not say. */
static void hear_the_end(struct scene *scene)
{
    struct far *backend = &scene->fixture->backend;

    if (scene->cut == CUT_CLIENT_RESETS && backend->peer.has_ended &&
        !transport_has_pending(&backend->peer.transport)) {
        backend->to_send = backend->sent;
        backend->shuts_down = true;
        far_send(backend);
    }
}

static bool scene_is_over(const struct scene *scene)
{
    const struct relay_fixture *fixture = scene->fixture;

    if (scene->cut == CUT_CLIENT_RESETS)
        return fixture->has_ended && has_heard_the_end(&fixture->backend);
    if (scene->cut == CUT_BACKEND_SHUTS_DOWN)
        return fixture->has_ended && has_heard_the_end(&fixture->client);
    return fixture->client.peer.received.length == scene->volume &&
           fixture->backend.peer.received.length == scene->volume &&
           (scene->cut == CUT_NOTHING || fixture->backend.peer.has_ended);
}

/* Called before each turn. */
static bool scene_goes_on(void *context)
{
    struct scene *scene = context;
    struct relay_fixture *fixture = scene->fixture;
    struct far *const fars[] = { &fixture->client, &fixture->backend };
    bool would_wait = !has_news(&fixture->loop, 0);

    if (would_wait) {
        scene->waits++;
        assert_nothing_is_put_off(scene);
    }
    if (scene->cut == CUT_CLIENT_RESETS && !fixture->client.peer.transport.is_closing &&
        fixture->client.peer.received.length > scene->volume / 2)
        far_reset(&fixture->client);
    for (size_t i = 0; i < ARRAY_LENGTH(fars); i++) {
        if (fars[i]->peer.transport.is_closing)
            continue;
        if (roll(scene, 8) == 0)
            vary_reading(scene, fars[i]);
        if (would_wait) {
            transport_watch(&fars[i]->peer.transport, TRANSPORT_READABLE);
            go_on_sending(scene, fars[i]);
        }
    }
    hear_the_end(scene);
    return scene_is_over(scene);
}

static void play(struct relay_fixture *fixture, int buffer_size, size_t volume, unsigned number)
{
    struct scene scene = {
        .fixture = fixture, .volume = volume, .dice = number, .cut = number % CUTS
    };

    relay_fixture_init(fixture, buffer_size);
    if (number / CUTS % 3 > 0)
        relay_secure_client(fixture);
    if (number / CUTS % 3 > 1)
        relay_secure_backend(fixture);
    relay_fixture_start(fixture, NULL, NULL);
    io_run_until(&fixture->loop, scene_goes_on, &scene);
    assert_true(scene.waits > 0);
    if (scene.cut == CUT_NOTHING || scene.cut == CUT_CLIENT_SHUTS_DOWN) {
        far_assert_received(&fixture->client, volume, fixture->backend.seed);
        far_assert_received(&fixture->backend, volume, fixture->client.seed);
    }
    relay_fixture_teardown((void **)&fixture);
}

/* Each cut in plain text, with TLS on one side and on both, `rounds` times. */
static void play_all(void **state, int buffer_size, size_t volume, unsigned rounds)
{
    for (unsigned number = 0; number < rounds * CUTS * 3; number++)
        play(*state, buffer_size, volume, number);
}

static void nothing_is_put_off_with_ordinary_buffers(void **state)
{
    play_all(state, 0, 4 * 1024 * 1024, 1);
}

static void nothing_is_put_off_with_small_buffers(void **state)
{
    play_all(state, 16384, 512 * 1024, 3);
}

static void nothing_is_put_off_with_tiny_buffers(void **state)
{
    play_all(state, 4096, 24 * 1024, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_put_off_with_ordinary_buffers),
        cmocka_unit_test(nothing_is_put_off_with_small_buffers),
        cmocka_unit_test(nothing_is_put_off_with_tiny_buffers),
    };
    return cmocka_run_group_tests(tests, relay_group_setup, relay_group_teardown);
}
