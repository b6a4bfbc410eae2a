/* SPDX-License-Identifier: Apache-2.0 */
/* Transports inside TLS: handshakes, buffered input, back-pressure, ends. */
#include "tests/unit/io_support.h"

#include <unistd.h>

#include "common/io/tls.h"
#include "tests/unit/certificates.h"

struct fixture {
    struct io_loop loop;
    struct test_certificate authority;
    struct test_certificate certificate;
    char ca_file[64];
    SSL_CTX *server_context;
    SSL_CTX *client_context;
    struct peer client;
    struct peer server;
};

static int group_setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));
    char error[TLS_ERROR_SIZE];

    test_authority_make(&fixture->authority);
    test_certificate_issue(&fixture->certificate, &fixture->authority,
                           "DNS:mail.example.org,IP:192.0.2.1");
    strcpy(fixture->ca_file, "/tmp/test_io_secured.XXXXXX");
    test_pem_write(fixture->authority.certificate, fixture->ca_file);
    fixture->server_context = test_server_context(&fixture->certificate, error);
    fixture->client_context = tls_client_context(fixture->ca_file, true, error);
    assert_non_null(fixture->server_context);
    assert_non_null(fixture->client_context);
    *state = fixture;
    return 0;
}

static int group_teardown(void **state)
{
    struct fixture *fixture = *state;

    SSL_CTX_free(fixture->server_context);
    SSL_CTX_free(fixture->client_context);
    unlink(fixture->ca_file);
    test_certificate_free(&fixture->authority);
    test_certificate_free(&fixture->certificate);
    free(fixture);
    return 0;
}

enum { SMALL_SOCKETS = 16384 };

static int fixture_setup(void **state)
{
    struct fixture *fixture = *state;
    int fds[2];

    io_loop_init(&fixture->loop);
    io_make_tcp_pair(fds, SMALL_SOCKETS);
    peer_init(&fixture->client, &fixture->loop, fds[0]);
    peer_init(&fixture->server, &fixture->loop, fds[1]);
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    peer_fini(&fixture->client);
    peer_fini(&fixture->server);
    io_loop_fini(&fixture->loop);
    return 0;
}

static bool both_are_secured(void *context)
{
    struct fixture *fixture = context;

    return fixture->client.is_secured && fixture->server.is_secured;
}

static void start_both(struct fixture *fixture, const char *name)
{
    assert_true(transport_start_tls_server(&fixture->server.transport, fixture->server_context));
    assert_true(transport_start_tls_client(&fixture->client.transport, fixture->client_context,
                                           name, NULL));
}

static void secure_both(struct fixture *fixture)
{
    start_both(fixture, "mail.example.org");
    io_run_until(&fixture->loop, both_are_secured, fixture);
}

struct expectation {
    const struct peer *peer;
    size_t length;
};

static bool expectation_is_met(void *context)
{
    const struct expectation *expectation = context;

    return expectation->peer->received.length >= expectation->length;
}

static void run_until_received(struct fixture *fixture, const struct peer *peer, size_t length)
{
    struct expectation expectation = { peer, length };

    io_run_until(&fixture->loop, expectation_is_met, &expectation);
}

static char *pattern_new(size_t size, unsigned seed)
{
    char *pattern = memory_new(size);

    for (size_t i = 0; i < size; i++)
        pattern[i] = (char)(i * 7 + i / 251 + seed);
    return pattern;
}

static void both_sides_talk_after_the_handshake(void **state)
{
    struct fixture *fixture = *state;

    secure_both(fixture);
    assert_true(transport_send(&fixture->client.transport, SPAN_LITERAL("from client")));
    assert_true(transport_send(&fixture->server.transport, SPAN_LITERAL("from server")));
    run_until_received(fixture, &fixture->client, 11);
    run_until_received(fixture, &fixture->server, 11);
    assert_span(bytes_span(&fixture->client.received), "from server");
    assert_span(bytes_span(&fixture->server.received), "from client");
    assert_false(transport_start_tls_server(&fixture->server.transport, fixture->server_context));
}

static void a_handshake_goes_on_while_reading_is_paused(void **state)
{
    struct fixture *fixture = *state;

    transport_watch(&fixture->client.transport, 0);
    transport_watch(&fixture->server.transport, 0);
    secure_both(fixture);
    assert_int_equal(fixture->client.readable_count, 0);
    assert_int_equal(fixture->server.readable_count, 0);
}

/* What the client says with the end of its handshake is in OpenSSL's buffer by then. */
static void what_is_sent_during_the_handshake_follows_it(void **state)
{
    struct fixture *fixture = *state;

    start_both(fixture, NULL);
    assert_int_equal(transport_try_write(&fixture->client.transport, SPAN_LITERAL("x")), 0);
    assert_true(transport_send(&fixture->client.transport, SPAN_LITERAL("early")));
    assert_true(transport_send(&fixture->server.transport, SPAN_LITERAL("soon")));
    run_until_received(fixture, &fixture->server, 5);
    run_until_received(fixture, &fixture->client, 4);
    assert_true(both_are_secured(fixture));
    assert_span(bytes_span(&fixture->server.received), "early");
    assert_span(bytes_span(&fixture->client.received), "soon");
    assert_int_equal(fixture->client.writable_count, 1);
}

static void records_that_came_at_once_are_read_a_byte_at_a_time(void **state)
{
    struct fixture *fixture = *state;

    secure_both(fixture);
    fixture->server.read_size = 1;
    fixture->server.reads_once = true;
    for (int i = 0; i < 5; i++)
        assert_true(transport_send(&fixture->client.transport, SPAN_LITERAL("0123456789")));
    run_until_received(fixture, &fixture->server, 50);
    assert_span(bytes_span(&fixture->server.received),
                "01234567890123456789012345678901234567890123456789");
    assert_true(fixture->server.readable_count >= 50);
    io_run_turns(&fixture->loop, 3);
    io_assert_quiet(&fixture->loop);
}

static void a_pause_holds_for_buffered_input_too(void **state)
{
    struct fixture *fixture = *state;

    secure_both(fixture);
    fixture->server.read_size = 1;
    fixture->server.reads_once = true;
    assert_true(transport_send(&fixture->client.transport, SPAN_LITERAL("0123456789")));
    run_until_received(fixture, &fixture->server, 2);
    transport_watch(&fixture->server.transport, 0);
    io_run_turns(&fixture->loop, 5);
    assert_true(fixture->server.received.length <= 3);
    io_assert_quiet(&fixture->loop);
    transport_watch(&fixture->server.transport, TRANSPORT_READABLE);
    run_until_received(fixture, &fixture->server, 10);
    assert_span(bytes_span(&fixture->server.received), "0123456789");
}

enum { BIG = 900 * 1024 };

static void a_lot_crosses_in_both_directions_through_small_sockets(void **state)
{
    struct fixture *fixture = *state;
    char *up = pattern_new(BIG, 1), *down = pattern_new(BIG, 2);

    secure_both(fixture);
    assert_true(transport_send(&fixture->client.transport, span_of(up, BIG)));
    assert_true(transport_send(&fixture->server.transport, span_of(down, BIG)));
    assert_true(transport_has_pending(&fixture->client.transport));
    run_until_received(fixture, &fixture->server, BIG);
    run_until_received(fixture, &fixture->client, BIG);
    assert_memory_equal(fixture->server.received.data, up, BIG);
    assert_memory_equal(fixture->client.received.data, down, BIG);
    assert_int_equal(fixture->client.writable_count, 1);
    assert_false(transport_has_pending(&fixture->client.transport));
    free(up);
    free(down);
}

/* A record that is sealed but not sent counts as taken: what is tried next may be shorter. */
static void short_writes_take_whole_records_whatever_follows(void **state)
{
    struct fixture *fixture = *state;
    char *pattern = pattern_new(BIG, 3);
    size_t written = 0;
    unsigned tries = 0;

    secure_both(fixture);
    while (written < BIG) {
        size_t rest = BIG - written;
        size_t size = tries++ % 2 == 1 && rest > 10 ? 10 : rest;
        ssize_t taken =
            transport_try_write(&fixture->client.transport, span_of(pattern + written, size));

        assert_in_range(taken, 0, size);
        written += (size_t)taken;
        io_loop_turn(&fixture->loop, false);
    }
    assert_true(transport_send(&fixture->client.transport, SPAN_LITERAL("end")));
    run_until_received(fixture, &fixture->server, BIG + 3);
    assert_memory_equal(fixture->server.received.data, pattern, BIG);
    assert_memory_equal(fixture->server.received.data + BIG, "end", 3);
    assert_true(fixture->client.writable_count > 0);
    free(pattern);
}

static void tls_starts_behind_the_plain_text_that_is_held(void **state)
{
    struct fixture *fixture = *state;
    struct transport *client = &fixture->client.transport;
    char *plain = pattern_new(BIG, 4), *copy = memory_new(BIG);
    size_t copied = 0;

    transport_watch(client, 0);
    assert_true(transport_send(&fixture->server.transport, span_of(plain, BIG)));
    assert_true(transport_has_pending(&fixture->server.transport));
    assert_true(transport_start_tls_server(&fixture->server.transport, fixture->server_context));
    assert_true(transport_send(&fixture->server.transport, SPAN_LITERAL("inside")));
    while (copied < BIG) {
        ssize_t count = recv(client->fd, copy + copied, BIG - copied, 0);

        if (count > 0)
            copied += (size_t)count;
        io_loop_turn(&fixture->loop, false);
    }
    assert_memory_equal(copy, plain, BIG);
    assert_true(transport_start_tls_client(client, fixture->client_context, NULL, NULL));
    transport_watch(client, TRANSPORT_READABLE);
    run_until_received(fixture, &fixture->client, 6);
    assert_span(bytes_span(&fixture->client.received), "inside");
    free(plain);
    free(copy);
}

static void plain_text_behind_starttls_fails_the_handshake_and_is_not_seen(void **state)
{
    struct fixture *fixture = *state;

    assert_true(transport_send(&fixture->client.transport,
                               SPAN_LITERAL("MAIL FROM:<injected@example.org>\r\n")));
    assert_true(transport_start_tls_server(&fixture->server.transport, fixture->server_context));
    io_run_until_set(&fixture->loop, &fixture->server.has_failed);
    assert_false(fixture->server.is_secured);
    assert_int_equal(fixture->server.received.length, 0);
    assert_string_equal(transport_error(&fixture->server.transport),
                        "TLS handshake: wrong version number");
    assert_false(transport_send(&fixture->server.transport, SPAN_LITERAL("x")));
}

/* The first step already meets the garbage; the failure is an event all the same. */
static void garbage_that_waits_for_a_client_fails_its_handshake_from_the_loop(void **state)
{
    struct fixture *fixture = *state;

    transport_watch(&fixture->client.transport, 0);
    assert_true(transport_send(&fixture->server.transport, SPAN_LITERAL("220 plain text\r\n")));
    assert_true(transport_start_tls_client(&fixture->client.transport, fixture->client_context,
                                           NULL, NULL));
    assert_false(fixture->client.has_failed);
    io_run_until_set(&fixture->loop, &fixture->client.has_failed);
    assert_memory_equal(transport_error(&fixture->client.transport), "TLS handshake: ", 15);
}

static void a_peer_that_leaves_in_the_handshake_fails_it_even_while_paused(void **state)
{
    struct fixture *fixture = *state;

    transport_watch(&fixture->server.transport, 0);
    assert_true(transport_start_tls_server(&fixture->server.transport, fixture->server_context));
    transport_close(&fixture->client.transport);
    io_run_until_set(&fixture->loop, &fixture->server.has_failed);
    assert_string_equal(transport_error(&fixture->server.transport),
                        "TLS handshake: closed by the peer");
    io_run_turns(&fixture->loop, 3);
    assert_int_equal(fixture->server.readable_count, 1);
}

static void a_name_is_verified(void **state)
{
    static const struct {
        const char *name, *error;
    } rows[] = {
        { "mail.example.org", NULL },
        { "192.0.2.1", NULL },
        { NULL, NULL },
        { "imap.example.org", "TLS handshake: hostname mismatch" },
        { "192.0.2.2", "TLS handshake: IP address mismatch" },
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct peer *client = &fixture->client;

        start_both(fixture, rows[i].name);
        if (rows[i].error) {
            io_run_until_set(&fixture->loop, &client->has_failed);
            assert_string_equal(transport_error(&client->transport), rows[i].error);
            assert_false(client->is_secured);
        } else {
            io_run_until(&fixture->loop, both_are_secured, fixture);
        }
        assert_int_equal(fixture_teardown(state) | fixture_setup(state), 0);
    }
}

static void an_unknown_authority_is_refused_and_both_sides_say_why(void **state)
{
    struct fixture *fixture = *state;
    struct test_certificate other;
    char path[] = "/tmp/test_io_secured.XXXXXX", error[TLS_ERROR_SIZE];
    SSL_CTX *context;

    test_authority_make(&other);
    test_pem_write(other.certificate, path);
    context = tls_client_context(path, true, error);
    assert_non_null(context);
    assert_true(transport_start_tls_server(&fixture->server.transport, fixture->server_context));
    assert_true(
        transport_start_tls_client(&fixture->client.transport, context, "mail.example.org", NULL));
    io_run_until_set(&fixture->loop, &fixture->client.has_failed);
    assert_memory_equal(transport_error(&fixture->client.transport), "TLS handshake: ", 15);
    assert_non_null(strstr(transport_error(&fixture->client.transport), "certificate"));
    io_run_until_set(&fixture->loop, &fixture->server.has_failed);
    assert_non_null(strstr(transport_error(&fixture->server.transport), "alert"));
    SSL_CTX_free(context);
    unlink(path);
    test_certificate_free(&other);
}

static void without_verification_any_certificate_and_name_will_do(void **state)
{
    struct fixture *fixture = *state;
    char error[TLS_ERROR_SIZE];
    SSL_CTX *context = tls_client_context(NULL, false, error);

    assert_non_null(context);
    assert_true(transport_start_tls_server(&fixture->server.transport, fixture->server_context));
    assert_true(
        transport_start_tls_client(&fixture->client.transport, context, "other.example.org", NULL));
    io_run_until(&fixture->loop, both_are_secured, fixture);
    SSL_CTX_free(context);
}

static void a_close_says_close_notify_behind_the_last_bytes(void **state)
{
    struct fixture *fixture = *state;

    secure_both(fixture);
    fixture->server.read_size = 3;
    fixture->server.reads_once = true;
    SSL_clear_options(fixture->server.transport.ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    assert_true(transport_send(&fixture->client.transport, SPAN_LITERAL("goodbye")));
    transport_close(&fixture->client.transport);
    io_run_until_set(&fixture->loop, &fixture->server.has_ended);
    assert_span(bytes_span(&fixture->server.received), "goodbye");
}

static void an_end_without_close_notify_is_an_end_too(void **state)
{
    struct fixture *fixture = *state;

    secure_both(fixture);
    assert_true(transport_send(&fixture->client.transport, SPAN_LITERAL("goodbye")));
    assert_int_equal(shutdown(fixture->client.transport.fd, SHUT_WR), 0);
    io_run_until_set(&fixture->loop, &fixture->server.has_ended);
    assert_span(bytes_span(&fixture->server.received), "goodbye");
}

static void garbage_inside_an_established_session_is_an_error(void **state)
{
    struct fixture *fixture = *state;

    secure_both(fixture);
    assert_int_equal(send(fixture->client.transport.fd, "NOOP\r\nNOOP\r\n", 12, 0), 12);
    io_run_until_set(&fixture->loop, &fixture->server.has_failed);
    assert_memory_equal(transport_error(&fixture->server.transport), "TLS read: ", 10);
    assert_int_equal(fixture->server.received.length, 0);
}

static void a_shutdown_leaves_the_other_direction_open(void **state)
{
    struct fixture *fixture = *state;
    char *pattern = pattern_new(BIG, 5);

    secure_both(fixture);
    assert_true(transport_send(&fixture->client.transport, span_of(pattern, BIG)));
    transport_shutdown(&fixture->client.transport);
    io_run_until_set(&fixture->loop, &fixture->server.has_ended);
    assert_int_equal(fixture->server.received.length, BIG);
    assert_true(transport_send(&fixture->server.transport, SPAN_LITERAL("still here")));
    run_until_received(fixture, &fixture->client, 10);
    assert_span(bytes_span(&fixture->client.received), "still here");
    free(pattern);
}

/* The teardown closes what this leaves in each state of a handshake and of a blocked write. */
static void a_transport_can_be_closed_in_each_state(void **state)
{
    struct fixture *fixture = *state;
    char *pattern = pattern_new(BIG, 6);

    for (int turns = 0; turns < 12; turns++) {
        bool closes_client = turns % 2 == 0;

        start_both(fixture, NULL);
        assert_true(transport_send(&fixture->client.transport, span_of(pattern, BIG)));
        io_run_turns(&fixture->loop, turns / 2);
        transport_close(closes_client ? &fixture->client.transport : &fixture->server.transport);
        if (!closes_client)
            io_run_until_set(&fixture->loop, &fixture->client.has_failed);
        assert_int_equal(fixture_teardown(state) | fixture_setup(state), 0);
    }
    free(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(both_sides_talk_after_the_handshake),
        TEST(a_handshake_goes_on_while_reading_is_paused),
        TEST(what_is_sent_during_the_handshake_follows_it),
        TEST(records_that_came_at_once_are_read_a_byte_at_a_time),
        TEST(a_pause_holds_for_buffered_input_too),
        TEST(a_lot_crosses_in_both_directions_through_small_sockets),
        TEST(short_writes_take_whole_records_whatever_follows),
        TEST(tls_starts_behind_the_plain_text_that_is_held),
        TEST(plain_text_behind_starttls_fails_the_handshake_and_is_not_seen),
        TEST(garbage_that_waits_for_a_client_fails_its_handshake_from_the_loop),
        TEST(a_peer_that_leaves_in_the_handshake_fails_it_even_while_paused),
        TEST(a_name_is_verified),
        TEST(an_unknown_authority_is_refused_and_both_sides_say_why),
        TEST(without_verification_any_certificate_and_name_will_do),
        TEST(a_close_says_close_notify_behind_the_last_bytes),
        TEST(an_end_without_close_notify_is_an_end_too),
        TEST(garbage_inside_an_established_session_is_an_error),
        TEST(a_shutdown_leaves_the_other_direction_open),
        TEST(a_transport_can_be_closed_in_each_state),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
