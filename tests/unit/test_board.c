/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "common/service/board.h"

static void test_counts_of_other_processes_are_seen(void **unused)
{
    struct board *board = board_new();
    struct board_slot *slot = board_take_slot(board);
    int status;
    pid_t pid;

    (void)unused;
    pid = fork();
    if (pid == 0) {
        board_count(slot, BOARD_LOGINS, 3);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(board_sum(board, BOARD_LOGINS), 3);
    board_free(board);
}

static void test_counts_outlive_their_process_but_gauges_end_with_it(void **unused)
{
    struct board *board = board_new();
    struct board_slot *slot = board_take_slot(board);

    (void)unused;
    atomic_store(&slot->pid, 1);
    atomic_store(&slot->is_draining, 1);
    board_count(slot, BOARD_LOGINS, 3);
    board_count(slot, BOARD_SESSIONS, 2);
    board_retire_slot(board, slot);
    assert_int_equal(board_sum(board, BOARD_LOGINS), 3);
    assert_int_equal(board_sum(board, BOARD_SESSIONS), 0);
    assert_ptr_equal(board_take_slot(board), slot);
    assert_int_equal(atomic_load(&slot->is_draining), 0);
    board_count(slot, BOARD_LOGINS, 1);
    assert_int_equal(board_sum(board, BOARD_LOGINS), 4);
    board_free(board);
}

static void test_a_full_board_gives_no_slot(void **unused)
{
    struct board *board = board_new();

    (void)unused;
    for (int i = 0; i < BOARD_SLOTS; i++) {
        struct board_slot *slot = board_take_slot(board);

        assert_non_null(slot);
        atomic_store(&slot->pid, i + 1);
    }
    assert_null(board_take_slot(board));
    board_free(board);
}

static void test_each_counter_has_a_name_of_its_own(void **unused)
{
    (void)unused;
    for (int i = 0; i < BOARD_COUNTERS; i++) {
        assert_non_null(board_counter_names[i]);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(board_counter_names[i], board_counter_names[j]);
    }
}

static void test_all_processes_find_one_row_for_a_backend(void **unused)
{
    struct board *board = board_new();
    int status;
    pid_t pid;

    (void)unused;
    pid = fork();
    if (pid == 0) {
        atomic_store(&board_backend(board, BOARD_BACKENDS + 7)->health[1].failures, 2);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_ptr_not_equal(board_backend(board, 7), board_backend(board, BOARD_BACKENDS + 7));
    assert_int_equal(atomic_load(&board_backend(board, BOARD_BACKENDS + 7)->health[1].failures), 2);
    assert_int_equal(atomic_load(&board_backend(board, 7)->health[1].failures), 0);
    board_free(board);
}

static void test_a_full_board_gives_no_row_but_finds_the_old_ones(void **unused)
{
    struct board *board = board_new();

    (void)unused;
    for (uint64_t key = 1; key <= BOARD_BACKENDS; key++)
        assert_non_null(board_backend(board, key * 1000003));
    assert_null(board_backend(board, 5));
    assert_non_null(board_backend(board, 1000003));
    board_free(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_of_other_processes_are_seen),
        cmocka_unit_test(test_counts_outlive_their_process_but_gauges_end_with_it),
        cmocka_unit_test(test_a_full_board_gives_no_slot),
        cmocka_unit_test(test_all_processes_find_one_row_for_a_backend),
        cmocka_unit_test(test_a_full_board_gives_no_row_but_finds_the_old_ones),
        cmocka_unit_test(test_each_counter_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
