/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/relay_support.h"

#include "common/io/tls.h"
#include "tests/unit/certificates.h"

enum { CHUNK = 50000 };

static void near_on_ready(struct transport *transport, unsigned readiness);
static void near_on_closed(struct transport *transport);

static const struct transport_events near_events = { near_on_ready, near_on_closed };

static struct relay_fixture *fixture_of(struct transport *transport)
{
    return transport->loop->uv.data;
}

static void near_on_ready(struct transport *transport, unsigned readiness)
{
    struct relay_fixture *fixture = fixture_of(transport);

    if (readiness & TRANSPORT_SECURED)
        fixture->near_secured++;
    if (fixture->is_relaying)
        relay_ready(&fixture->relay, transport, readiness);
}

static void near_on_closed(struct transport *transport)
{
    fixture_of(transport)->near_closed++;
}

static void fixture_on_ended(struct relay *relay, enum relay_end end)
{
    struct relay_fixture *fixture = CONTAINER_OF(relay, struct relay_fixture, relay);

    assert_false(fixture->has_ended);
    fixture->has_ended = true;
    fixture->end = end;
    transport_close(&fixture->near_client);
    transport_close(&fixture->near_backend);
}

static unsigned char pattern_at(size_t index, unsigned seed)
{
    return (unsigned char)(index * 7 + index / 251 + seed);
}

void far_send(struct far *far)
{
    static char chunk[CHUNK];

    while (far->sent < far->to_send && !transport_has_pending(&far->peer.transport)) {
        size_t count = far->to_send - far->sent < CHUNK ? far->to_send - far->sent : CHUNK;

        for (size_t i = 0; i < count; i++)
            chunk[i] = (char)pattern_at(far->sent + i, far->seed);
        if (!transport_send(&far->peer.transport, span_of(chunk, count))) {
            far->to_send = far->sent; /* reading tells why */
            return;
        }
        far->sent += count;
    }
    if (far->sent == far->to_send && far->shuts_down)
        transport_shutdown(&far->peer.transport);
}

static void far_on_ready(struct peer *peer, unsigned readiness)
{
    if (readiness & TRANSPORT_READABLE)
        peer_drain(peer);
    if (readiness & TRANSPORT_WRITABLE)
        far_send(CONTAINER_OF(peer, struct far, peer));
}

static void far_init(struct far *far, struct io_loop *loop, int fd, unsigned seed)
{
    *far = (struct far){ .seed = seed };
    peer_init(&far->peer, loop, fd);
    far->peer.on_ready = far_on_ready;
}

void far_assert_received(const struct far *far, size_t length, unsigned seed)
{
    assert_int_equal(far->peer.received.length, length);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)far->peer.received.data[i] != pattern_at(i, seed))
            fail_msg("byte %zu differs", i);
}

int relay_group_setup(void **state)
{
    struct relay_fixture *fixture = memory_new(sizeof(*fixture));
    struct test_certificate authority, certificate;
    char error[TLS_ERROR_SIZE];

    test_authority_make(&authority);
    test_certificate_issue(&certificate, &authority, "DNS:mail.example.org");
    fixture->server_context = test_server_context(&certificate, error);
    fixture->client_context = tls_client_context(NULL, false, error);
    assert_non_null(fixture->server_context);
    assert_non_null(fixture->client_context);
    test_certificate_free(&authority);
    test_certificate_free(&certificate);
    *state = fixture;
    return 0;
}

int relay_group_teardown(void **state)
{
    struct relay_fixture *fixture = *state;

    SSL_CTX_free(fixture->server_context);
    SSL_CTX_free(fixture->client_context);
    free(fixture);
    return 0;
}

void relay_fixture_init(struct relay_fixture *fixture, int buffer_size)
{
    int left[2], right[2];

    fixture->is_relaying = fixture->has_ended = false;
    fixture->near_closed = fixture->near_secured = 0;
    io_loop_init(&fixture->loop);
    fixture->loop.uv.data = fixture;
    io_make_tcp_pair(left, buffer_size);
    io_make_tcp_pair(right, buffer_size);
    far_init(&fixture->client, &fixture->loop, left[0], 11);
    far_init(&fixture->backend, &fixture->loop, right[0], 22);
    transport_init(&fixture->near_client, &fixture->loop, left[1], &near_events);
    transport_init(&fixture->near_backend, &fixture->loop, right[1], &near_events);
}

static bool near_are_closed(void *context)
{
    return ((struct relay_fixture *)context)->near_closed == 2;
}

int relay_fixture_teardown(void **state)
{
    struct relay_fixture *fixture = *state;

    peer_fini(&fixture->client.peer);
    peer_fini(&fixture->backend.peer);
    transport_close(&fixture->near_client);
    transport_close(&fixture->near_backend);
    io_run_until(&fixture->loop, near_are_closed, fixture);
    io_loop_fini(&fixture->loop);
    return 0;
}

void relay_fixture_start(struct relay_fixture *fixture, const char *from_client,
                         const char *from_backend)
{
    fixture->is_relaying = true;
    relay_start(&fixture->relay, &fixture->near_client, &fixture->near_backend,
                span_from_string(from_client), span_from_string(from_backend), fixture_on_ended);
}

struct wait {
    struct relay_fixture *fixture;
    size_t at_client;
    size_t at_backend;
    unsigned secured;
};

static bool wait_is_over(void *context)
{
    const struct wait *wait = context;

    return wait->fixture->client.peer.received.length >= wait->at_client &&
           wait->fixture->backend.peer.received.length >= wait->at_backend &&
           wait->fixture->near_secured >= wait->secured;
}

void relay_run_until_received(struct relay_fixture *fixture, size_t at_client, size_t at_backend)
{
    struct wait wait = { fixture, at_client, at_backend, 0 };

    io_run_until(&fixture->loop, wait_is_over, &wait);
}

void relay_secure_client(struct relay_fixture *fixture)
{
    struct wait wait = { fixture, 0, 0, fixture->near_secured + 1 };

    assert_true(transport_start_tls_server(&fixture->near_client, fixture->server_context));
    assert_true(transport_start_tls_client(&fixture->client.peer.transport, fixture->client_context,
                                           NULL, NULL));
    io_run_until(&fixture->loop, wait_is_over, &wait);
}

void relay_secure_backend(struct relay_fixture *fixture)
{
    struct wait wait = { fixture, 0, 0, fixture->near_secured + 1 };

    assert_true(
        transport_start_tls_server(&fixture->backend.peer.transport, fixture->server_context));
    assert_true(
        transport_start_tls_client(&fixture->near_backend, fixture->client_context, NULL, NULL));
    io_run_until(&fixture->loop, wait_is_over, &wait);
}

void far_reset(struct far *far)
{
    struct linger linger = { 1, 0 };

    assert_int_equal(
        setsockopt(far->peer.transport.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    transport_close(&far->peer.transport);
}
