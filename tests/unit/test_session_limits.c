/* SPDX-License-Identifier: Apache-2.0 */
/* What a mail session bounds: time, sessions, guesses, and what it asks of a backend. */
#include "tests/unit/session_support.h"

#include "common/session/mail_peers.h"
#include "common/session/mail_pool.h"

static struct mail_pool pool;
static struct mail_peers peers;

static int set_up(void **state)
{
    struct rig *rig;

    if (rig_set_up(state) != 0)
        return -1;
    rig = *state;
    mail_pool_init(&pool, 2, 60);
    mail_peers_init(&peers, 0, 0);
    rig->service.mail_pool = &pool;
    rig->service.mail_peers = &peers;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    int result;

    session_service_end_all(&rig->service, "the test is over");
    mail_pool_close(&pool);
    result = rig_tear_down(state);
    assert_int_equal(peers.sessions.count, 0);
    assert_true(list_is_empty(&pool.asking));
    mail_peers_fini(&peers);
    return result;
}

static struct peer *greet(struct rig *rig)
{
    struct peer *client = rig_connect(rig, &rig->smtp);

    rig_expect(client, "220 ");
    rig_say(client, "EHLO me\r\nMAIL FROM:<me@example.com>\r\n");
    rig_expect(client, "250 2.1.0 Ok\r\n");
    return client;
}

static struct peer *accept_recipient(struct rig *rig, const char *answer)
{
    struct peer *backend = rig_accept_lmtp(rig, 0, "250-store\r\n250 PIPELINING\r\n");

    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n");
    rig_say(backend, answer);
    return backend;
}

/* The client's content may come; the backend that gets it. */
static struct peer *begin_content(struct rig *rig, struct peer *client)
{
    struct peer *backend;

    rig_say(client, "RCPT TO:<anna@example.org>\r\nDATA\r\n");
    backend = accept_recipient(rig, "250 2.1.5 Known\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(client, "354 ");
    return backend;
}

static void who_talks_before_the_greeting_is_refused(void **state)
{
    struct rig *rig = *state;
    struct peer *client;

    rig->config.smtp.greeting_delay_ms = 5000;
    client = rig_connect(rig, &rig->smtp);
    rig_say(client, "EHLO me\r\n");
    rig_expect(client, "554 5.5.1 ");
    rig_expect_end(client);
    rig->config.smtp.greeting_delay_ms = 100;
    client = greet(rig);
    rig->config.smtp.greeting_delay_ms = 30000;
    client = rig_connect(rig, &rig->lmtp);
    rig_expect(client, "220 ");
}

static void who_waits_for_the_greeting_hears_that_the_worker_goes(void **state)
{
    struct rig *rig = *state;
    struct peer *client;

    rig->config.smtp.greeting_delay_ms = 30000;
    client = rig_connect(rig, &rig->smtp);
    session_service_end_all(&rig->service, "going");
    rig_expect(client, "421 4.3.2 ");
    rig_expect_end(client);
}

static void an_address_has_so_many_sessions(void **state)
{
    struct rig *rig = *state;
    struct peer *clients[3];

    peers.per_address_max = 2;
    clients[0] = greet(rig);
    clients[1] = greet(rig);
    clients[2] = rig_connect(rig, &rig->smtp);
    rig_expect(clients[2], "421 4.7.0 Too many connections from your address\r\n");
    rig_expect_end(clients[2]);
    rig_say(clients[0], "QUIT\r\n");
    rig_expect_end(clients[0]);
    clients[0] = greet(rig);
    peers.sessions_max = 2;
    clients[2] = rig_connect(rig, &rig->smtp);
    rig_expect(clients[2], "421 4.7.0 Too many connections, try");
}

static void who_guesses_recipients_is_slowed_down_and_has_to_go(void **state)
{
    struct rig *rig = *state;
    struct peer *client = greet(rig);
    uint64_t began_ms;

    rig->config.smtp.refused_recipients_max = 2;
    rig->config.smtp.tarpit_s = 1;
    rig->confirmation = DIRECTORY_ABSENT;
    began_ms = io_loop_now_ms(&rig->loop);
    rig_say(client, "RCPT TO:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n"
                    "RCPT TO:<c@example.org>\r\nRCPT TO:<d@example.org>\r\n");
    rig_expect(client, "550 5.1.1 ");
    rig_expect(client, "550 5.1.1 ");
    rig_expect(client, "550 5.1.1 ");
    assert_true(io_loop_now_ms(&rig->loop) - began_ms >= 900);
    rig_expect(client, "421 ");
    rig_expect_end(client);
}

/* A byte now and then keeps a session alive, but not a message. */
static void content_that_trickles_ends(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend;

    rig->config.timeout.content_s = 1;
    client = greet(rig);
    backend = begin_content(rig, client);
    for (int i = 0; i < 3; i++) {
        rig_say(client, "x\r\n");
        rig_wait(rig, 200);
    }
    rig_expect_end(client);
    rig_expect_end(backend);
}

static void a_header_has_a_limit(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend;

    rig->config.smtp.header_size_max = 1024;
    client = greet(rig);
    backend = begin_content(rig, client);
    for (int i = 0; i < 40; i++)
        rig_say(client, "X-Filler: 0123456789012345678901234567\r\n");
    rig_expect_end(backend);
    rig_say(client, "\r\n.\r\n");
    rig_expect(client, "552 5.3.4 The header is too large\r\n");
    assert_int_equal(rig->stored_count, 0);
}

static void a_backend_is_not_kept_waiting_for_a_message(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend;

    rig->config.timeout.envelope_s = 1;
    client = greet(rig);
    rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    backend = accept_recipient(rig, "250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    rig_expect(backend, "QUIT\r\n");
    rig_expect_end(backend);
    rig_say(client, "DATA\r\nbody\r\n.\r\n");
    rig_answer_store(rig, true);
    rig_expect(client, "354 ");
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
}

static void above_its_cap_a_backend_is_not_asked(void **state)
{
    struct rig *rig = *state;
    struct peer *first, *second, *backend;

    rig->config.smtp.verified_at_a_time = 1;
    first = greet(rig);
    rig_say(first, "RCPT TO:<anna@example.org>\r\n");
    backend = accept_recipient(rig, "250 2.1.5 Known\r\n");
    rig_expect(first, "250 2.1.5 Known\r\n");
    second = greet(rig);
    rig_say(second, "RCPT TO:<anna@example.org>\r\n");
    rig_expect(second, "250 2.1.5 Ok\r\n");
    assert_null(rig->accepted[0]);
    /* A message that comes is no mere question any more. */
    rig_say(first, "DATA\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(first, "354 ");
    rig_say(second, "RSET\r\nMAIL FROM:<me@example.com>\r\nRCPT TO:<anna@example.org>\r\n");
    backend = accept_recipient(rig, "550 5.1.1 Nobody\r\n");
    rig_expect(second, "550 5.1.1 Nobody\r\n");
}

static void a_balancer_tells_whose_connection_it_is(void **state)
{
    struct rig *rig = *state;
    char *networks[] = { (char[]){ "127.0.0.0/8" } };
    struct peer *client, *backend;

    rig->smtp.proxy_protocol_from = (struct string_list){ networks, 1 };
    client = rig_connect(rig, &rig->smtp);
    rig_say(client, "PROXY TCP4 192.0.2.77 192.0.2.2 10");
    io_run_turns(&rig->loop, 5);
    rig_say(client, "25 25\r\n");
    rig_expect(client, "220 ");
    rig_say(client, "EHLO me\r\nMAIL FROM:<me@example.com>\r\n");
    backend = begin_content(rig, client);
    rig_say(client, "x\r\n.\r\n");
    rig_expect(backend, "Received: from me ([192.0.2.77])");
    /* Who does not begin with it is no balancer. */
    client = rig_connect(rig, &rig->smtp);
    rig_say(client, "EHLO client.example.org\r\n");
    rig_expect_end(client);
    assert_int_equal(client->received.length, 0);
}

static void a_trusted_relay_says_whose_mail_it_is(void **state)
{
    struct rig *rig = *state;
    char *networks[] = { (char[]){ "127.0.0.1" } };
    struct peer *client, *backend;

    rig->smtp.xclient_from = (struct string_list){ networks, 1 };
    peers.per_address_max = 1;
    client = rig_connect(rig, &rig->smtp);
    rig_expect(client, "220 ");
    rig_say(client, "XCLIENT ADDR=192.0.2.77 PORT=25\r\nEHLO me\r\nMAIL FROM:<me@example.com>\r\n");
    rig_expect(client, "220 ");
    backend = begin_content(rig, client);
    rig_say(client, "x\r\n.\r\n");
    rig_expect(backend, "Received: from me ([192.0.2.77])");
    /* Its own address is free again, the other one is counted. */
    client = rig_connect(rig, &rig->smtp);
    rig_expect(client, "220 ");
    rig_say(client, "XCLIENT ADDR=192.0.2.77\r\n");
    rig_expect(client, "421 ");
    rig_expect_end(client);
}

static void what_is_declared_8_bit_goes_where_it_is_taken(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->smtp), *backend;

    rig_expect(client, "220 ");
    rig_say(client, "EHLO me\r\nMAIL FROM:<me@example.com> BODY=8BITMIME\r\n"
                    "RCPT TO:<anna@example.org>\r\n");
    backend = rig_accept_lmtp(rig, 0, "250-store\r\n250 PIPELINING\r\n");
    rig_expect(client, "554 5.6.3 ");
    rig_say(client, "RSET\r\nMAIL FROM:<me@example.com>\r\nRCPT TO:<anna@example.org>\r\n");
    rig_expect(backend, "MAIL FROM:<me@example.com>\r\nRCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(who_talks_before_the_greeting_is_refused),
        T(who_waits_for_the_greeting_hears_that_the_worker_goes),
        T(an_address_has_so_many_sessions),
        T(who_guesses_recipients_is_slowed_down_and_has_to_go),
        T(content_that_trickles_ends),
        T(a_header_has_a_limit),
        T(a_backend_is_not_kept_waiting_for_a_message),
        T(above_its_cap_a_backend_is_not_asked),
        T(a_balancer_tells_whose_connection_it_is),
        T(a_trusted_relay_says_whose_mail_it_is),
        T(what_is_declared_8_bit_goes_where_it_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
