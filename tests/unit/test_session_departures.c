/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions go when their accounts go elsewhere, how fast, and which one next. */
#include "tests/unit/session_support.h"

#include "common/base/clock.h"

enum { MANY = 20 };

struct pair {
    struct peer *client, *backend;
};

static struct pair log_in(struct rig *rig, const char *name, unsigned index)
{
    struct pair pair;

    pair.client = rig_log_in(rig, name, index, &pair.backend);
    return pair;
}

static void tell(struct rig *rig, const char *host)
{
    session_service_account_changed(&rig->service, SPAN_LITERAL("anna@example.org"),
                                    span_from_string(host));
}

static bool nobody_waits(void *context)
{
    const struct departures *departures = &((struct rig *)context)->service.departures;

    return list_is_empty(&departures->waiting) && departures->unchecked == 0;
}

static void expect_nobody_waits(struct rig *rig)
{
    io_run_until(&rig->loop, nobody_waits, rig);
}

static bool has_gone(const struct pair *pair)
{
    return pair->client->has_ended || pair->client->has_failed;
}

/* Bert goes to sv0 and anna is deleted, as the directory process says it: in one message. */
static void tell_of_both(struct rig *rig)
{
    char memory[256];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, DIRECTORY_CHANGED);
    wire_put_u64(&message, 1);
    wire_put_span(&message, SPAN_LITERAL("bert@example.org"));
    wire_put_span(&message, SPAN_LITERAL("sv0"));
    wire_put_span(&message, SPAN_LITERAL("anna@example.org"));
    wire_put_span(&message, SPAN_EMPTY);
    assert_true(channel_send(&rig->directory_channel, buffer_span(&message), -1));
}

static void several_accounts_may_be_told_of_at_once(void **state)
{
    struct rig *rig = *state;
    struct pair anna = log_in(rig, "anna", 0), bert = log_in(rig, "bert", 1);

    rig_move(rig, "bert", "sv0");
    rig_remove(rig, "anna");
    tell_of_both(rig);
    rig_expect_end(anna.client);
    rig_expect_end(bert.client);
}

static void sessions_go_no_faster_than_configured(void **state)
{
    struct rig *rig = *state;
    struct pair pairs[MANY];
    uint64_t began_ms;

    rig->config.limits.disconnects_per_second = 50;
    for (unsigned i = 0; i < MANY; i++)
        pairs[i] = log_in(rig, "anna", 0);
    rig_move(rig, "anna", "sv1");
    began_ms = clock_monotonic_ms();
    tell(rig, "sv1");
    rig_expect_no_session(rig);
    /* The first ones may use what the last 50 ms left. */
    assert_in_range(clock_monotonic_ms() - began_ms, (MANY - 4) * 1000 / 50, 5000);
    for (unsigned i = 0; i < MANY; i++)
        rig_expect_end(pairs[i].client);
}

static void the_pace_is_that_of_all_workers_together(void **state)
{
    struct rig *rig = *state;
    uint64_t began_ms;

    rig->config.limits.disconnects_per_second = 1000;
    log_in(rig, "anna", 0);
    rig_move(rig, "anna", "sv1");
    began_ms = clock_monotonic_ms();
    atomic_store(&rig->board->departure.next_us,
                 (began_ms + 300) * 1000); /* others' turn until then */
    tell(rig, "sv1");
    rig_expect_no_session(rig);
    assert_in_range(clock_monotonic_ms() - began_ms, 299, 5000);
}

static void new_logins_go_to_the_new_owner_while_old_sessions_wait(void **state)
{
    struct rig *rig = *state;
    struct pair old, new;

    rig->config.limits.disconnects_per_second = 1;
    old = log_in(rig, "anna", 0);
    atomic_store(&rig->board->departure.next_us, (clock_monotonic_ms() + 60000) * 1000);
    rig_move(rig, "anna", "sv1");
    tell(rig, "sv1");
    new = log_in(rig, "anna", 1);
    assert_false(has_gone(&old) || has_gone(&new));
    rig_say(old.backend, "still there\r\n");
    rig_expect(old.client, "still there\r\n");
    assert_int_equal(rig->service.session_count, 2);
    atomic_store(&rig->board->departure.next_us, 0);
    rig_expect_end(old.client);
    expect_nobody_waits(rig);
    assert_false(has_gone(&new));
}

static void a_session_whose_account_comes_back_stays(void **state)
{
    struct rig *rig = *state;
    struct pair pair;

    rig->config.limits.disconnects_per_second = 1;
    pair = log_in(rig, "anna", 0);
    atomic_store(&rig->board->departure.next_us, (clock_monotonic_ms() + 60000) * 1000);
    rig_move(rig, "anna", "sv1");
    tell(rig, "sv1");
    assert_false(nobody_waits(rig));
    tell(rig, "sv0");
    assert_true(nobody_waits(rig));
    tell(rig, "sv1"); /* and back again, which is not told before its turn */
    rig_move(rig, "anna", "sv0");
    atomic_store(&rig->board->departure.next_us, 0);
    expect_nobody_waits(rig);
    rig_say(pair.backend, "still there\r\n");
    rig_expect(pair.client, "still there\r\n");
    assert_int_equal(rig->service.departures.kept, 1);
}

static void the_sessions_of_a_deleted_account_go(void **state)
{
    struct rig *rig = *state;
    struct pair told = log_in(rig, "anna", 0), found = log_in(rig, "bert", 1);

    rig_remove(rig, "anna");
    tell(rig, "");
    rig_expect_end(told.client);
    rig_remove(rig, "bert");
    session_service_many_changed(&rig->service);
    rig_expect_end(found.client);
}

static void a_login_that_ends_after_its_account_was_deleted_is_none(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap), *backend;

    rig->confirmation = DIRECTORY_UNSURE;
    rig_say(client, "1 LOGIN anna secret\r\n");
    backend = rig_accept(rig, 0);
    rig_say(backend, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello\r\n");
    rig_expect(backend, "AUTHENTICATE PLAIN ");
    rig_remove(rig, "anna");
    tell(rig, "");
    rig_say(backend, "a OK in\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE]");
}

static void sessions_stay_while_their_account_is_in_doubt(void **state)
{
    struct rig *rig = *state;
    struct pair pair = log_in(rig, "anna", 0);

    rig_move(rig, "anna", ""); /* hostServer is absent */
    session_service_many_changed(&rig->service);
    expect_nobody_waits(rig);
    rig_say(pair.backend, "still there\r\n");
    rig_expect(pair.client, "still there\r\n");
    rig_move(rig, "anna", "sv1");
    tell(rig, "sv1");
    rig_expect_end(pair.client);
}

static void sessions_are_looked_at_again_when_the_mirror_can_be_read(void **state)
{
    struct rig *rig = *state;
    struct pair told = log_in(rig, "anna", 0), found = log_in(rig, "bert", 1);
    struct resolver *resolver = rig->service.resolver;
    struct mirror *readable = resolver->mirror;

    resolver->mirror = mirror_open("/nonexistent");
    rig_move(rig, "anna", "sv1");
    tell(rig, "sv1");
    rig_move(rig, "bert", "sv0");
    session_service_many_changed(&rig->service);
    for (int i = 0; i < 10; i++)
        io_loop_turn(&rig->loop, true);
    assert_false(nobody_waits(rig) || has_gone(&told) || has_gone(&found));
    mirror_close(resolver->mirror);
    resolver->mirror = readable;
    rig_expect_end(told.client);
    rig_expect_end(found.client);
    expect_nobody_waits(rig);
}

static void a_check_of_all_finds_those_that_moved_and_no_others(void **state)
{
    struct rig *rig = *state;
    struct pair moved = log_in(rig, "anna", 0), other = log_in(rig, "bert", 1);

    rig_connect(rig, &rig->imap); /* one that is not logged in */
    rig_move(rig, "anna", "sv1");
    session_service_many_changed(&rig->service);
    rig_expect_end(moved.client);
    expect_nobody_waits(rig);
    assert_false(has_gone(&other));
    assert_int_equal(rig->service.session_count, 2);
}

static void who_says_something_while_it_waits_goes_next(void **state)
{
    struct rig *rig = *state;
    struct pair first, second, third;

    rig->config.limits.disconnects_per_second = 10;
    first = log_in(rig, "anna", 0);
    second = log_in(rig, "anna", 0);
    third = log_in(rig, "anna", 0);
    atomic_store(&rig->board->departure.next_us, (clock_monotonic_ms() + 60000) * 1000);
    rig_move(rig, "anna", "sv1");
    tell(rig, "sv1");
    rig_say(second.client, "2 NOOP\r\n");
    rig_expect(second.backend, "2 NOOP\r\n");
    atomic_store(&rig->board->departure.next_us, clock_monotonic_ms() * 1000);
    rig_expect_end(second.client);
    assert_false(has_gone(&first) && has_gone(&third));
    rig_expect_no_session(rig);
}

static void a_session_that_its_backend_ended_with_the_move_waits_too(void **state)
{
    struct rig *rig = *state;
    struct pair first, second;

    rig->config.limits.disconnects_per_second = 1;
    first = log_in(rig, "anna", 0);
    second = log_in(rig, "anna", 0);
    atomic_store(&rig->board->departure.next_us, (clock_monotonic_ms() + 60000) * 1000);
    rig_move(rig, "anna", "sv1"); /* the backend node is told before us */
    rig_close(first.backend);
    rig_close(second.backend);
    io_run_turns(&rig->loop, 5);
    assert_int_equal(rig->service.session_count, 2);
    rig_move(rig, "anna", "sv0"); /* that is too late: there is no backend any more */
    tell(rig, "sv0");
    rig_say(second.client, "2 NOOP\r\n");
    io_run_turns(&rig->loop, 5);
    atomic_store(&rig->board->departure.next_us, clock_monotonic_ms() * 1000);
    rig_expect_end(second.client);
    assert_false(has_gone(&first));
    atomic_store(&rig->board->departure.next_us, 0);
    rig_expect_end(first.client);
}

static void a_session_that_ends_in_the_middle_of_its_talk_does_not_wait(void **state)
{
    struct rig *rig = *state;
    struct pair pair;

    rig->config.limits.disconnects_per_second = 1;
    pair = log_in(rig, "anna", 0);
    atomic_store(&rig->board->departure.next_us, (clock_monotonic_ms() + 60000) * 1000);
    rig_say(pair.client, "2 LOGOUT\r\n");
    rig_expect(pair.backend, "2 LOGOUT\r\n");
    rig_say(pair.backend, "* BYE\r\n2 OK bye\r\n");
    rig_close(pair.backend);
    rig_expect(pair.client, "* BYE\r\n2 OK bye\r\n");
    rig_expect_end(pair.client);
}

static void the_backend_node_ends_its_side_at_once(void **state)
{
    struct rig *rig = *state;
    struct pair pairs[3];

    rig->config.limits.disconnects_per_second = 1;
    for (unsigned i = 0; i < 3; i++)
        pairs[i] = log_in(rig, "anna", 0);
    rig->service.peers_are_trusted = true;
    atomic_store(&rig->board->departure.next_us, (clock_monotonic_ms() + 60000) * 1000);
    rig_move(rig, "anna", "sv1");
    tell(rig, "sv1");
    for (unsigned i = 0; i < 3; i++)
        rig_expect_end(pairs[i].client);
}

/* --- many sessions, which need no connections for this ----------------------------------- */

enum { CROWD = 5000, SLICE_MAX = 64 };

static void leave_crowd(struct session *session, const char *reason)
{
    (void)reason;
    session_finish(session);
}

static struct session *make_crowd(struct rig *rig)
{
    struct session *crowd = calloc(CROWD, sizeof(*crowd));
    const struct sockaddr_storage from = { .ss_family = AF_UNIX };
    struct route route;

    resolver_look_up(&rig->resolver, ROUTE_KEY_LOGIN, "anna", &route);
    for (unsigned i = 0; i < CROWD; i++) {
        session_start(&crowd[i], &rig->service, &rig->imap, &from, leave_crowd);
        session_log_in(&crowd[i], &route, "sv0");
    }
    return crowd;
}

static void no_turn_of_the_loop_looks_at_many_sessions_or_ends_many(void **state)
{
    struct rig *rig = *state;
    struct session *crowd = make_crowd(rig);
    const struct departures *departures = &rig->service.departures;
    unsigned turns = 0;

    session_service_many_changed(&rig->service);
    while (departures->unchecked > 0) {
        size_t before = departures->unchecked;

        io_loop_turn(&rig->loop, false);
        assert_in_range(before - departures->unchecked, 0, SLICE_MAX);
        turns++;
    }
    assert_true(turns >= CROWD / SLICE_MAX);
    assert_int_equal(rig->service.session_count, CROWD);
    rig_move(rig, "anna", "sv1");
    session_service_many_changed(&rig->service);
    while (rig->service.session_count > 0) {
        size_t before = rig->service.session_count;

        io_loop_turn(&rig->loop, false);
        assert_in_range(before - rig->service.session_count, 0, SLICE_MAX);
    }
    free(crowd);
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(several_accounts_may_be_told_of_at_once),
        T(sessions_go_no_faster_than_configured),
        T(the_pace_is_that_of_all_workers_together),
        T(new_logins_go_to_the_new_owner_while_old_sessions_wait),
        T(a_session_whose_account_comes_back_stays),
        T(the_sessions_of_a_deleted_account_go),
        T(a_login_that_ends_after_its_account_was_deleted_is_none),
        T(sessions_stay_while_their_account_is_in_doubt),
        T(sessions_are_looked_at_again_when_the_mirror_can_be_read),
        T(a_check_of_all_finds_those_that_moved_and_no_others),
        T(who_says_something_while_it_waits_goes_next),
        T(a_session_that_its_backend_ended_with_the_move_waits_too),
        T(a_session_that_ends_in_the_middle_of_its_talk_does_not_wait),
        T(the_backend_node_ends_its_side_at_once),
        T(no_turn_of_the_loop_looks_at_many_sessions_or_ends_many),
    };

    return cmocka_run_group_tests_name("departures", tests, NULL, NULL);
}
