/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/log.h"
#include "frontend/queue/committer.h"
#include "tests/unit/fault.h"
#include "tests/unit/folder.h"

struct fixture {
    char folder[FOLDER_SIZE];
    struct io_loop loop;
    struct store *store;
    struct committer committer;
    unsigned batches, committed, failed, to_submit;
    bool has_stopped;
};

struct addition {
    struct operation operation;
    struct fixture *fixture;
    uint64_t id;
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
    struct store_message message = { .body = SPAN_LITERAL("x"), .size = 1 };

    return store_add(store, &message, &recipient, 1, true, &addition->id);
}

static void submit(struct fixture *fixture);

static void addition_done(struct operation *operation, bool is_committed)
{
    struct addition *addition = CONTAINER_OF(operation, struct addition, operation);
    struct fixture *fixture = addition->fixture;

    fixture->committed += is_committed;
    fixture->failed += !is_committed;
    free(addition);
    if (fixture->to_submit > 0)
        submit(fixture);
}

static void submit(struct fixture *fixture)
{
    struct addition *addition = memory_new(sizeof(*addition));

    if (fixture->to_submit > 0)
        fixture->to_submit--;
    addition->operation.apply = addition_apply;
    addition->operation.done = addition_done;
    addition->fixture = fixture;
    committer_submit(&fixture->committer, &addition->operation);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fifty_sessions_share_their_syncs, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_failed_batch_fails_all_its_operations_and_the_next_works, setup, teardown),
    };

    fault_install();
    return cmocka_run_group_tests_name("queue committer", tests, NULL, NULL);
}
