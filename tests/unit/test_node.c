/* SPDX-License-Identifier: Apache-2.0 */
/* What a node is on the board, and what it remembers over a restart. */
#include "tests/unit/unit.h"

#include "backend/hold.h"
#include "backend/node_file.h"
#include "common/base/memory.h"
#include "common/service/board.h"
#include "tests/unit/folder.h"

static char folder[FOLDER_SIZE];

static int set_up(void **unused)
{
    (void)unused;
    folder_make(folder);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    folder_remove(folder);
    return 0;
}

/* --- the board ------------------------------------------------------------------------------- */

static void test_a_node_serves_when_it_may_and_has_synchronised(void **unused)
{
    struct board *board = board_new();

    (void)unused;
    atomic_store(&board->mirror_is_synchronised, 1);
    assert_int_equal(node_board_state(board), NODE_WAITING); /* not yet known what was ordered */
    atomic_store(&board->node.order, NODE_ORDER_SERVE);
    assert_int_equal(node_board_state(board), NODE_SERVING);
    atomic_store(&board->mirror_is_synchronised, 0);
    assert_int_equal(node_board_state(board), NODE_WAITING);
    atomic_store(&board->node.is_overridden, 1);
    assert_int_equal(node_board_state(board), NODE_SERVING);
    atomic_store(&board->node.order, NODE_ORDER_LEAVE);
    assert_int_equal(node_board_state(board), NODE_LEAVING);
    atomic_store(&board->node.has_left, 1);
    assert_int_equal(node_board_state(board), NODE_LEFT);
    board_free(board);
}

static void test_an_attachment_is_a_lease(void **unused)
{
    struct board *board = board_new();
    struct board_storage *storage = node_board_storage(board, "sv1");

    (void)unused;
    assert_ptr_equal(node_board_storage(board, "sv1"), storage);
    assert_false(storage_is_attached(storage, 100));
    atomic_store(&storage->valid_until_ms, 200);
    assert_false(storage_is_attached(storage, 100));
    atomic_store(&storage->state, STORAGE_ATTACHED);
    assert_true(storage_is_attached(storage, 199));
    assert_false(storage_is_attached(storage, 200));
    assert_false(storage_is_attached(node_board_storage(board, "sv2"), 100));
    assert_false(storage_is_missed(storage, 200));
    atomic_store(&storage->missed_until_ms, 300);
    assert_false(storage_is_missed(storage, 199));
    assert_true(storage_is_missed(storage, 200));
    assert_false(storage_is_missed(storage, 300));
    board_free(board);
}

static void test_the_rows_of_storages_come_to_an_end(void **unused)
{
    struct board *board = board_new();
    char name[16];

    (void)unused;
    assert_null(node_board_storage(board, "../sv1"));
    for (int i = 0; i < BOARD_STORAGES; i++) {
        snprintf(name, sizeof(name), "sv%d", i);
        assert_non_null(node_board_storage(board, name));
    }
    assert_null(node_board_storage(board, "one-more"));
    assert_false(storage_is_attached(NULL, 0));
    board_free(board);
}

static void test_without_storages_all_are_attached_but_what_was_released(void **unused)
{
    struct board *board = board_new();
    struct board_storage *storage;

    (void)unused;
    node_board_open_storages(board, true);
    storage = node_board_storage(board, "sv1");
    assert_true(storage_is_attached(storage, UINT64_MAX - 1));
    atomic_store(&storage->state, STORAGE_DETACHED);
    node_board_open_storages(board, true); /* a process that was started anew */
    assert_false(storage_is_attached(storage, 100));
    assert_true(storage_is_attached(node_board_storage(board, "sv2"), 100));
    node_board_open_storages(board, false); /* another configuration: nothing is left of it */
    assert_false(storage_is_attached(node_board_storage(board, "sv2"), 100));
    assert_false(storage_is_attached(node_board_storage(board, "sv3"), 100));
    board_free(board);
}

/* --- the file ----------------------------------------------------------------------------------
 */

static void test_a_node_remembers_over_a_restart(void **unused)
{
    struct node_file written = { .memory = NODE_MEMORY_LEAVING,
                                 .servers = { "sv1", "sv3" },
                                 .is_held = { false, true },
                                 .server_count = 2 };
    struct node_file read;

    (void)unused;
    assert_true(node_file_read(folder, &read));
    assert_int_equal(read.memory, NODE_MEMORY_HERE);
    assert_int_equal(read.server_count, 0);
    assert_true(node_file_write(folder, &written));
    assert_true(node_file_read(folder, &read));
    assert_int_equal(read.memory, NODE_MEMORY_LEAVING);
    assert_int_equal(read.server_count, 2);
    assert_string_equal(read.servers[1], "sv3");
    assert_false(read.is_held[0]);
    assert_true(read.is_held[1]);
}

static void test_a_file_that_makes_no_sense_is_not_believed(void **unused)
{
    static const char *const wrong[] = { "",
                                         "mailstead node 2\nstate here\n",
                                         "mailstead node 1\nstate perhaps\n",
                                         "mailstead node 1\nstorage ../x\n",
                                         "mailstead node 1\nkept sv1\n",
                                         "mailstead node 1\nstate here\n\n" };
    char path[FOLDER_SIZE + 8];
    struct node_file file;

    (void)unused;
    snprintf(path, sizeof(path), "%s/node", folder);
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        FILE *stream = fopen(path, "w");

        fputs(wrong[i], stream);
        fclose(stream);
        assert_false(node_file_read(folder, &file));
    }
}

static void test_a_folder_that_cannot_be_written_is_told(void **unused)
{
    struct node_file file = { .memory = NODE_MEMORY_LEFT };

    (void)unused;
    assert_false(node_file_write("/nonexistent", &file));
}

/* --- what is taken up again ----------------------------------------------------------------------
 */

/* By (hostServer, oldHostServer, accounts). */
static const char *why_not_ours(const struct host_count *rows, size_t count, const char *server)
{
    static char why[STORAGE_WHY_SIZE];
    struct host_counts counts = { .items = NULL };
    bool is_ours;

    for (size_t i = 0; i < count; i++)
        assert_true(host_counts_add(&counts, rows[i].host, rows[i].old_host, rows[i].accounts));
    is_ours = hold_is_ours(&counts, "sv1", server, why);
    host_counts_fini(&counts);
    return is_ours ? "" : why;
}

#define WHY_NOT(server, ...)                                                                       \
    why_not_ours((const struct host_count[]){ __VA_ARGS__ },                                       \
                 ARRAY_LENGTH(((const struct host_count[]){ __VA_ARGS__ })), server)

static void test_its_own_storage_is_taken_up_again_when_nobody_has_its_accounts(void **unused)
{
    (void)unused;
    assert_string_equal(WHY_NOT("sv1", { "sv2", "", 9 }), "");
    assert_string_equal(WHY_NOT("sv1", { "sv1", "", 9 }, { "sv1", "sv1", 1 }, { "sv1", "sv2", 3 }),
                        "");
    assert_string_equal(WHY_NOT("sv1", { "sv1", "", 9 }, { "sv2", "sv1", 4 }),
                        "adopted by sv2: 4 accounts");
    assert_string_equal(WHY_NOT("sv1", { "sv3", "sv1", 2 }, { "sv2", "sv1", 4 }),
                        "adopted by sv2 and 1 more: 6 accounts");
    assert_string_equal(WHY_NOT("sv1", { "", "sv1", 2 }), ""); /* nobody serves them */
}

static void test_an_adopted_storage_is_taken_up_again_while_all_of_it_is_here(void **unused)
{
    (void)unused;
    assert_string_equal(WHY_NOT("sv2", { "sv1", "sv2", 4 }, { "sv3", "", 9 }), "");
    assert_string_equal(WHY_NOT("sv2", { "sv1", "sv2", 4 }, { "sv2", "", 5 }, { "sv2", "sv2", 1 }),
                        "served by sv2: 6 accounts");
    assert_string_equal(WHY_NOT("sv2", { "sv2", "", 5 }), "served by sv2: 5 accounts");
    assert_string_equal(WHY_NOT("sv2", { "sv1", "", 5 }), "no account of this node is on it");
}

static void test_what_was_let_go_is_void_when_none_of_it_is_here(void **unused)
{
    struct host_counts counts = { .items = NULL };

    (void)unused;
    assert_true(host_counts_add(&counts, "sv2", "", 9));
    assert_true(host_counts_add(&counts, "sv1", "sv2", 3));
    assert_true(host_counts_add(&counts, "sv1", "", 5));
    assert_false(hold_is_void(&counts, "sv1", "sv2"));
    assert_false(hold_is_void(&counts, "sv1", "sv1"));
    assert_true(hold_is_void(&counts, "sv2", "sv1"));
    assert_true(hold_is_void(&counts, "sv1", "sv3"));
    host_counts_fini(&counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_serves_when_it_may_and_has_synchronised),
        cmocka_unit_test(test_an_attachment_is_a_lease),
        cmocka_unit_test(test_the_rows_of_storages_come_to_an_end),
        cmocka_unit_test(test_without_storages_all_are_attached_but_what_was_released),
        cmocka_unit_test_setup_teardown(test_a_node_remembers_over_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_that_makes_no_sense_is_not_believed, set_up,
                                        tear_down),
        cmocka_unit_test(test_a_folder_that_cannot_be_written_is_told),
        cmocka_unit_test(test_its_own_storage_is_taken_up_again_when_nobody_has_its_accounts),
        cmocka_unit_test(test_an_adopted_storage_is_taken_up_again_while_all_of_it_is_here),
        cmocka_unit_test(test_what_was_let_go_is_void_when_none_of_it_is_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
