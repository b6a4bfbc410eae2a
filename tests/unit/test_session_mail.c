/* SPDX-License-Identifier: Apache-2.0 */
/* Mail sessions, with a client, backends and a queue that the test plays. */
#include "tests/unit/session_support.h"

/* The greeting and hello of an LMTP backend. */
static struct peer *accept_lmtp(struct rig *rig, unsigned index)
{
    struct peer *backend =
        rig_accept_lmtp(rig, index, "250-store\r\n250-PIPELINING\r\n250 8BITMIME\r\n");

    rig_expect(backend, "MAIL FROM:<me@example.com>\r\n");
    return backend;
}

static struct peer *begin(struct rig *rig, const struct listener_config *listener)
{
    struct peer *client = rig_connect(rig, listener);

    rig_expect(client, "220 ");
    rig_say(client, listener->protocol == PROTOCOL_LMTP ? "LHLO me\r\n" : "EHLO me\r\n");
    rig_expect(client, "250 ENHANCEDSTATUSCODES\r\n");
    rig_say(client, "MAIL FROM:<me@example.com>\r\n");
    rig_expect(client, "250 2.1.0 Ok\r\n");
    return client;
}

/* A client with one accepted recipient, and its backend. */
static struct peer *begin_for_anna(struct rig *rig, const struct listener_config *listener,
                                   struct peer **backend)
{
    struct peer *client = begin(rig, listener);

    rig_say(client, "RCPT TO:<anna+x@example.org>\r\n");
    *backend = accept_lmtp(rig, 0);
    rig_expect(*backend, "RCPT TO:<anna+x@example.org>\r\n");
    rig_say(*backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    return client;
}

/* The same behind DATA, with content sent up to its end. */
static struct peer *begin_content(struct rig *rig, const struct listener_config *listener,
                                  struct peer **backend)
{
    struct peer *client = begin_for_anna(rig, listener, backend);

    rig_say(client, "DATA\r\n");
    rig_expect(*backend, "DATA\r\n");
    rig_say(*backend, "354 go on\r\n");
    rig_expect(client, "354 ");
    rig_say(client, "Subject: x\r\n\r\n..stuffed\r\n");
    rig_expect(*backend, "Received: ");
    rig_expect(*backend, "\r\nSubject: x\r\n\r\n..stuffed\r\n");
    return client;
}

/* The same with the end sent. */
static struct peer *begin_end(struct rig *rig, const struct listener_config *listener,
                              struct peer **backend)
{
    struct peer *client = begin_content(rig, listener, backend);

    rig_say(client, ".\r\n");
    rig_expect(*backend, ".\r\n");
    return client;
}

static void one_group_is_cut_through(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_end(rig, &rig->smtp, &backend);

    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n");
    rig_expect(backend, "QUIT\r\n");
    rig_expect_end(backend);
    rig_say(client, "QUIT\r\n");
    rig_expect(client, "221 ");
    rig_expect_end(client);
    rig_expect_no_session(rig);
    assert_int_equal(rig->stored_count, 0);
    assert_int_equal(rig_count(rig, BOARD_MESSAGES_CUT_THROUGH), 1);
}

static void a_client_that_comes_byte_by_byte_is_cut_through(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_for_anna(rig, &rig->smtp, &backend);
    const char *text = "DATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n";

    for (int i = 0; text[i]; i++) {
        const char byte[2] = { text[i], '\0' };

        rig_say(client, byte);
        io_run_turns(&rig->loop, 2);
        if (i == 5) {
            rig_expect(backend, "DATA\r\n");
            rig_say(backend, "354 go on\r\n");
        }
    }
    rig_expect(backend, "\r\nSubject: x\r\n\r\nbody\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n221 ");
}

/* A client that has said MAIL and RCPT twice at once, as its backend hears of the first. */
static struct peer *begin_together(struct rig *rig, struct peer **backend)
{
    struct peer *client = rig_connect(rig, &rig->smtp);

    rig_expect(client, "220 ");
    rig_say(client, "EHLO me\r\n");
    rig_expect(client, "250 ENHANCEDSTATUSCODES\r\n");
    rig_say(client, "MAIL FROM:<me@example.com>\r\nRCPT TO:<anna@example.org>\r\n"
                    "RCPT TO:<anna+x@example.org>\r\n");
    *backend = accept_lmtp(rig, 0);
    rig_expect(*backend, "RCPT TO:<anna@example.org>\r\n");
    return client;
}

static void replies_to_commands_that_came_together_go_together(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_together(rig, &backend);

    rig_say(backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(backend, "RCPT TO:<anna+x@example.org>\r\n");
    assert_int_equal(client->received.length, 0);
    rig_say(backend, "550 5.1.1 No\r\n");
    rig_expect(client, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n550 5.1.1 No\r\n");
}

static void a_reply_does_not_wait_for_a_second_slow_question(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_together(rig, &backend);

    rig_wait(rig, 150);
    rig_say(backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(backend, "RCPT TO:<anna+x@example.org>\r\n");
}

static void a_session_that_ends_says_what_it_kept(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_together(rig, &backend);

    session_service_end_all(&rig->service, "going");
    rig_expect(client, "250 2.1.0 Ok\r\n");
    rig_expect_end(client);
}

static void chunks_go_to_the_backend_by_data(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_for_anna(rig, &rig->smtp, &backend);

    rig_say(client, "BDAT 17\r\nSubject: x\r\n\r\n.\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(client, "250 2.0.0 17 octets received\r\n");
    rig_say(client, "BDAT 4 LAST\r\n.no\n");
    rig_expect(client, "554 5.6.0 ");
    rig_expect_end(backend);
    rig_say(client, "RSET\r\nMAIL FROM:<me@example.com>\r\nRCPT TO:<anna@example.org>\r\n");
    backend = accept_lmtp(rig, 0);
    rig_say(backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    rig_say(client, "BDAT 17\r\nSubject: x\r\n\r\n.\r\nBDAT 2 LAST\r\nno");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(backend, "\r\nSubject: x\r\n\r\n..\r\nno\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 17 octets received\r\n250 2.0.0 Saved\r\n");
}

static void a_backend_that_is_down_means_the_queue(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);

    rig_kill_backend(rig, 0);
    rig_say(client, "RCPT TO:<anna@example.org>\r\nDATA\r\n");
    rig_expect(client, "250 2.1.5 Ok\r\n354 ");
    rig_say(client, "Subject: x\r\n\r\nbody\r\n.\r\n");
    rig_expect_store(rig);
    io_run_turns(&rig->loop, 5);
    assert_int_equal(client->received.length, strlen("End data with <CR><LF>.<CR><LF>\r\n"));
    rig_answer_store(rig, true);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
    assert_string_equal(rig->stored.recipients, "anna@example.org=pending ");
    assert_true(rig_has_stored(rig, "\r\nSubject: x\r\n\r\nbody\r\n"));
}

static void what_cannot_be_stored_is_refused(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);

    rig_kill_backend(rig, 0);
    rig_say(client, "RCPT TO:<anna@example.org>\r\nDATA\r\nbody\r\n.\r\n");
    rig_answer_store(rig, false);
    rig_expect(client, "451 4.3.0 ");
    assert_int_equal(rig_count(rig, BOARD_MESSAGES_REFUSED), 1);
}

static void a_copy_that_cannot_be_kept_is_refused_when_it_is_needed(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);

    rig->is_copy_broken = true;
    rig_kill_backend(rig, 0);
    rig_say(client, "RCPT TO:<anna@example.org>\r\nDATA\r\nbody\r\n.\r\n");
    rig_expect(client, "451 4.3.0 ");
    assert_int_equal(rig->stored_count, 0);
    assert_int_equal(rig_count(rig, BOARD_MESSAGES_REFUSED), 1);
}

static void several_groups_are_queued(void **state)
{
    struct rig *rig = *state;
    struct peer *first, *second;
    struct peer *client = begin_for_anna(rig, &rig->smtp, &first);

    rig_say(client, "RCPT TO:<bert@example.org>\r\n");
    second = accept_lmtp(rig, 1);
    rig_expect(second, "RCPT TO:<bert@example.org>\r\n");
    rig_say(second, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    rig_say(client, "DATA\r\nbody\r\n.\r\n");
    rig_expect(first, "QUIT\r\n");
    rig_expect(second, "QUIT\r\n");
    rig_answer_store(rig, true);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
    assert_string_equal(rig->stored.recipients,
                        "anna+x@example.org=pending bert@example.org=pending ");
}

static void a_lost_reply_queues_only_the_unanswered(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_for_anna(rig, &rig->smtp, &backend);

    rig_say(client, "RCPT TO:<anna@example.org>\r\nDATA\r\nbody\r\n.\r\n");
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.5 Known\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(backend, "\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    io_run_turns(&rig->loop, 5);
    rig_close(backend);
    rig_answer_store(rig, true);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
    assert_string_equal(rig->stored.recipients, "anna@example.org=unknown ");
}

static void a_421_behind_the_dot_is_an_answer(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_end(rig, &rig->smtp, &backend);

    rig_say(backend, "421 4.3.2 going down\r\n");
    rig_expect(client, "451 4.3.2 going down\r\n");
    assert_int_equal(rig->stored_count, 0);
}

static void refusals_reach_the_sender(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_for_anna(rig, &rig->smtp, &backend);

    rig_say(client, "RCPT TO:<anna+y@example.org>\r\nRCPT TO:<nobody@example.org>\r\n"
                    "RCPT TO:<x@elsewhere.example>\r\nDATA\r\n");
    rig_expect(backend, "RCPT TO:<anna+y@example.org>\r\n");
    rig_say(backend, "550 5.2.2 full\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "554 5.3.0 no\r\n");
    rig_expect(client, "550 5.2.2 full\r\n550 5.1.1 No such user here\r\n550 5.7.1 ");
    rig_expect(client, "554 5.3.0 no\r\n");
    rig_say(client, "RSET\r\n");
    rig_expect(client, "250 2.0.0 Ok\r\n");
    assert_int_equal(rig->stored_count, 0);
}

static void a_recipient_that_is_elsewhere_goes_to_its_new_owner_at_once(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);
    struct peer *backend;

    rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    backend = accept_lmtp(rig, 0);
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_move(rig, "anna", "sv1");
    rig_say(backend, "250 2.1.0 Ok\r\n451 4.1.6 The account is another node's\r\n");
    backend = accept_lmtp(rig, 1);
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    rig_say(client, "DATA\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(client, "354 ");
    rig_say(client, "body\r\n.\r\n");
    rig_expect(backend, "body\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Taken\r\n");
    rig_expect(client, "250 2.0.0 Taken\r\n");
    assert_int_equal(rig->stored_count, 0);
}

static void a_recipient_that_is_elsewhere_to_its_node_alone_goes_by_the_queue(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);
    struct peer *backend;

    rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    backend = accept_lmtp(rig, 0);
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n451 4.1.6 The account is another node's\r\n");
    rig_expect(client, "250 2.1.5 Ok\r\n");
    rig_say(client, "DATA\r\nbody\r\n.\r\n");
    rig_expect_store(rig);
    rig_answer_store(rig, true);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
    assert_string_equal(rig->stored.recipients, "anna@example.org=pending ");
}

static void a_backend_that_refuses_us_does_not_bounce_mail(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);
    struct peer *backend;

    rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    backend = rig_accept(rig, 0);
    rig_say(backend, "554 5.7.1 not from there\r\n");
    rig_expect(client, "250 2.1.5 Ok\r\n");
}

static void an_unknown_address_in_doubt_is_refused_temporarily(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);

    rig->confirmation = DIRECTORY_UNSURE;
    rig_say(client, "RCPT TO:<nobody@example.org>\r\n");
    rig_expect(client, "451 4.3.0 ");
}

static void refused_recipients_of_one_message_are_bounded(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_for_anna(rig, &rig->smtp, &backend);

    for (int i = 0; i < 4; i++) {
        rig_say(client, "RCPT TO:<anna+y@example.org>\r\n");
        rig_expect(backend, "RCPT TO:<anna+y@example.org>\r\n");
        rig_say(backend, "550 5.1.1 no\r\n");
        rig_expect(client, "550 5.1.1 no\r\n");
    }
    rig_say(client, "RCPT TO:<anna+y@example.org>\r\n");
    rig_expect(client, "452 4.5.3 ");
}

static void a_backend_that_dies_in_the_content_is_answered_by_the_queue(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_content(rig, &rig->smtp, &backend);

    rig_close(backend);
    io_run_turns(&rig->loop, 5);
    rig_say(client, "more\r\n.\r\n");
    rig_answer_store(rig, true);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
    assert_string_equal(rig->stored.recipients, "anna+x@example.org=pending ");
    assert_true(rig_has_stored(rig, "\r\n.stuffed\r\nmore\r\n"));
}

static void a_slow_backend_slows_the_client(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_content(rig, &rig->smtp, &backend);
    char line[1025];
    size_t sent = 0;

    memset(line, 'x', 1022);
    strcpy(line + 1022, "\r\n");
    transport_watch(&backend->transport, 0);
    while (!transport_has_pending(&client->transport)) {
        rig_say(client, line);
        sent += 1024;
        io_run_turns(&rig->loop, 1);
        assert_in_range(sent, 0, 16 << 20);
    }
    transport_watch(&backend->transport, TRANSPORT_READABLE);
    rig_say(client, ".\r\n");
    rig_expect(backend, "\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n");
    assert_int_equal(rig->stored_count, 0);
}

static void a_backend_that_takes_no_more_content_is_given_up(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_content(rig, &rig->smtp, &backend);
    char line[1025];

    memset(line, 'x', 1022);
    strcpy(line + 1022, "\r\n");
    transport_watch(&backend->transport, 0);
    while (!transport_has_pending(&client->transport)) {
        rig_say(client, line);
        io_run_turns(&rig->loop, 1);
    }
    rig_say(client, ".\r\n");
    rig_answer_store(rig, true);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n");
    assert_string_equal(rig->stored.recipients, "anna+x@example.org=pending ");
}

static void a_slow_client_does_not_cost_the_cut_through(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_content(rig, &rig->smtp, &backend);

    rig_wait(rig, 2500); /* longer than a backend may take for an answer */
    rig_say(client, ".\r\n");
    rig_expect(backend, ".\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n");
}

static void a_client_that_leaves_before_its_answer_queues_nothing(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_end(rig, &rig->smtp, &backend);

    rig_close(client);
    io_run_turns(&rig->loop, 5);
    rig_close(backend);
    rig_expect_no_session(rig);
    assert_int_equal(rig->stored_count, 0);
}

static void a_client_that_leaves_within_content_ends_nothing_at_the_backend(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_content(rig, &rig->smtp, &backend);

    rig_close(client);
    rig_expect_end(backend);
    assert_int_equal(backend->received.length, 0);
    rig_expect_no_session(rig);
    assert_int_equal(rig->stored_count, 0);
}

static void a_broken_message_ends_nothing_at_the_backend(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_content(rig, &rig->smtp, &backend);

    rig_say(client, "bare\n.\r\nrest\r\n.\r\n");
    rig_expect(client, "554 5.6.0 ");
    rig_expect_end(backend);
    assert_null(memmem(backend->received.data ? backend->received.data : "",
                       backend->received.length, "\r\n.\r\n", 5));
}

static void a_worker_that_goes_answers_what_is_complete(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);

    rig_kill_backend(rig, 0);
    rig_say(client, "RCPT TO:<anna@example.org>\r\nDATA\r\nbody\r\n.\r\n");
    rig_expect_store(rig);
    session_service_end_all(&rig->service, "going");
    io_run_turns(&rig->loop, 5);
    rig_answer_store(rig, true);
    rig_expect(client, "250 2.0.0 Ok: queued\r\n421 ");
    rig_expect_no_session(rig);
}

static void a_worker_that_goes_says_so_to_who_waits_for_an_answer(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);
    struct peer *backend;

    rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    backend = accept_lmtp(rig, 0);
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    session_service_end_all(&rig->service, "going");
    rig_expect(client, "421 4.3.2 ");
    rig_expect_end(client);
    rig_expect_end(backend);
}

static void a_store_may_be_answered_after_its_session(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin(rig, &rig->smtp);

    rig_kill_backend(rig, 0);
    rig_say(client, "RCPT TO:<anna@example.org>\r\nDATA\r\nbody\r\n.\r\n");
    rig_expect_store(rig);
    session_service_end_all(&rig->service, "going");
    rig_expect_no_session(rig);
    rig_answer_store(rig, true);
}

static void what_only_the_queue_could_take_is_refused_when_it_cannot(void **state)
{
    struct rig *rig = *state;
    struct peer *backend;
    struct peer *client = begin_for_anna(rig, &rig->smtp, &backend);

    rig->fallback_state = MAIL_FALLBACK_AWAY;
    rig_say(client, "RCPT TO:<bert@example.org>\r\n"); /* another backend's */
    rig_expect(client, "451 4.3.0 Mail cannot be queued now\r\n");
    rig_say(client, "RCPT TO:<anna@example.org>\r\n"); /* cut through: no queue is needed */
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    rig_kill_backend(rig, 0);
    rig->fallback_state = MAIL_FALLBACK_FULL;
    client = begin(rig, &rig->smtp);
    rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    rig_expect(client, "452 4.3.1 Insufficient system storage\r\n");
    rig->fallback_state = MAIL_FALLBACK_READY;
    rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    rig_expect(client, "250 2.1.5 Ok\r\n");
}

static void the_gate_refuses_what_its_store_cannot_take(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client;

    rig->service.fallback = NULL;
    client = begin_content(rig, &rig->lmtp, &backend);
    rig_close(backend);
    io_run_turns(&rig->loop, 5);
    rig_say(client, ".\r\n");
    rig_expect(client, "451 4.3.0 ");
    rig_kill_backend(rig, 0);
    rig_say(client, "MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n");
    rig_expect(client, "451 4.4.1 ");
}

static void the_gate_says_nothing_of_a_reply_that_was_lost(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client;

    rig->service.fallback = NULL;
    client = begin_end(rig, &rig->lmtp, &backend);
    rig_close(backend);
    rig_expect_end(client);
    assert_int_equal(client->received.length, strlen("go on\r\n"));
}

static void the_gate_passes_on_the_replies_before_a_lost_one(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client;

    rig->service.fallback = NULL;
    client = begin_for_anna(rig, &rig->lmtp, &backend);
    rig_say(client, "RCPT TO:<anna@example.org>\r\nDATA\r\nbody\r\n.\r\n");
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, "250 2.1.5 Known\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "354 go on\r\n");
    rig_expect(backend, "\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    io_run_turns(&rig->loop, 5);
    rig_close(backend);
    rig_expect(client, "354 go on\r\n250 2.0.0 Saved\r\n");
    rig_expect_end(client);
    assert_int_equal(client->received.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
        T(one_group_is_cut_through),
        T(a_client_that_comes_byte_by_byte_is_cut_through),
        T(replies_to_commands_that_came_together_go_together),
        T(a_reply_does_not_wait_for_a_second_slow_question),
        T(a_session_that_ends_says_what_it_kept),
        T(chunks_go_to_the_backend_by_data),
        T(a_backend_that_is_down_means_the_queue),
        T(what_cannot_be_stored_is_refused),
        T(a_copy_that_cannot_be_kept_is_refused_when_it_is_needed),
        T(several_groups_are_queued),
        T(what_only_the_queue_could_take_is_refused_when_it_cannot),
        T(a_lost_reply_queues_only_the_unanswered),
        T(a_421_behind_the_dot_is_an_answer),
        T(refusals_reach_the_sender),
        T(a_recipient_that_is_elsewhere_goes_to_its_new_owner_at_once),
        T(a_recipient_that_is_elsewhere_to_its_node_alone_goes_by_the_queue),
        T(a_backend_that_refuses_us_does_not_bounce_mail),
        T(an_unknown_address_in_doubt_is_refused_temporarily),
        T(refused_recipients_of_one_message_are_bounded),
        T(a_backend_that_dies_in_the_content_is_answered_by_the_queue),
        T(a_slow_backend_slows_the_client),
        T(a_backend_that_takes_no_more_content_is_given_up),
        T(a_slow_client_does_not_cost_the_cut_through),
        T(a_client_that_leaves_before_its_answer_queues_nothing),
        T(a_client_that_leaves_within_content_ends_nothing_at_the_backend),
        T(a_broken_message_ends_nothing_at_the_backend),
        T(a_worker_that_goes_answers_what_is_complete),
        T(a_worker_that_goes_says_so_to_who_waits_for_an_answer),
        T(a_store_may_be_answered_after_its_session),
        T(the_gate_refuses_what_its_store_cannot_take),
        T(the_gate_says_nothing_of_a_reply_that_was_lost),
        T(the_gate_passes_on_the_replies_before_a_lost_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
