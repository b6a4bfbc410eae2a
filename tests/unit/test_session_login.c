/* SPDX-License-Identifier: Apache-2.0 */
/* Login sessions, with a client and backends that the test plays. */
#include "tests/unit/session_support.h"

#include <sys/socket.h>
#include <unistd.h>

#include "common/io/tls.h"
#include "common/session/crowd.h"
#include "common/session/login_state.h"
#include "tests/unit/certificates.h"

/* The backend's side of an IMAP login up to the credentials. */
static struct peer *accept_imap(struct rig *rig, unsigned index)
{
    struct peer *backend = rig_accept(rig, index);

    rig_say(backend, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n");
    rig_expect(backend, "a AUTHENTICATE PLAIN ");
    rig_expect(backend, "\r\n");
    return backend;
}

static void a_login_is_relayed_to_the_owner(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct peer *backend;

    rig_expect(client, "ready.\r\n");
    rig_say(client, "1 LOGIN anna secret\r\n2 SELECT INBOX\r\n");
    backend = accept_imap(rig, 0);
    rig_say(backend, "a OK [CAPABILITY IMAP4rev1] in\r\n* early\r\n");
    rig_expect(client, "1 OK [CAPABILITY IMAP4rev1] in\r\n* early\r\n");
    rig_expect(backend, "2 SELECT INBOX\r\n");
    rig_say(backend, "2 OK done\r\n");
    rig_expect(client, "2 OK done\r\n");
    assert_int_equal(rig_count(rig, BOARD_LOGINS), 1);
    rig_close(backend);
    rig_expect_end(client);
    rig_expect_no_session(rig);
}

static void a_client_that_comes_byte_by_byte_logs_in(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->pop3);
    struct peer *backend;
    const char *text = "USER anna\r\nPASS secret\r\n";

    for (; *text; text++) {
        const char byte[2] = { *text, '\0' };

        rig_say(client, byte);
        io_run_turns(&rig->loop, 3);
    }
    backend = rig_accept(rig, 0);
    rig_say(backend, "+OK ready\r\n");
    rig_expect(backend, "USER anna@example.org\r\n");
    rig_say(backend, "+OK\r\n");
    rig_expect(backend, "PASS secret\r\n");
    rig_say(backend, "+OK in\r\n");
    rig_expect(client, "+OK in\r\n");
}

static void plain_text_before_tls_is_not_read_again_inside_it(void **state)
{
    struct rig *rig = *state;
    struct test_certificate authority, certificate;
    char error[TLS_ERROR_SIZE];
    struct peer *client;
    SSL_CTX *context = tls_client_context(NULL, false, error);

    rig->imap.tls = TLS_MODE_STARTTLS;
    test_authority_make(&authority);
    test_certificate_issue(&certificate, &authority, "DNS:mx.example.org");
    rig->service.tls_server = test_server_context(&certificate, error);
    assert_non_null(rig->service.tls_server);
    client = rig_connect(rig, &rig->imap);
    rig_expect(client, "ready.\r\n");
    rig_say(client, "1 START");
    io_run_turns(&rig->loop, 5);
    rig_say(client, "TLS\r\n");
    rig_expect(client, "1 OK Begin TLS negotiation now.\r\n");
    assert_true(transport_start_tls_client(&client->transport, context, NULL, NULL));
    io_run_until_set(&rig->loop, &client->is_secured);
    rig_say(client, "2 NOOP\r\n");
    rig_expect(client, "\r\n");
    assert_int_equal(client->received.length, 0);
    rig_say(client, "3 LOGOUT\r\n");
    rig_expect(client, "3 OK");
    rig_expect_no_session(rig);
    SSL_CTX_free(rig->service.tls_server);
    SSL_CTX_free(context);
    test_certificate_free(&certificate);
    test_certificate_free(&authority);
}

static void a_temporary_refusal_is_held_until_the_account_has_moved(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct peer *backend;

    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    rig_say(backend, "a NO [UNAVAILABLE] not mine\r\n");
    rig_expect_end(backend);
    rig_move(rig, "anna", "sv1");
    backend = accept_imap(rig, 1);
    rig_say(backend, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
}

/* The frontend may know of a move before or after the node does: it does not wait for a hold. */
static void a_node_that_says_elsewhere_is_left_at_once_for_the_new_owner(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    uint64_t before_ms = io_loop_now_ms(&rig->loop);
    struct peer *backend;

    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    rig_move(rig, "anna", "sv1");
    rig_say(backend, "a NO [UNAVAILABLE ELSEWHERE] The account is another node's.\r\n");
    backend = accept_imap(rig, 1);
    assert_in_range(io_loop_now_ms(&rig->loop) - before_ms, 0, 200);
    rig_say(backend, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
}

static void clients_never_hear_that_an_account_is_elsewhere(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);

    rig->service.holds_logins = false;
    rig_expect(client, "ready.\r\n");
    rig_say(client, "1 LOGIN anna secret\r\n");
    rig_say(accept_imap(rig, 0), "a NO [UNAVAILABLE ELSEWHERE] The account is another node's.\r\n");
    rig_expect(client,
               "1 NO [UNAVAILABLE] The account cannot be reached now, try again later.\r\n");
}

static void a_frontend_hears_of_a_node_that_an_account_is_elsewhere(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);

    rig->service.holds_logins = false;
    rig->service.peers_are_trusted = true;
    rig_say(client, "1 LOGIN anna secret\r\n");
    rig_say(accept_imap(rig, 0), "a NO [UNAVAILABLE ELSEWHERE] The account is another node's.\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE ELSEWHERE] ");
}

static void a_dead_backend_is_a_temporary_refusal_after_the_hold(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);

    rig_kill_backend(rig, 0);
    rig_say(client, "1 LOGIN anna secret\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE]");
    assert_int_equal(rig_count(rig, BOARD_LOGINS_TEMPORARY), 1);
    assert_true(rig_is_up(rig, 0, PROTOCOL_IMAP));
}

static void failures_of_several_sessions_take_a_backend_down(void **state)
{
    struct rig *rig = *state;

    rig_kill_backend(rig, 0);
    for (int i = 0; i < 3; i++) {
        struct peer *client = rig_connect(rig, &rig->imap);

        rig_say(client, "1 LOGIN anna secret\r\n");
        rig_wait(rig, 50);
    }
    assert_false(rig_is_up(rig, 0, PROTOCOL_IMAP));
}

static void a_refusal_of_the_backend_that_is_temporary_counts_as_such(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct peer *backend;

    rig->service.holds_logins = false;
    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    rig_say(backend, "a NO [UNAVAILABLE] not mine\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE] not mine\r\n");
    assert_int_equal(rig_count(rig, BOARD_LOGINS_TEMPORARY), 1);
    assert_int_equal(rig_count(rig, BOARD_LOGINS_REFUSED), 0);
}

static void a_backend_that_dies_in_the_login_is_tried_again(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct peer *backend;

    rig_say(client, "1 LOGIN anna secret\r\n");
    rig_close(rig_accept(rig, 0));
    rig_close(accept_imap(rig, 0));
    backend = accept_imap(rig, 0);
    rig_say(backend, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
}

/* How long a refusal took, after the backend's own `delay_ms` when it is to answer. */
static uint64_t time_refusal(struct rig *rig, const char *name, bool has_backend, unsigned delay_ms)
{
    struct peer *client = rig_connect(rig, &rig->imap);
    uint64_t before_ms;
    char line[64];

    rig_expect(client, "ready.\r\n");
    before_ms = io_loop_now_ms(&rig->loop);
    snprintf(line, sizeof(line), "1 LOGIN %s wrong\r\n", name);
    rig_say(client, line);
    if (has_backend) {
        struct peer *backend = accept_imap(rig, 0);

        rig_wait(rig, delay_ms);
        rig_say(backend, "a NO [AUTHENTICATIONFAILED] the store's own words\r\n");
    }
    rig_expect(client, "1 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n");
    return io_loop_now_ms(&rig->loop) - before_ms;
}

static void a_wrong_password_and_an_unknown_account_look_alike(void **state)
{
    struct rig *rig = *state;
    uint64_t unknown_ms, wrong_ms;

    rig->config.timeout.backend_s = 5;
    unknown_ms = time_refusal(rig, "nobody", false, 0);
    wrong_ms = time_refusal(rig, "anna", true, 2300); /* as Dovecot does */
    assert_int_equal(rig->questions, 1);
    assert_in_range(wrong_ms + 100, unknown_ms, unknown_ms + 200);
}

static void the_gate_leaves_the_delay_to_the_frontend(void **state)
{
    struct rig *rig = *state;

    rig->service.peers_are_trusted = true; /* as at the node */
    assert_in_range(time_refusal(rig, "anna", true, 0), 0, 1000);
}

static void an_unknown_account_in_doubt_is_a_temporary_refusal(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);

    rig->confirmation = DIRECTORY_UNSURE;
    rig_say(client, "1 LOGIN nobody x\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE]");
}

static void a_silent_directory_is_a_temporary_refusal(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);

    rig->is_directory_silent = true;
    rig_say(client, "1 LOGIN nobody x\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE]");
}

static void a_login_that_ends_after_its_account_moved_goes_to_the_new_owner(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct peer *backend;

    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    rig_move(rig, "anna", "sv1");
    session_service_account_changed(&rig->service, SPAN_LITERAL("anna@example.org"),
                                    SPAN_LITERAL("sv1"));
    rig_say(backend, "a OK in\r\n");
    rig_expect_end(backend);
    backend = accept_imap(rig, 1);
    rig_say(backend, "a OK moved\r\n");
    rig_expect(client, "1 OK moved\r\n");
}

static void a_login_is_looked_up_again_only_behind_a_change_of_the_mirror(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct peer *backend;

    rig->resolver.board = rig->board;
    atomic_store(&rig->board->mirror_revision, 7);
    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    rig_move(rig, "anna", "sv1"); /* not shown yet, and so to be told later */
    rig_say(backend, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");

    atomic_store(&rig->board->mirror_revision, 8);
    client = rig_connect(rig, &rig->imap);
    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 1);
    rig_move(rig, "anna", "sv0");
    atomic_store(&rig->board->mirror_revision, 9);
    rig_say(backend, "a OK in\r\n");
    rig_expect_end(backend);
    backend = accept_imap(rig, 0);
    rig_say(backend, "a OK moved\r\n");
    rig_expect(client, "1 OK moved\r\n");
}

static void a_full_worker_ends_the_oldest_who_has_told_nothing(void **state)
{
    struct rig *rig = *state;
    struct crowd crowd;
    struct peer *known = rig_connect(rig, &rig->imap), *old = rig_connect(rig, &rig->imap),
                *young = rig_connect(rig, &rig->pop3), *backend;
    int fds[2];

    crowd_init(&crowd, &rig->service);
    assert_in_range(rig->service.sessions_max, 16, 1048576);
    rig->service.sessions_max = 3;
    rig_say(known, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    rig_say(backend, "a OK in\r\n");
    rig_expect(known, "1 OK in\r\n");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_true(crowd_admits(&crowd, &rig->imap, fds[0]));
    rig_expect(old, "BYE");
    rig_expect_end(old);
    assert_int_equal(rig->service.session_count, 2);
    assert_true(crowd_admits(&crowd, &rig->imap, fds[0]));
    assert_int_equal(rig->service.session_count, 2); /* there was room */

    rig->service.sessions_max = 1;
    assert_true(crowd_admits(&crowd, &rig->imap, fds[0]));
    rig_expect_end(young);
    assert_false(crowd_admits(&crowd, &rig->imap, fds[0]));
    close(fds[1]);
    rig_say(known, "2 NOOP\r\n");
    rig_expect(backend, "2 NOOP\r\n");
}

static void who_finds_no_room_is_told_so_in_his_protocol(void **state)
{
    static const char *const words[] = {
        [PROTOCOL_IMAP] = "* BYE [UNAVAILABLE] ",
        [PROTOCOL_POP3] = "-ERR [SYS/TEMP] ",
        [PROTOCOL_SMTP] = "421 4.3.2 ",
    };
    struct rig *rig = *state;
    const struct listener_config *listeners[] = { &rig->imap, &rig->pop3, &rig->smtp };
    struct crowd crowd;

    crowd_init(&crowd, &rig->service);
    rig->service.sessions_max = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(listeners); i++) {
        const char *start = words[listeners[i]->protocol];
        char text[128] = "";
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_false(crowd_admits(&crowd, listeners[i], fds[0]));
        assert_true(read(fds[1], text, sizeof(text) - 1) > 0);
        assert_memory_equal(text, start, strlen(start));
        assert_int_equal(read(fds[1], text, sizeof(text)), 0);
        close(fds[1]);
    }
}

static void who_is_refused_is_a_stranger_again(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct crowd crowd;
    int fds[2];

    rig->is_directory_silent = true;
    crowd_init(&crowd, &rig->service);
    rig->service.sessions_max = 1;
    rig_say(client, "1 LOGIN nobody x\r\n");
    while (rig->questions == 0)
        io_loop_turn(&rig->loop, true);
    assert_true(list_is_empty(&rig->service.strangers));
    rig_expect(client, "1 NO [UNAVAILABLE]");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_true(crowd_admits(&crowd, &rig->imap, fds[0]));
    rig_expect(client, "BYE");
    close(fds[0]);
    close(fds[1]);
}

static int keepalive_of(int fd)
{
    int on = -1;
    socklen_t length = sizeof(on);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &length), 0);
    return on;
}

static void a_backend_is_asked_whether_it_is_there_once_a_session_is_quiet(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct login_session *session;
    struct peer *backend;

    rig->config.timeout.keepalive_s = 1;
    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    rig_say(backend, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
    session = CONTAINER_OF(rig->service.sessions.next, struct login_session, session.node);
    assert_int_equal(keepalive_of(session->backend.fd), 0);
    while (keepalive_of(session->backend.fd) == 0)
        io_loop_turn(&rig->loop, true);
}

static void a_backend_that_is_slow_to_answer_is_asked_whether_it_is_there(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct login_session *session;
    struct peer *backend;

    rig->config.timeout.keepalive_s = 0;
    rig->config.timeout.backend_s = 60;
    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    session = CONTAINER_OF(rig->service.sessions.next, struct login_session, session.node);
    while (session->state.current != LOGIN_STATE_AUTHENTICATING)
        io_loop_turn(&rig->loop, true);
    assert_int_equal(keepalive_of(session->backend.fd), 0);
    deadline_set(&session->deadline, 1);
    while (keepalive_of(session->backend.fd) == 0)
        io_loop_turn(&rig->loop, true);
    rig_say(backend, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
    assert_int_equal(keepalive_of(session->backend.fd), 0);
}

static void a_session_ends_when_its_account_moves(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct peer *backend;

    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = accept_imap(rig, 0);
    rig_say(backend, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
    session_service_many_changed(&rig->service);
    io_run_turns(&rig->loop, 3);
    assert_int_equal(rig->service.session_count, 1);
    rig_move(rig, "anna", "sv1");
    session_service_many_changed(&rig->service);
    rig_expect_no_session(rig);
    rig_expect_end(client);
}

/* Turns that the loop takes in some time while nothing happens but the session's own. */
static unsigned count_turns(struct rig *rig, unsigned ms)
{
    uint64_t until_ms;
    unsigned turns = 0;

    uv_update_time(&rig->loop.uv);
    until_ms = io_loop_now_ms(&rig->loop) + ms;
    while (io_loop_now_ms(&rig->loop) < until_ms) {
        io_loop_turn(&rig->loop, true);
        turns++;
    }
    return turns;
}

/* Makes the session hold replies back: `line` is said until it is not even heard any more. */
static void flood(struct rig *rig, struct peer *client, const char *line)
{
    transport_watch(&client->transport, 0);
    while (!transport_has_pending(&client->transport)) {
        for (int i = 0; i < 512; i++)
            assert_true(transport_send(&client->transport, span_from_string(line)));
        io_run_turns(&rig->loop, 20);
    }
}

static void a_client_that_does_not_read_costs_no_turns(void **state)
{
    struct rig *rig = *state;
    const struct listener_config *const listeners[] = { &rig->imap, &rig->smtp };
    const char *const lines[] = { "1 CAPABILITY\r\n", "HELP\r\n" };

    for (int i = 0; i < 2; i++) {
        struct peer *client = rig_connect(rig, listeners[i]);

        flood(rig, client, lines[i]);
        assert_true(transport_has_pending(&client->transport));
        assert_int_equal(rig->service.session_count, 1);
        assert_in_range(count_turns(rig, 600), 1, 40);
        transport_watch(&client->transport, TRANSPORT_READABLE);
        rig_say(client, i == 0 ? "2 LOGOUT\r\n" : "QUIT\r\n");
        rig_expect_end(client);
        rig_expect_no_session(rig);
    }
}

static void a_client_may_leave_in_any_state(void **state)
{
    struct rig *rig = *state;

    for (int stage = 0; stage < 4; stage++) {
        struct peer *client = rig_connect(rig, &rig->imap);
        struct peer *backend = NULL;

        if (stage > 0)
            rig_say(client, "1 LOGIN anna secret\r\n");
        if (stage > 1)
            backend = accept_imap(rig, 0);
        if (stage > 2) {
            rig_say(backend, "a OK in\r\n");
            rig_expect(client, "1 OK in\r\n");
        }
        rig_close(client);
        if (stage == 1)
            backend = accept_imap(rig, 0);
        if (stage == 1 || stage == 2)
            rig_say(backend, "a OK in\r\n");
        if (stage == 3)
            rig_expect_end(backend);
        if (backend)
            rig_close(backend);
        rig_expect_no_session(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
        T(a_login_is_relayed_to_the_owner),
        T(a_client_that_comes_byte_by_byte_logs_in),
        T(plain_text_before_tls_is_not_read_again_inside_it),
        T(a_temporary_refusal_is_held_until_the_account_has_moved),
        T(a_node_that_says_elsewhere_is_left_at_once_for_the_new_owner),
        T(clients_never_hear_that_an_account_is_elsewhere),
        T(a_frontend_hears_of_a_node_that_an_account_is_elsewhere),
        T(a_dead_backend_is_a_temporary_refusal_after_the_hold),
        T(failures_of_several_sessions_take_a_backend_down),
        T(a_refusal_of_the_backend_that_is_temporary_counts_as_such),
        T(a_backend_that_dies_in_the_login_is_tried_again),
        T(a_wrong_password_and_an_unknown_account_look_alike),
        T(the_gate_leaves_the_delay_to_the_frontend),
        T(an_unknown_account_in_doubt_is_a_temporary_refusal),
        T(a_silent_directory_is_a_temporary_refusal),
        T(a_login_that_ends_after_its_account_moved_goes_to_the_new_owner),
        T(a_login_is_looked_up_again_only_behind_a_change_of_the_mirror),
        T(a_backend_is_asked_whether_it_is_there_once_a_session_is_quiet),
        T(a_backend_that_is_slow_to_answer_is_asked_whether_it_is_there),
        T(a_full_worker_ends_the_oldest_who_has_told_nothing),
        T(who_finds_no_room_is_told_so_in_his_protocol),
        T(who_is_refused_is_a_stranger_again),
        T(a_session_ends_when_its_account_moves),
        T(a_client_that_does_not_read_costs_no_turns),
        T(a_client_may_leave_in_any_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
