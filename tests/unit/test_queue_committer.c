/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "frontend/queue/committer.h"
#include "tests/unit/fault.h"
#include "tests/unit/folder.h"

struct fixture {
    char folder[FOLDER_SIZE];
    struct io_loop loop;
    struct store *store;
    struct committer committer;
    unsigned batches, committed, failed, to_submit, disk_ms;
    uv_timer_t timer;
    bool has_stopped;
};

struct addition {
    struct operation operation;
    struct fixture *fixture;
    uint64_t id;
    const char *body_file; /* NULL: in the row */
};

static void committer_stopped(struct committer *committer)
{
    CONTAINER_OF(committer, struct fixture, committer)->has_stopped = true;
}

static void count_batch(struct committer *committer, const struct store_counts *counts)
{
    (void)counts;
    CONTAINER_OF(committer, struct fixture, committer)->batches++;
}

static int setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));
    char error[STORE_ERROR_SIZE];

    folder_make(fixture->folder);
    io_loop_init(&fixture->loop);
    fixture->store = store_open(fixture->folder, &fault_system, error);
    assert_non_null(fixture->store);
    committer_start(&fixture->committer, &fixture->loop, fixture->store);
    fixture->committer.committed = count_batch;
    *state = fixture;
    return 0;
}

static void stop(struct fixture *fixture)
{
    committer_stop(&fixture->committer, committer_stopped);
    io_loop_run(&fixture->loop);
    assert_true(fixture->has_stopped);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    fault_disarm();
    if (!fixture->has_stopped)
        stop(fixture);
    io_loop_fini(&fixture->loop);
    store_close(fixture->store);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static bool addition_apply(struct operation *operation, struct store *store)
{
    struct addition *addition = CONTAINER_OF(operation, struct addition, operation);
    struct store_recipient recipient = { .address = SPAN_LITERAL("a@x"), .destination = "sv1" };
    struct store_message message = { .body = SPAN_LITERAL("x"),
                                     .size = 1,
                                     .body_file = addition->body_file };

    uv_sleep(addition->fixture->disk_ms);
    return store_add(store, &message, &recipient, 1, true, &addition->id);
}

static void submit_with(struct fixture *fixture, const char *body_file);

static void addition_done(struct operation *operation, bool is_committed)
{
    struct addition *addition = CONTAINER_OF(operation, struct addition, operation);
    struct fixture *fixture = addition->fixture;

    fixture->committed += is_committed;
    fixture->failed += !is_committed;
    free(addition);
    if (fixture->to_submit > 0)
        submit_with(fixture, NULL);
}

static void submit_with(struct fixture *fixture, const char *body_file)
{
    struct addition *addition = memory_new(sizeof(*addition));

    if (fixture->to_submit > 0)
        fixture->to_submit--;
    addition->operation.apply = addition_apply;
    addition->operation.done = addition_done;
    addition->fixture = fixture;
    addition->body_file = body_file;
    committer_submit(&fixture->committer, &addition->operation);
}

static void submit(struct fixture *fixture)
{
    submit_with(fixture, NULL);
}

static void run_until_committed(struct fixture *fixture, unsigned count)
{
    while (fixture->committed < count)
        io_loop_turn(&fixture->loop, true);
}

static void write_incoming(const struct fixture *fixture, const char *name)
{
    char path[FOLDER_SIZE + 64];
    int fd;

    snprintf(path, sizeof(path), "%s/incoming/%s", fixture->folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void test_fifty_sessions_share_their_syncs(void **state)
{
    struct fixture *fixture = *state;

    fault_arm(0, FAULT_FAIL_ONCE);
    fixture->to_submit = 1000;
    for (int i = 0; i < 50; i++)
        submit(fixture);
    stop(fixture);
    assert_int_equal(fixture->committed, 1000);
    assert_int_equal(store_counts(fixture->store).messages, 1000);
    assert_true(fault_syncs() <= 50);
}

static void test_a_failed_batch_fails_all_its_operations_and_the_next_works(void **state)
{
    struct fixture *fixture = *state;

    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    fault_arm(1, FAULT_FAIL_ONCE);
    for (int i = 0; i < 10; i++)
        submit(fixture);
    fixture->to_submit = 1;
    stop(fixture);
    log_set_descriptor(STDERR_FILENO);
    assert_int_equal(fixture->failed, 10);
    assert_int_equal(fixture->committed, 1);
    assert_int_equal(fixture->batches, 2);
    assert_int_equal(store_counts(fixture->store).messages, 1);
}

static void test_a_disk_that_stays_bad_is_tried_more_and_more_rarely(void **state)
{
    struct fixture *fixture = *state;
    uint64_t began_ms = clock_monotonic_ms();

    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    fault_arm(1, FAULT_FAIL_FROM);
    fixture->to_submit = 5;
    submit(fixture);
    while (fixture->failed < 4)
        io_loop_turn(&fixture->loop, true);
    assert_true(clock_monotonic_ms() - began_ms >= 200 + 400 + 800);
    fault_disarm();
    stop(fixture);
    log_set_descriptor(STDERR_FILENO);
    assert_int_equal(fixture->committed, 1);
    assert_int_equal(fixture->committer.pause_ms, 200);
}

static void keep_first(void *context, const struct store_view *view)
{
    *(uint64_t *)context = STORE_ROW_MESSAGE(view->row);
}

static uint64_t first_message(struct store *store)
{
    uint64_t id = 0;

    assert_true(store_scan(store, 0, INT64_MAX, 1, false, keep_first, &id));
    return id;
}

static void test_an_operation_that_fails_by_itself_fails_alone(void **state)
{
    static const char *const files[] = { NULL, "good", "not-there", NULL, "nor-there", "fine" };
    struct fixture *fixture = *state;
    struct store_job *job;

    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    write_incoming(fixture, "good");
    write_incoming(fixture, "fine");
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        submit_with(fixture, files[i]);
    stop(fixture);
    log_set_descriptor(STDERR_FILENO);
    assert_int_equal(fixture->failed, 2);
    assert_int_equal(fixture->committed, 4);
    assert_int_equal(fixture->batches, 1);
    assert_int_equal(store_counts(fixture->store).messages, 4);
    assert_true(store_begin(fixture->store));
    for (uint64_t id = 1; id <= 4; id++) {
        uint64_t first = first_message(fixture->store);

        assert_true(store_read_message(fixture->store, first + id - 1, 10, &job));
        assert_non_null(job); /* its body is there */
        store_job_free(job);
    }
    assert_true(store_commit(fixture->store));
}

static void test_a_batch_of_nothing_but_failures_ends(void **state)
{
    struct fixture *fixture = *state;

    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    for (int i = 0; i < 20; i++)
        submit_with(fixture, "not-there");
    stop(fixture);
    log_set_descriptor(STDERR_FILENO);
    assert_int_equal(fixture->failed, 20);
    assert_int_equal(store_counts(fixture->store).messages, 0);
}

static void submit_rest(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;

    while (fixture->to_submit > 0)
        submit(fixture);
    uv_close((uv_handle_t *)timer, NULL);
}

static void test_behind_a_large_batch_it_waits_for_as_much_to_come_again(void **state)
{
    enum { SENDERS = 8 };
    struct fixture *fixture = *state;

    fixture->disk_ms = 2;
    for (unsigned i = 0; i < SENDERS; i++)
        submit(fixture);
    while (fixture->batches == 0)
        io_loop_turn(&fixture->loop, true);
    submit(fixture); /* one is faster than the others */
    fixture->to_submit = SENDERS - 1;
    fixture->timer.data = fixture;
    uv_timer_init(&fixture->loop.uv, &fixture->timer);
    uv_timer_start(&fixture->timer, submit_rest, 1, 0);
    run_until_committed(fixture, 2 * SENDERS);
    assert_int_equal(fixture->batches, 2);
}

static void test_who_is_alone_waits_for_nobody(void **state)
{
    struct fixture *fixture = *state;

    fixture->disk_ms = 20;
    submit(fixture);
    while (fixture->batches == 0)
        io_loop_turn(&fixture->loop, true);
    submit(fixture);
    io_loop_turn(&fixture->loop, false);
    assert_true(fixture->committer.is_running);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fifty_sessions_share_their_syncs, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_failed_batch_fails_all_its_operations_and_the_next_works, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_disk_that_stays_bad_is_tried_more_and_more_rarely,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_operation_that_fails_by_itself_fails_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_batch_of_nothing_but_failures_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_behind_a_large_batch_it_waits_for_as_much_to_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_alone_waits_for_nobody, setup, teardown),
    };

    fault_install();
    return cmocka_run_group_tests_name("queue committer", tests, NULL, NULL);
}
