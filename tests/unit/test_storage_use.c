/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of a node end with the storage that they use, and it is known when the last has. */
#include "tests/unit/session_support.h"

#include "common/session/storage_use.h"
#include "frontend/choose.h"

enum { SOON_MS = 60000 };

static struct storage_watch watch;
static bool is_watch_stopped;

static struct board_storage *storage_of(struct rig *rig)
{
    return node_board_storage(rig->board, "sv0");
}

/* As a node chooses, with all accounts on the storage of sv0. */
static void choose_stored(const struct session_service *service, enum protocol protocol,
                          const struct route *route, struct target *target)
{
    struct board *board = service->backends.board;

    frontend_choose(service, protocol, route, target);
    if (target->kind == TARGET_GO)
        target->storage = node_board_storage_number(board, node_board_storage(board, "sv0"));
}

static void set_state(struct rig *rig, enum storage_state state)
{
    atomic_store(&storage_of(rig)->state, (int)state);
}

static uint64_t sessions_of(struct rig *rig)
{
    return node_board_storage_sessions(rig->board, storage_of(rig));
}

static int set_up(void **state)
{
    int result = rig_set_up(state);
    struct rig *rig = *state;

    rig->service.choose = choose_stored;
    rig->service.fallback = NULL;
    atomic_store(&storage_of(rig)->valid_until_ms, io_loop_now_ms(&rig->loop) + SOON_MS);
    set_state(rig, STORAGE_ATTACHED);
    storage_watch_start(&watch, &rig->service);
    return result;
}

static void on_watch_stopped(struct storage_watch *stopped)
{
    (void)stopped;
    is_watch_stopped = true;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    is_watch_stopped = false;
    storage_watch_stop(&watch, on_watch_stopped);
    io_run_until_set(&rig->loop, &is_watch_stopped);
    return rig_tear_down(state);
}

/* A message for anna up to its last line. */
static struct peer *begin_content(struct rig *rig, struct peer **backend)
{
    struct peer *client = rig_connect(rig, &rig->lmtp);

    rig_say(client, "LHLO me\r\nMAIL FROM:<me@example.com>\r\nRCPT TO:<anna@example.org>\r\n");
    *backend = rig_accept(rig, 0);
    rig_say(*backend, "220 store\r\n");
    rig_expect(*backend, "LHLO ");
    rig_say(*backend, "250-store\r\n250 PIPELINING\r\n");
    rig_expect(*backend, "RCPT TO:");
    rig_say(*backend, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "2.1.5 Known\r\n");
    rig_say(client, "DATA\r\n");
    rig_expect(*backend, "DATA\r\n");
    rig_say(*backend, "354 go on\r\n");
    rig_expect(client, "354 ");
    rig_say(client, "Subject: x\r\n\r\nbody\r\n");
    rig_expect(*backend, "body\r\n");
    return client;
}

/* What the store was told it may still do: it is waited for until it closes. */
static void a_login_ends_and_counts_until_its_store_has_closed(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = rig_log_in(rig, "anna", 0, &backend);

    assert_int_equal(sessions_of(rig), 1);
    rig_say(client, "2 APPEND INBOX {9}\r\n");
    rig_expect(backend, "{9}\r\n");
    set_state(rig, STORAGE_RELEASING);
    rig_expect_end(client);
    rig_expect_end(backend);
    assert_int_equal(sessions_of(rig), 1);
    rig_say(backend, "2 OK appended\r\n");
    rig_wait(rig, 300);
    assert_int_equal(sessions_of(rig), 1);
    rig_close(backend);
    rig_expect_no_session(rig);
    assert_int_equal(sessions_of(rig), 0);
}

/* `mailstead node leave` and `drain`: what is told to go does not leave the store behind. */
static void a_login_that_is_drained_counts_until_its_store_has_closed(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = rig_log_in(rig, "anna", 0, &backend);

    departures_drain(&rig->service.departures, io_loop_now_ms(&rig->loop));
    rig_expect_end(client);
    rig_expect_end(backend);
    rig_wait(rig, 300);
    assert_int_equal(sessions_of(rig), 1);
    rig_close(backend);
    rig_expect_no_session(rig);
    assert_int_equal(sessions_of(rig), 0);
}

/* Its store may be writing what it was told, or hang; nothing is waited for but its end. */
static void a_login_whose_client_has_gone_counts_until_its_store_has_closed(void **state)
{
    static const struct linger abruptly = { .l_onoff = 1, .l_linger = 0 };
    struct rig *rig = *state;
    struct peer *backend, *client;

    rig->config.timeout.backend_s = 1;
    for (int i = 0; i < 2; i++) {
        client = rig_log_in(rig, "anna", 0, &backend);
        if (i == 1)
            assert_int_equal(setsockopt(client->transport.fd, SOL_SOCKET, SO_LINGER, &abruptly,
                                        sizeof(abruptly)),
                             0);
        rig_close(client);
        rig_expect_end(backend);
        rig_wait(rig, i == 0 ? 1300 : 50);
        assert_int_equal(sessions_of(rig), 1);
        rig_close(backend);
        rig_expect_no_session(rig);
        assert_int_equal(sessions_of(rig), 0);
    }
}

static void a_lease_that_is_over_ends_sessions(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = rig_log_in(rig, "anna", 0, &backend);

    atomic_store(&storage_of(rig)->valid_until_ms, io_loop_now_ms(&rig->loop));
    rig_expect_end(client);
    rig_close(backend);
    rig_expect_no_session(rig);
}

static void sessions_of_other_storages_stay(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *other_backend, *client = rig_log_in(rig, "anna", 0, &backend), *other;

    rig->service.choose = frontend_choose; /* of no storage */
    other = rig_log_in(rig, "anna", 0, &other_backend);
    set_state(rig, STORAGE_FAILED);
    rig_expect_end(client);
    rig_close(backend);
    rig_say(other, "2 NOOP\r\n");
    rig_expect(other_backend, "2 NOOP\r\n");
}

/* It looked attached when the target was chosen, and is not when the session is counted. */
static void nobody_begins_on_what_is_not_attached(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);

    set_state(rig, STORAGE_RELEASING);
    rig_say(client, "1 LOGIN anna secret\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE]");
    assert_int_equal(sessions_of(rig), 0);
}

static void a_message_that_the_store_has_is_answered_first(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin_content(rig, &backend);

    rig_say(client, ".\r\n");
    rig_expect(backend, ".\r\n");
    set_state(rig, STORAGE_RELEASING);
    rig_wait(rig, 1500); /* longer than a message has when its worker ends */
    assert_int_equal(sessions_of(rig), 1);
    rig_say(backend, "250 2.0.0 Saved\r\n");
    rig_expect(client, "250 2.0.0 Saved\r\n421 ");
    rig_expect_end(client);
    assert_int_equal(sessions_of(rig), 0);
}

static void a_message_that_the_store_has_not_is_given_up(void **state)
{
    struct rig *rig = *state;
    struct peer *backend, *client = begin_content(rig, &backend);

    set_state(rig, STORAGE_RELEASING);
    rig_expect_end(client);
    rig_expect_end(backend);
    rig_expect_no_session(rig);
    assert_int_equal(sessions_of(rig), 0);
}

static void what_a_dead_process_used_is_used_no_more(void **state)
{
    struct rig *rig = *state;
    struct board_slot *slot = board_take_slot(rig->board);
    unsigned number = node_board_storage_number(rig->board, storage_of(rig));

    assert_true(node_board_use(rig->board, slot, number, io_loop_now_ms(&rig->loop)));
    assert_int_equal(sessions_of(rig), 1);
    board_retire_slot(rig->board, slot);
    assert_int_equal(sessions_of(rig), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(a_login_ends_and_counts_until_its_store_has_closed),
        T(a_login_that_is_drained_counts_until_its_store_has_closed),
        T(a_login_whose_client_has_gone_counts_until_its_store_has_closed),
        T(a_lease_that_is_over_ends_sessions),
        T(sessions_of_other_storages_stay),
        T(nobody_begins_on_what_is_not_attached),
        T(a_message_that_the_store_has_is_answered_first),
        T(a_message_that_the_store_has_not_is_given_up),
        T(what_a_dead_process_used_is_used_no_more),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
