/* SPDX-License-Identifier: Apache-2.0 */
/* Mail for a backend that takes content in one piece (BDAT), which is not asked for it before. */
#include "tests/unit/session_support.h"

#include <stdlib.h>

enum { LARGE_SIZE = 20000 };

static struct peer *accept_store(struct rig *rig)
{
    return rig_accept_lmtp(rig, 0,
                           "250-store\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n");
}

static const char *const recipients[] = { "anna@example.org", "anna+x@example.org" };

/* `count` recipients, all of them known; NULL in `*backend`: on a new connection. */
static void ask(struct rig *rig, struct peer *client, struct peer **backend, unsigned count)
{
    char command[128];

    rig_say(client, "MAIL FROM:<me@example.com>\r\n");
    rig_expect(client, "250 2.1.0 Ok\r\n");
    for (unsigned i = 0; i < count; i++) {
        snprintf(command, sizeof(command), "RCPT TO:<%s>\r\n", recipients[i]);
        rig_say(client, command);
        if (!*backend)
            *backend = accept_store(rig);
        rig_expect(*backend, command);
        rig_say(*backend, i == 0 ? "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n" : "250 2.1.5 Known\r\n");
        rig_expect(client, "250 2.1.5 Known\r\n");
    }
}

/* A client that was told to give its content, of which its backend has not heard. */
static struct peer *begin(struct rig *rig, const struct listener_config *listener, unsigned count,
                          struct peer **backend)
{
    struct peer *client = rig_greet(rig, listener);

    *backend = NULL;
    ask(rig, client, backend, count);
    rig_say(client, "DATA\r\n");
    rig_expect(client, "354 ");
    rig_expect(client, "\r\n");
    assert_int_equal((*backend)->received.length, 0);
    return client;
}

struct arrival {
    struct peer *peer;
    size_t length;
};

static bool has_arrived(void *context)
{
    const struct arrival *arrival = context;

    return arrival->peer->received.length >= arrival->length;
}

/* The content that the backend gets in one piece, up to `content`, which is its end. */
static void expect_chunk(struct rig *rig, struct peer *backend, const char *content)
{
    struct arrival arrival = { .peer = backend };
    size_t length = strlen(content);
    struct bytes *received = &backend->received;
    const char *at;

    rig_expect(backend, "BDAT ");
    at = memchr(received->data, '\n', received->length);
    assert_non_null(at);
    arrival.length = (size_t)(at + 1 - received->data) + strtoul(received->data, NULL, 10);
    assert_memory_equal(at - 6, " LAST\r", 6);
    io_run_until(&rig->loop, has_arrived, &arrival);
    assert_int_equal(received->length, arrival.length);
    assert_non_null(memmem(received->data, received->length, "\nReceived: ", 11));
    assert_memory_equal(received->data + received->length - length, content, length);
    bytes_release(received);
}

/* Says content of LARGE_SIZE bytes, in lines that begin with a dot, all of one letter. */
static void say_large(struct peer *client)
{
    char line[1001];

    memset(line, 'x', sizeof(line));
    memcpy(line, "..", 2);
    strcpy(line + sizeof(line) - 3, "\r\n");
    for (int i = 0; i < LARGE_SIZE / 1000; i++)
        rig_say(client, line);
}

/* --- in one piece ------------------------------------------------------------------------ */

static void a_small_message_goes_whole_and_unstuffed(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend);

    rig_say(client, "Subject: x\r\n\r\n..dot\r\n");
    rig_wait(rig, 5);
    assert_int_equal(backend->received.length, 0);
    rig_say(client, "...\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nSubject: x\r\n\r\n.dot\r\n..\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n");
    assert_int_equal(rig->stored_count, 0);
    assert_int_equal(rig_count(rig, BOARD_MESSAGES_CUT_THROUGH), 1);
    ask(rig, client, &backend, 1);
    rig_say(client, "DATA\r\nagain\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nagain\r\n");
}

static void a_line_without_an_end_gets_one(void **state)
{
    struct rig *rig = *state;
    struct peer *backend = NULL, *client = rig_greet(rig, &rig->lmtp);

    ask(rig, client, &backend, 1);
    rig_say(client, "BDAT 8\r\nSubject:BDAT 5 LAST\r\n x\r\ny");
    expect_chunk(rig, backend, "\r\nSubject: x\r\ny\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 8 octets received\r\n250 2.0.0 Saved\r\n");
}

static void each_recipient_has_its_own_answer(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->lmtp, 2, &backend);

    rig_say(client, "body\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nbody\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n552 5.2.2 Full\r\n");
    rig_answer_store(rig, true); /* a report for the second */
    assert_string_equal(rig->stored.recipients, "anna+x@example.org=failed ");
    rig_expect(client, "250 2.0.0 Saved\r\n250 2.0.0 Ok: queued\r\n");
}

/* --- refusals ------------------------------------------------------------------------------ */

static void what_refused_a_chunk_is_reset_before_the_next_message(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend);

    rig_say(client, "body\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nbody\r\n");
    rig_say(backend, "552 5.3.4 Too large\r\n");
    rig_expect(client, "552 5.3.4 Too large\r\n");
    rig_expect(backend, "RSET\r\n");
    rig_say(backend, "250 2.0.0 Reset\r\n");
    io_run_turns(&rig->loop, 5);
    ask(rig, client, &backend, 1);
    rig_say(client, "DATA\r\nbody\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nbody\r\n");
    assert_int_equal(rig->stored_count, 0);
}

static void a_refusal_of_the_command_is_temporary_and_not_provoked_again(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend);

    rig_say(client, "body\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nbody\r\n");
    rig_say(backend, "503 5.5.1 What?\r\n");
    rig_expect(client, "451 4.5.1 What?\r\n");
    rig_expect(backend, "RSET\r\n");
    rig_say(backend, "250 2.0.0 Reset\r\n");
    io_run_turns(&rig->loop, 5);
    ask(rig, client, &backend, 1);
    rig_say(client, "DATA\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(client, "354 go on\r\n");
}

static void a_421_behind_a_chunk_is_an_answer(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 2, &backend);

    rig_say(client, "body\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nbody\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n421 4.3.2 Away\r\n");
    rig_answer_store(rig, true);
    assert_string_equal(rig->stored.recipients, "anna+x@example.org=pending ");
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
}

/* --- what is lost -------------------------------------------------------------------------- */

static void a_reply_to_a_chunk_that_is_lost_is_unknown(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 2, &backend);

    rig_say(client, "body\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nbody\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    io_run_turns(&rig->loop, 5);
    rig_close(backend);
    rig_answer_store(rig, true);
    assert_string_equal(rig->stored.recipients, "anna+x@example.org=unknown ");
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
}

static void a_backend_that_goes_before_the_chunk_has_nothing(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend);

    rig_say(client, "one\r\n");
    io_run_turns(&rig->loop, 5);
    rig_say(backend, "421 4.3.2 Idle for too long\r\n");
    rig_expect_end(backend);
    rig_say(client, "two\r\n.\r\n");
    rig_answer_store(rig, true);
    assert_string_equal(rig->stored.recipients, "anna@example.org=pending ");
    assert_true(rig_has_stored(rig, "\r\none\r\ntwo\r\n"));
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
    assert_int_equal(backend->received.length, 0);
}

static void the_gate_refuses_for_now_what_its_store_has_not_got(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client;

    rig->service.fallback = NULL;
    client = begin(rig, &rig->lmtp, 2, &backend);
    rig_say(client, "one\r\n");
    io_run_turns(&rig->loop, 5);
    rig_close(backend);
    io_run_turns(&rig->loop, 5);
    rig_say(client, ".\r\n");
    rig_expect(client, "451 4.3.0 ");
    rig_expect(client, "451 4.3.0 ");
}

static void the_gate_says_nothing_of_a_chunk_whose_reply_was_lost(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client;

    rig->service.fallback = NULL;
    client = begin(rig, &rig->lmtp, 1, &backend);
    rig_say(client, "body\r\n.\r\n");
    expect_chunk(rig, backend, "\r\nbody\r\n");
    rig_close(backend);
    rig_expect_end(client);
    assert_int_equal(client->received.length, 0);
}

static void a_client_that_leaves_gives_its_backend_back(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend), *other;

    rig_say(client, "half a\r\n");
    io_run_turns(&rig->loop, 5);
    rig_close(client);
    rig_expect(backend, "RSET\r\n");
    assert_int_equal(backend->received.length, 0);
    rig_say(backend, "250 2.0.0 Reset\r\n");
    io_run_turns(&rig->loop, 5);
    other = rig_greet(rig, &rig->smtp);
    ask(rig, other, &backend, 1);
}

/* --- behind DATA ---------------------------------------------------------------------------- */

static void what_is_too_large_goes_by_data_and_stuffed(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend);
    unsigned lines = 0;

    say_large(client);
    rig_expect(backend, "DATA\r\n");
    rig_say(client, ".\r\n"); /* waits */
    io_run_turns(&rig->loop, 5);
    assert_int_equal(backend->received.length, 0);
    rig_say(backend, "354 go on\r\n");
    rig_expect(backend, "Received: ");
    for (; lines < LARGE_SIZE / 1000; lines++)
        rig_expect(backend, "\r\n..xxx");
    rig_expect(backend, "xxx\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n");
    assert_int_equal(backend->received.length, 0);
}

static void what_is_said_to_be_large_goes_by_data_at_once(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = rig_greet(rig, &rig->smtp);

    rig_say(client, "MAIL FROM:<me@example.com> SIZE=20000\r\nRCPT TO:<anna@example.org>\r\n");
    backend = accept_store(rig);
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_say(client, "DATA\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(client, "354 go on\r\n");
}

static void what_comes_little_by_little_goes_by_data(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend);

    rig_say(client, "one\r\n");
    rig_wait(rig, 600);
    rig_say(client, "two\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(backend, "\r\none\r\ntwo\r\n");
    rig_say(client, "three\r\n");
    rig_expect(backend, "three\r\n");
    rig_say(client, ".\r\n");
    rig_expect(backend, ".\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n");
}

/* The client has its 354 by then: the refusal answers the end, for each recipient. */
static void a_refused_data_answers_the_end(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->lmtp, 2, &backend);

    say_large(client);
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "554 5.7.0 Not this\r\n");
    rig_expect(backend, "RSET\r\n");
    rig_say(backend, "250 2.0.0 Reset\r\n");
    io_run_turns(&rig->loop, 5);
    assert_int_equal(client->received.length, 0);
    say_large(client);
    rig_say(client, ".\r\n");
    rig_expect(client, "554 5.7.0 Not this\r\n554 5.7.0 Not this\r\n");
    assert_int_equal(rig->stored_count, 0);
    assert_int_equal(backend->received.length, 0);
    ask(rig, client, &backend, 1);
    rig_say(client, "DATA\r\n");
    rig_expect(client, "354 ");
    say_large(client);
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "450 4.7.0 Not now\r\n");
    rig_say(client, ".\r\n");
    rig_expect(client, "450 4.7.0 Not now\r\n");
    assert_int_equal(rig->stored_count, 0);
}

static void a_backend_that_goes_when_it_is_asked_has_nothing(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend);

    say_large(client);
    rig_say(client, ".\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_close(backend);
    rig_answer_store(rig, true);
    assert_string_equal(rig->stored.recipients, "anna@example.org=pending ");
    assert_in_range(rig->stored.content.length, LARGE_SIZE - 100, LARGE_SIZE + 1000);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
}

static void a_backend_that_does_not_answer_data_is_given_up(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin(rig, &rig->smtp, 1, &backend);

    say_large(client);
    rig_say(client, ".\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_answer_store(rig, true);
    assert_string_equal(rig->stored.recipients, "anna@example.org=pending ");
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, rig_set_up_with_pool, rig_tear_down_with_pool)
        T(a_small_message_goes_whole_and_unstuffed),
        T(a_line_without_an_end_gets_one),
        T(each_recipient_has_its_own_answer),
        T(what_refused_a_chunk_is_reset_before_the_next_message),
        T(a_refusal_of_the_command_is_temporary_and_not_provoked_again),
        T(a_421_behind_a_chunk_is_an_answer),
        T(a_reply_to_a_chunk_that_is_lost_is_unknown),
        T(a_backend_that_goes_before_the_chunk_has_nothing),
        T(the_gate_refuses_for_now_what_its_store_has_not_got),
        T(the_gate_says_nothing_of_a_chunk_whose_reply_was_lost),
        T(a_client_that_leaves_gives_its_backend_back),
        T(what_is_too_large_goes_by_data_and_stuffed),
        T(what_is_said_to_be_large_goes_by_data_at_once),
        T(what_comes_little_by_little_goes_by_data),
        T(a_refused_data_answers_the_end),
        T(a_backend_that_goes_when_it_is_asked_has_nothing),
        T(a_backend_that_does_not_answer_data_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
