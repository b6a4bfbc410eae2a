/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler over a real store, with a clock, a directory and workers that the
 * test plays.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/log.h"
#include "frontend/queue/scheduler.h"
#include "tests/unit/fault.h"
#include "tests/unit/folder.h"

enum { ENTRIES_MAX = 8, SENT_MAX = 4096, WORKER = 7 };

/* One address of the directory, and where it goes. */
struct entry {
    const char *address;
    enum route_outcome outcome;
    const char *host;
};

/* An attempt that a worker got. */
struct sent {
    uint64_t attempt;
    char backend[32];
    size_t count;
    uint64_t rows[QUEUE_DELIVERY_RECIPIENTS_MAX];
    char address[64], recipient[64], reverse_path[64];
    bool is_open;
};

struct fixture {
    char folder[FOLDER_SIZE];
    struct io_loop loop;
    struct store *store;
    struct committer committer;
    struct scheduler *scheduler;
    bool has_stopped, has_relay_host;
    int64_t now_ms, expiry_ms;
    struct entry entries[ENTRIES_MAX];
    const char *down; /* a backend */
    uint64_t revision;
    unsigned slots, busy;
    struct sent sent[SENT_MAX];
    size_t sent_count, acknowledged, confirms;
    uint64_t confirm_row;
    uint32_t stored;
};

/* --- what the scheduler asks ---------------------------------------------------------- */

static int64_t fake_now(void *context)
{
    return ((struct fixture *)context)->now_ms;
}

static void fake_route(void *context, struct span address, struct route *route)
{
    struct fixture *fixture = context;

    memset(route, 0, sizeof(*route));
    route->outcome = ROUTE_NOT_OURS;
    for (size_t i = 0; i < ENTRIES_MAX && fixture->entries[i].address; i++) {
        const struct entry *entry = &fixture->entries[i];

        if (!span_equals(address, span_from_string(entry->address)))
            continue;
        route->outcome = entry->outcome;
        snprintf(route->host, sizeof(route->host), "%s", entry->host ? entry->host : "");
        snprintf(route->recipient, sizeof(route->recipient), "canonical-%s", entry->address);
    }
}

static void fake_confirm(void *context, uint64_t row, struct span address)
{
    struct fixture *fixture = context;

    (void)address;
    fixture->confirms++;
    fixture->confirm_row = row;
}

static uint64_t fake_revision(void *context)
{
    return ((struct fixture *)context)->revision;
}

static bool fake_is_known(void *context, const char *backend)
{
    (void)context;
    return strncmp(backend, "sv", 2) == 0;
}

static bool fake_is_up(void *context, const char *backend)
{
    struct fixture *fixture = context;

    return !fixture->down || strcmp(fixture->down, backend) != 0;
}

static unsigned fake_free_slots(void *context)
{
    struct fixture *fixture = context;

    return fixture->slots - fixture->busy;
}

static bool fake_deliver(void *context, struct job *job)
{
    struct fixture *fixture = context;
    struct sent *sent = &fixture->sent[fixture->sent_count++];
    const struct store_message *message = &job->stored->content;

    assert_true(fixture->sent_count <= SENT_MAX);
    memset(sent, 0, sizeof(*sent));
    sent->attempt = job->attempt;
    sent->is_open = true;
    for (size_t i = 0; i < job->row_count; i++) {
        if (!job->rows[i].is_in_hand || !job->rows[i].recipient)
            continue;
        sent->rows[sent->count++] = job->rows[i].row;
        snprintf(sent->address, sizeof(sent->address), "%.*s", SPAN_PRINTF(job->rows[i].address));
        snprintf(sent->recipient, sizeof(sent->recipient), "%s", job->rows[i].recipient);
    }
    snprintf(sent->reverse_path, sizeof(sent->reverse_path), "%.*s",
             SPAN_PRINTF(message->reverse_path));
    snprintf(sent->backend, sizeof(sent->backend), "%s", scheduler_job_backend(job));
    job->worker = WORKER;
    fixture->busy++;
    return true;
}

static void fake_acknowledge(void *context, uint64_t worker, uint64_t attempt)
{
    (void)worker, (void)attempt;
    ((struct fixture *)context)->acknowledged++;
}

static const struct scheduler_ops fake_ops = {
    fake_now,   fake_route,      fake_confirm, fake_revision,    fake_is_known,
    fake_is_up, fake_free_slots, fake_deliver, fake_acknowledge,
};

/* --- life -------------------------------------------------------------------------------- */

static void committer_has_stopped(struct committer *committer)
{
    CONTAINER_OF(committer, struct fixture, committer)->has_stopped = true;
}

static void start(struct fixture *fixture)
{
    char error[STORE_ERROR_SIZE];
    struct scheduler_options options = {
        .rules = { .hostname = "mx.example.org",
                   .retry_min_ms = 60000,
                   .unknown_delay_ms = 600000,
                   .retry_max_ms = 3600000,
                   .expiry_ms = fixture->expiry_ms },
        .has_relay_host = fixture->has_relay_host,
        .ops = &fake_ops,
        .context = fixture,
    };

    fixture->store = store_open(fixture->folder, &fault_system, error);
    assert_non_null(fixture->store);
    committer_start(&fixture->committer, &fixture->loop, fixture->store);
    fixture->scheduler = scheduler_new(&options, &fixture->committer);
}

static void stop(struct fixture *fixture)
{
    scheduler_stop(fixture->scheduler);
    committer_stop(&fixture->committer, committer_has_stopped);
    io_loop_run(&fixture->loop);
    assert_true(fixture->has_stopped);
    scheduler_free(fixture->scheduler);
    store_close(fixture->store);
}

static int setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));

    folder_make(fixture->folder);
    io_loop_init(&fixture->loop);
    fixture->now_ms = 1700000000000;
    fixture->expiry_ms = 432000000;
    fixture->slots = 10;
    fixture->entries[0] = (struct entry){ "a@x", ROUTE_FOUND, "sv1" };
    fixture->entries[1] = (struct entry){ "b@x", ROUTE_FOUND, "sv2" };
    fixture->entries[2] = (struct entry){ "a2@x", ROUTE_FOUND, "sv1" };
    fixture->entries[3] = (struct entry){ "sender@x", ROUTE_FOUND, "sv3" };
    start(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    fault_disarm();
    stop(fixture);
    io_loop_fini(&fixture->loop);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void run(struct fixture *fixture)
{
    io_loop_run(&fixture->loop);
}

/* Lets `milliseconds` pass, and the scheduler look at it. */
static void pass(struct fixture *fixture, int64_t milliseconds)
{
    fixture->now_ms += milliseconds;
    scheduler_tick(fixture->scheduler);
    run(fixture);
}

static void restart(struct fixture *fixture)
{
    stop(fixture);
    fixture->has_stopped = false;
    fixture->busy = 0;
    start(fixture);
}

/* --- messages ------------------------------------------------------------------------------ */

static void deposit_done(struct operation *operation, bool is_committed)
{
    struct deposit *deposit = CONTAINER_OF(operation, struct deposit, operation);
    struct fixture *fixture = deposit->context;

    assert_true(is_committed);
    fixture->stored++;
    scheduler_deposited(fixture->scheduler, deposit);
    deposit_free(deposit);
}

struct letter {
    const char *reverse_path;
    bool may_relay;
    const char *recipients[4];
    enum queue_fate fates[4];
    const char *texts[4];
};

static void submit_letter(struct fixture *fixture, const struct letter *letter)
{
    struct deposit *deposit = deposit_new(1, fixture->now_ms, "mx.example.org");
    char memory[1024];
    struct buffer wire = buffer_over(memory, sizeof(memory));
    uint32_t count = 0;

    while (count < 4 && letter->recipients[count])
        count++;
    wire_put_span(&wire, SPAN_LITERAL("session1"));
    wire_put_span(&wire, span_from_string(letter->reverse_path));
    wire_put_u8(&wire, 0);
    wire_put_u8(&wire, letter->may_relay);
    wire_put_u64(&wire, 4);
    wire_put_u32(&wire, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_span(&wire, span_from_string(letter->recipients[i]));
        wire_put_u8(&wire, (uint8_t)letter->fates[i]);
        wire_put_u32(&wire, 0);
        wire_put_span(&wire, span_from_string(letter->texts[i]));
    }
    wire_put_u8(&wire, 0);
    wire_put_span(&wire, SPAN_LITERAL("body"));
    assert_true(deposit_take_store(deposit, buffer_span(&wire)));
    deposit->context = fixture;
    deposit->operation.done = deposit_done;
    scheduler_resolve(fixture->scheduler, deposit);
    committer_submit(&fixture->committer, &deposit->operation);
}

static void send_to(struct fixture *fixture, const char *recipient)
{
    submit_letter(fixture, &(struct letter){ "sender@x", false, { recipient }, { 0 }, { 0 } });
    run(fixture);
}

static struct sent *last_sent(struct fixture *fixture)
{
    assert_true(fixture->sent_count > 0);
    return &fixture->sent[fixture->sent_count - 1];
}

/* The worker reports one fate for all recipients of an attempt. */
static void report(struct fixture *fixture, struct sent *sent, enum queue_fate fate,
                   const char *text)
{
    struct report_row rows[QUEUE_DELIVERY_RECIPIENTS_MAX];

    for (size_t i = 0; i < sent->count; i++)
        rows[i] = (struct report_row){ sent->rows[i], fate, 0, span_from_string(text) };
    if (sent->is_open)
        fixture->busy--;
    sent->is_open = false;
    scheduler_report(fixture->scheduler, WORKER, sent->attempt, rows, sent->count);
    run(fixture);
}

static int64_t messages(const struct fixture *fixture)
{
    return store_counts(fixture->store).messages;
}

/* --- tests ----------------------------------------------------------------------------------- */

static void test_a_message_goes_to_its_owner_and_out_of_the_queue(void **state)
{
    struct fixture *fixture = *state;

    send_to(fixture, "a@x");
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(last_sent(fixture)->backend, "sv1");
    assert_string_equal(last_sent(fixture)->address, "a@x");
    assert_string_equal(last_sent(fixture)->recipient, "canonical-a@x");
    assert_int_equal(messages(fixture), 1);
    report(fixture, last_sent(fixture), QUEUE_DELIVERED, "250 ok");
    assert_int_equal(messages(fixture), 0);
    assert_int_equal(fixture->acknowledged, 1);
    pass(fixture, 86400000);
    assert_int_equal(fixture->sent_count, 1);
}

static void test_recipients_are_grouped_by_backend(void **state)
{
    struct fixture *fixture = *state;

    submit_letter(fixture,
                  &(struct letter){ "sender@x", false, { "a@x", "b@x", "a2@x" }, { 0 }, { 0 } });
    run(fixture);
    assert_int_equal(fixture->sent_count, 2);
    assert_int_equal(fixture->sent[0].count + fixture->sent[1].count, 3);
    report(fixture, &fixture->sent[0], QUEUE_DELIVERED, "");
    assert_int_equal(messages(fixture), 1);
    report(fixture, &fixture->sent[1], QUEUE_DELIVERED, "");
    assert_int_equal(messages(fixture), 0);
}

static void test_a_temporary_refusal_is_retried_later_and_later(void **state)
{
    struct fixture *fixture = *state;

    send_to(fixture, "a@x");
    report(fixture, last_sent(fixture), QUEUE_PENDING, "451 busy");
    pass(fixture, 44000);
    assert_int_equal(fixture->sent_count, 1);
    pass(fixture, 32000); /* 60 s with a jitter of a quarter */
    assert_int_equal(fixture->sent_count, 2);
    report(fixture, last_sent(fixture), QUEUE_PENDING, "451 busy");
    pass(fixture, 89000);
    assert_int_equal(fixture->sent_count, 2);
    pass(fixture, 62000);
    assert_int_equal(fixture->sent_count, 3);
}

static void test_mail_for_a_dead_backend_moves_with_its_account(void **state)
{
    struct fixture *fixture = *state;

    fixture->down = "sv1";
    send_to(fixture, "a@x");
    pass(fixture, 1000);
    pass(fixture, 3600000);
    assert_int_equal(fixture->sent_count, 0);
    fixture->entries[0].host = "sv2";
    fixture->revision++;
    pass(fixture, 1000);
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(last_sent(fixture)->backend, "sv2");
}

static void test_a_moved_account_is_seen_at_the_attempt_itself(void **state)
{
    struct fixture *fixture = *state;

    send_to(fixture, "a@x");
    report(fixture, last_sent(fixture), QUEUE_PENDING, "451 not mine");
    fixture->entries[0].host = "sv2"; /* the revision does not say so */
    pass(fixture, 80000);
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(last_sent(fixture)->backend, "sv2");
}

static void test_an_unreachable_backend_is_left_alone_and_then_ramped(void **state)
{
    struct fixture *fixture = *state;
    size_t before;

    for (int i = 0; i < 20; i++)
        send_to(fixture, "a@x");
    before = fixture->sent_count;
    assert_int_equal(before, 4); /* the first ramp */
    for (size_t i = 0; i < before; i++)
        report(fixture, &fixture->sent[i], QUEUE_UNREACHABLE, "connection refused");
    assert_int_equal(fixture->sent_count, before);
    pass(fixture, 3000);
    assert_int_equal(fixture->sent_count, before);
    pass(fixture, 4000);
    assert_int_equal(fixture->sent_count, before + 1); /* one alone tries it */
    report(fixture, last_sent(fixture), QUEUE_UNREACHABLE, "connection refused");
    pass(fixture, 7000);
    assert_int_equal(fixture->sent_count, before + 1); /* the second pause is longer */
    fixture->down = "sv1";
    pass(fixture, 1000);
    fixture->down = NULL;
    pass(fixture, 200);
    assert_int_equal(fixture->sent_count, before + 2); /* health ends the pause */
    report(fixture, last_sent(fixture), QUEUE_DELIVERED, "250");
    assert_int_equal(fixture->sent_count, before + 4);
    report(fixture, last_sent(fixture), QUEUE_DELIVERED, "250");
    assert_int_equal(fixture->sent_count, before + 6);
}

static void test_an_unknown_outcome_waits_ten_minutes_wherever_it_goes(void **state)
{
    struct fixture *fixture = *state;

    send_to(fixture, "a@x");
    report(fixture, last_sent(fixture), QUEUE_UNKNOWN, "reply lost");
    fixture->entries[0].host = "sv2";
    fixture->revision++;
    pass(fixture, 1000);
    pass(fixture, 598000);
    assert_int_equal(fixture->sent_count, 1);
    pass(fixture, 1100);
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(last_sent(fixture)->backend, "sv2");
}

static void test_a_worker_that_does_not_come_back_leaves_unknown_outcomes(void **state)
{
    struct fixture *fixture = *state;

    send_to(fixture, "a@x");
    scheduler_worker_lost(fixture->scheduler, WORKER);
    pass(fixture, 100000);
    fixture->busy = 0;
    pass(fixture, 500000);
    assert_int_equal(fixture->sent_count, 1);
    pass(fixture, 101000);
    assert_int_equal(fixture->sent_count, 2);
}

static void test_a_worker_that_comes_back_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct sent *sent;

    send_to(fixture, "a@x");
    sent = last_sent(fixture);
    scheduler_worker_lost(fixture->scheduler, WORKER);
    pass(fixture, 1000);
    scheduler_claim(fixture->scheduler, WORKER + 1, sent->attempt, sent->rows, sent->count);
    pass(fixture, 700000);
    assert_int_equal(fixture->sent_count, 1);
    report(fixture, sent, QUEUE_DELIVERED, "");
    assert_int_equal(messages(fixture), 0);
}

static void test_after_a_restart_claims_and_late_results_prevent_duplicates(void **state)
{
    struct fixture *fixture = *state;
    struct sent *first, *second, *third;

    for (int i = 0; i < 3; i++)
        send_to(fixture, "a@x");
    first = &fixture->sent[0], second = &fixture->sent[1], third = &fixture->sent[2];
    restart(fixture);
    pass(fixture, 200);
    assert_int_equal(fixture->sent_count, 3); /* it waits for the workers */
    report(fixture, first, QUEUE_DELIVERED, "");
    scheduler_claim(fixture->scheduler, WORKER, second->attempt, second->rows, second->count);
    assert_int_equal(messages(fixture), 2);
    pass(fixture, 2000);
    assert_int_equal(fixture->sent_count, 4); /* only the third */
    assert_true(last_sent(fixture)->rows[0] == third->rows[0]);
    report(fixture, second, QUEUE_DELIVERED, "");
    report(fixture, second, QUEUE_DELIVERED, "");
    assert_int_equal(messages(fixture), 1);
    /* The worker that had it comes late: what is delivered is delivered. */
    third->is_open = false;
    report(fixture, third, QUEUE_DELIVERED, "");
    assert_int_equal(messages(fixture), 0);
    report(fixture, last_sent(fixture), QUEUE_PENDING, "451");
    assert_int_equal(messages(fixture), 0);
    assert_int_equal(fixture->acknowledged, 5);
}

static void test_a_late_failure_of_what_is_in_other_hands_is_ignored(void **state)
{
    struct fixture *fixture = *state;
    struct sent *first;

    send_to(fixture, "a@x");
    first = last_sent(fixture);
    restart(fixture);
    pass(fixture, 2100);
    assert_int_equal(fixture->sent_count, 2);
    first->is_open = false;
    report(fixture, first, QUEUE_FAILED, "550 no");
    assert_int_equal(messages(fixture), 1);
    report(fixture, last_sent(fixture), QUEUE_DELIVERED, "");
    assert_int_equal(messages(fixture), 0);
}

static void test_a_permanent_refusal_is_reported_to_the_sender_once(void **state)
{
    struct fixture *fixture = *state;

    send_to(fixture, "a@x");
    report(fixture, last_sent(fixture), QUEUE_FAILED, "550 5.1.1 no such user");
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(last_sent(fixture)->backend, "sv3");
    assert_string_equal(last_sent(fixture)->address, "sender@x");
    assert_string_equal(last_sent(fixture)->reverse_path, "");
    assert_int_equal(messages(fixture), 1);
    report(fixture, last_sent(fixture), QUEUE_FAILED, "550 5.1.1 no such user");
    assert_int_equal(messages(fixture), 0); /* nobody is told that a report failed */
    pass(fixture, 86400000);
    assert_int_equal(fixture->sent_count, 2);
}

static void test_refusals_known_at_arrival_are_reported_and_the_rest_delivered(void **state)
{
    struct fixture *fixture = *state;

    submit_letter(fixture, &(struct letter){ "sender@x",
                                             false,
                                             { "a@x", "b@x" },
                                             { QUEUE_FAILED, QUEUE_PENDING },
                                             { "550 5.7.1 no" } });
    run(fixture);
    assert_int_equal(fixture->sent_count, 2);
    assert_int_equal(messages(fixture), 2);
    submit_letter(fixture,
                  &(struct letter){ "", false, { "a@x" }, { QUEUE_FAILED }, { "550 no" } });
    run(fixture);
    assert_int_equal(fixture->stored, 2);
    assert_int_equal(messages(fixture), 2);
}

static void test_an_unknown_address_fails_only_when_confirmed(void **state)
{
    struct fixture *fixture = *state;

    fixture->entries[0].outcome = ROUTE_UNKNOWN;
    send_to(fixture, "a@x");
    assert_int_equal(fixture->confirms, 1);
    scheduler_confirmed(fixture->scheduler, fixture->confirm_row, false);
    run(fixture);
    assert_int_equal(messages(fixture), 1);
    pass(fixture, 80000);
    assert_int_equal(fixture->confirms, 2);
    scheduler_confirmed(fixture->scheduler, fixture->confirm_row, true);
    run(fixture);
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(last_sent(fixture)->address, "sender@x");
}

static void test_a_report_to_a_foreign_sender_needs_the_relay_host(void **state)
{
    struct fixture *fixture = *state;
    struct letter letter = { "who@else", false, { "a@x" }, { QUEUE_FAILED }, { "550 no" } };

    submit_letter(fixture, &letter);
    run(fixture);
    assert_int_equal(fixture->sent_count, 0);
    assert_int_equal(store_counts(fixture->store).held, 1);
    fixture->has_relay_host = true;
    restart(fixture);
    pass(fixture, 2100);
    submit_letter(fixture, &letter);
    run(fixture);
    assert_int_equal(fixture->sent_count, 1);
    assert_string_equal(last_sent(fixture)->backend, "");
    assert_string_equal(last_sent(fixture)->recipient, "who@else");
}

static void test_expiry_needs_age_and_a_failed_attempt(void **state)
{
    struct fixture *fixture = *state;

    send_to(fixture, "a@x");
    report(fixture, last_sent(fixture), QUEUE_PENDING, "451 busy");
    fixture->now_ms += 500000000;
    restart(fixture);
    pass(fixture, 2100);
    assert_int_equal(fixture->sent_count, 2); /* old, but tried again first */
    scheduler_suspend_expiry(fixture->scheduler, true);
    report(fixture, last_sent(fixture), QUEUE_PENDING, "451 busy");
    scheduler_suspend_expiry(fixture->scheduler, false);
    pass(fixture, 200000);
    assert_int_equal(fixture->sent_count, 3);
    assert_string_equal(last_sent(fixture)->address, "a@x");
    report(fixture, last_sent(fixture), QUEUE_PENDING, "451 busy");
    assert_int_equal(fixture->sent_count, 4);
    assert_string_equal(last_sent(fixture)->address, "sender@x");
}

static void test_mail_for_a_backend_that_stays_down_expires_too(void **state)
{
    struct fixture *fixture = *state;

    fixture->down = "sv1";
    send_to(fixture, "a@x");
    pass(fixture, 400000000);
    assert_int_equal(fixture->sent_count, 0);
    pass(fixture, 40000000);
    assert_int_equal(fixture->sent_count, 1); /* one attempt, so that there is a reason */
    report(fixture, last_sent(fixture), QUEUE_UNREACHABLE, "connection refused");
    assert_int_equal(fixture->sent_count, 2);
    assert_string_equal(last_sent(fixture)->address, "sender@x");
}

static void test_a_failure_of_our_own_expires_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->entries[0].outcome = ROUTE_UNAVAILABLE;
    send_to(fixture, "a@x");
    pass(fixture, 500000000);
    pass(fixture, 500000000);
    assert_int_equal(messages(fixture), 1);
    assert_int_equal(fixture->sent_count, 0);
}

static void test_a_slow_backend_leaves_slots_to_others(void **state)
{
    struct fixture *fixture = *state;
    size_t to_sv1 = 0, to_sv2 = 0;

    fixture->slots = 8;
    for (int i = 0; i < 8; i++)
        send_to(fixture, "a@x");
    for (int i = 0; i < 4; i++) /* the ramp opens */
        report(fixture, &fixture->sent[i], QUEUE_DELIVERED, "");
    for (int i = 0; i < 20; i++)
        send_to(fixture, "a@x");
    for (int i = 0; i < 4; i++)
        send_to(fixture, "b@x");
    for (size_t i = 4; i < fixture->sent_count; i++) {
        to_sv1 += strcmp(fixture->sent[i].backend, "sv1") == 0;
        to_sv2 += strcmp(fixture->sent[i].backend, "sv2") == 0;
    }
    assert_int_equal(to_sv1, 4);
    assert_int_equal(to_sv2, 2);
}

static void count_in_hand(void *context, const char *name, size_t in_hand, bool is_waiting)
{
    size_t *most = context;

    (void)name, (void)is_waiting;
    *most = in_hand > *most ? in_hand : *most;
}

static void test_a_large_backlog_is_worked_through_in_a_small_window(void **state)
{
    struct fixture *fixture = *state;
    size_t most = 0;

    fixture->down = "sv1";
    for (int i = 0; i < 1000; i++)
        submit_letter(fixture, &(struct letter){ "sender@x", false, { "a@x" }, { 0 }, { 0 } });
    run(fixture);
    scheduler_each(fixture->scheduler, count_in_hand, &most);
    assert_int_equal(most, 0);
    fixture->down = NULL;
    pass(fixture, 200);
    for (size_t i = 0; i < fixture->sent_count; i++) {
        scheduler_each(fixture->scheduler, count_in_hand, &most);
        report(fixture, &fixture->sent[i], QUEUE_DELIVERED, "");
    }
    assert_int_equal(fixture->sent_count, 1000);
    assert_int_equal(messages(fixture), 0);
    assert_true(most > 0 && most <= 110);
}

static void test_a_result_is_written_again_until_it_is_committed(void **state)
{
    struct fixture *fixture = *state;

    send_to(fixture, "a@x");
    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    fault_arm(1, FAULT_FAIL_FROM);
    report(fixture, last_sent(fixture), QUEUE_DELIVERED, "");
    pass(fixture, 200);
    assert_int_equal(fixture->acknowledged, 0);
    fault_disarm();
    log_set_descriptor(STDERR_FILENO);
    pass(fixture, 200);
    assert_int_equal(fixture->acknowledged, 1);
    assert_int_equal(messages(fixture), 0);
    assert_int_equal(fixture->sent_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_message_goes_to_its_owner_and_out_of_the_queue),
        TEST(test_recipients_are_grouped_by_backend),
        TEST(test_a_temporary_refusal_is_retried_later_and_later),
        TEST(test_mail_for_a_dead_backend_moves_with_its_account),
        TEST(test_a_moved_account_is_seen_at_the_attempt_itself),
        TEST(test_an_unreachable_backend_is_left_alone_and_then_ramped),
        TEST(test_an_unknown_outcome_waits_ten_minutes_wherever_it_goes),
        TEST(test_a_worker_that_does_not_come_back_leaves_unknown_outcomes),
        TEST(test_a_worker_that_comes_back_goes_on),
        TEST(test_after_a_restart_claims_and_late_results_prevent_duplicates),
        TEST(test_a_late_failure_of_what_is_in_other_hands_is_ignored),
        TEST(test_a_permanent_refusal_is_reported_to_the_sender_once),
        TEST(test_refusals_known_at_arrival_are_reported_and_the_rest_delivered),
        TEST(test_an_unknown_address_fails_only_when_confirmed),
        TEST(test_a_report_to_a_foreign_sender_needs_the_relay_host),
        TEST(test_expiry_needs_age_and_a_failed_attempt),
        TEST(test_mail_for_a_backend_that_stays_down_expires_too),
        TEST(test_a_failure_of_our_own_expires_nothing),
        TEST(test_a_slow_backend_leaves_slots_to_others),
        TEST(test_a_large_backlog_is_worked_through_in_a_small_window),
        TEST(test_a_result_is_written_again_until_it_is_committed),
    };

    log_set_level(LOG_LEVEL_ERROR);
    fault_install();
    return cmocka_run_group_tests_name("queue scheduler", tests, NULL, NULL);
}
