/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to backends that carry one transaction after the other. */
#include "tests/unit/session_support.h"

static struct peer *accept_store(struct rig *rig)
{
    return rig_accept_lmtp(rig, 0, "250-store\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
}

static void ask(struct peer *client, const char *name)
{
    char command[128];

    snprintf(command, sizeof(command), "MAIL FROM:<me@example.com>\r\nRCPT TO:<%s@example.org>\r\n",
             name);
    rig_say(client, command);
}

/* The backend takes the envelope that it expects first. */
static void take_envelope(struct peer *backend, struct peer *client)
{
    rig_expect(backend, "MAIL FROM:<me@example.com>\r\nRCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
}

static void take_message(struct peer *backend, struct peer *client)
{
    rig_say(client, "DATA\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(client, "354 ");
    rig_say(client, "body\r\n.\r\n");
    rig_expect(backend, "body\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n");
}

/* One message through, so that its connection waits. */
static struct peer *leave_one_waiting(struct rig *rig, struct peer **client)
{
    struct peer *backend;

    *client = rig_greet(rig, &rig->smtp);
    ask(*client, "anna");
    backend = accept_store(rig);
    take_envelope(backend, *client);
    take_message(backend, *client);
    assert_false(list_is_empty(&rig->pool.idle));
    return backend;
}

static void one_connection_carries_the_messages_of_several_sessions(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *other, *backend = leave_one_waiting(rig, &client);

    ask(client, "anna");
    take_envelope(backend, client);
    take_message(backend, client);
    rig_close(client);
    other = rig_greet(rig, &rig->smtp);
    ask(other, "anna");
    take_envelope(backend, other);
    take_message(backend, other);
    assert_null(rig->accepted[0]);
}

static void two_messages_at_a_time_are_on_two_connections(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend = leave_one_waiting(rig, &client), *second;
    struct peer *other = rig_greet(rig, &rig->smtp);

    ask(client, "anna");
    take_envelope(backend, client);
    ask(other, "anna");
    second = accept_store(rig);
    take_envelope(second, other);
    take_message(backend, client);
    take_message(second, other);
}

static void a_connection_that_died_while_it_waited_is_replaced(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend = leave_one_waiting(rig, &client);

    /* It is known to be dead, ... */
    rig_close(backend);
    io_run_turns(&rig->loop, 5);
    assert_true(list_is_empty(&rig->pool.idle));
    ask(client, "anna");
    backend = accept_store(rig);
    take_envelope(backend, client);
    take_message(backend, client);
    /* ... or it dies of the first command, ... */
    ask(client, "anna");
    rig_expect(backend, "MAIL FROM:<me@example.com>\r\n");
    rig_close(backend);
    backend = accept_store(rig);
    take_envelope(backend, client);
    take_message(backend, client);
    /* ... or answers it by saying that it goes. */
    ask(client, "anna");
    rig_expect(backend, "MAIL FROM:<me@example.com>\r\n");
    rig_say(backend, "421 4.3.2 Idle for too long\r\n");
    backend = accept_store(rig);
    take_envelope(backend, client);
    take_message(backend, client);
    assert_int_equal(rig->stored_count, 0);
}

static void it_is_replaced_once_only(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend = leave_one_waiting(rig, &client);

    ask(client, "anna");
    rig_expect(backend, "MAIL FROM:<me@example.com>\r\n");
    rig_close(backend);
    backend = accept_store(rig);
    rig_expect(backend, "MAIL FROM:<me@example.com>\r\n");
    rig_close(backend);
    rig_expect(client, "250 2.1.5 Ok\r\n"); /* on the directory's word */
}

static void what_was_answered_is_not_said_again(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend = leave_one_waiting(rig, &client);

    ask(client, "anna");
    take_envelope(backend, client);
    rig_close(backend);
    rig_say(client, "DATA\r\nbody\r\n.\r\n");
    rig_answer_store(rig, true);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
    assert_null(rig->accepted[0]);
}

static void an_envelope_that_came_to_nothing_is_reset(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend = leave_one_waiting(rig, &client);

    ask(client, "anna");
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n550 5.1.1 Nobody\r\n");
    rig_expect(client, "550 5.1.1 Nobody\r\n");
    rig_say(client, "RSET\r\n");
    rig_expect(backend, "RSET\r\n");
    rig_say(backend, "250 2.0.0 Flushed\r\n");
    io_run_turns(&rig->loop, 5);
    ask(client, "anna");
    take_envelope(backend, client);
    take_message(backend, client);
}

static void an_unclear_state_ends_the_connection(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *backend = leave_one_waiting(rig, &client);

    /* A reply that nobody asked for. */
    rig_say(backend, "250 2.0.0 Once more\r\n");
    rig_expect_end(backend);
    assert_true(list_is_empty(&rig->pool.idle));
    /* A message that was not sent to its end. */
    ask(client, "anna");
    backend = accept_store(rig);
    take_envelope(backend, client);
    rig_say(client, "DATA\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(client, "354 ");
    rig_say(client, "half a\r\n");
    rig_expect(backend, "half a\r\n");
    rig_close(client);
    rig_expect_end(backend);
    assert_int_equal(backend->received.length, 0);
    /* An envelope whose replies are still due. */
    client = rig_greet(rig, &rig->smtp);
    ask(client, "anna");
    backend = accept_store(rig);
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_close(client);
    session_service_end_all(&rig->service, "its client is gone");
    rig_expect_end(backend);
}

/* Each of three clients has a backend's connection of its own, and its message there at the end. */
static void leave_three_waiting(struct rig *rig, struct peer *backends[3])
{
    struct peer *clients[3];

    for (int i = 0; i < 3; i++) {
        clients[i] = rig_greet(rig, &rig->smtp);
        ask(clients[i], "anna");
        backends[i] = accept_store(rig);
        take_envelope(backends[i], clients[i]);
    }
    for (int i = 0; i < 3; i++)
        take_message(backends[i], clients[i]);
}

static void few_wait_and_not_for_long(void **state)
{
    struct rig *rig = *state;
    struct peer *backends[3];

    rig->pool.idle_s = 1;
    leave_three_waiting(rig, backends);
    for (int i = 0; i < 3; i++)
        rig_expect(backends[i], "QUIT\r\n");
    assert_true(list_is_empty(&rig->pool.idle));
}

static void one_more_than_few_waits_only_for_a_moment(void **state)
{
    struct rig *rig = *state;
    struct peer *backends[3];

    leave_three_waiting(rig, backends);
    rig_expect(backends[2], "QUIT\r\n");
    rig_expect_end(backends[2]);
    assert_ptr_not_equal(rig->pool.idle.next, rig->pool.idle.previous); /* the two others */
    assert_ptr_equal(rig->pool.idle.next->next, rig->pool.idle.previous);
}

static void under_load_one_more_than_few_is_taken_again(void **state)
{
    struct rig *rig = *state;
    struct peer *backends[3], *client;

    leave_three_waiting(rig, backends);
    client = rig_greet(rig, &rig->smtp);
    ask(client, "anna");
    take_envelope(backends[2], client);
    take_message(backends[2], client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, rig_set_up_with_pool, rig_tear_down_with_pool)
        T(one_connection_carries_the_messages_of_several_sessions),
        T(two_messages_at_a_time_are_on_two_connections),
        T(a_connection_that_died_while_it_waited_is_replaced),
        T(it_is_replaced_once_only),
        T(what_was_answered_is_not_said_again),
        T(an_envelope_that_came_to_nothing_is_reset),
        T(an_unclear_state_ends_the_connection),
        T(few_wait_and_not_for_long),
        T(one_more_than_few_waits_only_for_a_moment),
        T(under_load_one_more_than_few_is_taken_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
