/* SPDX-License-Identifier: Apache-2.0 */
/* Storages of a node that claims none (storage.kind none): served until they are let go. */
#include "tests/unit/unit.h"

#include "backend/storage.h"
#include "common/service/board.h"
#include "common/service/child.h"

static struct config config;
static struct child child;
static struct storage_jobs jobs;
static struct storages storages;
static unsigned settled, remembered;

static void on_settled(void *context)
{
    (void)context;
    settled++;
}

static void on_remember(void *context)
{
    (void)context;
    remembered++;
}

static void start(void)
{
    settled = remembered = 0;
    storages = (struct storages){ .settled = on_settled, .remember = on_remember };
    storages_start(&storages, &child, &jobs);
}

static int set_up(void **state)
{
    (void)state;
    child = (struct child){ .config = &config, .board = board_new() };
    start();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    storages_stop(&storages);
    board_free(child.board);
    return 0;
}

static bool is_served(const struct storage *storage)
{
    return storage_is_attached(storage->row, 0);
}

static void what_was_not_released_is_served(void **state)
{
    struct storage *storage = storages_find(&storages, "sv1");

    (void)state;
    assert_int_equal(storage->state.current, STORAGE_ATTACHED);
    assert_true(is_served(storage));
    storage_attach(storage, false, false);
    storages_look(&storages);
    assert_int_equal(storage->state.current, STORAGE_ATTACHED);
    assert_true(storages_find(&storages, "sv2") != storage);
}

static void what_is_released_is_held_until_it_is_attached(void **state)
{
    struct storage *storage = storages_find(&storages, "sv1");

    (void)state;
    storage_release(storage, 0, false);
    assert_int_equal(storage->state.current, STORAGE_DETACHED);
    assert_int_equal(storage->hold, STORAGE_BARRED);
    assert_int_equal(atomic_load(&storage->row->is_held), 1);
    assert_int_equal(settled, 1);
    storages_look(&storages);
    assert_false(is_served(storage));
    assert_true(is_served(storages_find(&storages, "sv2")));
    storage_release(storage, 0, false); /* once more */
    assert_int_equal(storage->hold, STORAGE_BARRED);
    storage->is_barred = true;
    storage_attach(storage, false, true);
    assert_int_equal(storage->state.current, STORAGE_ATTACHED);
    assert_int_equal(storage->hold, STORAGE_FREE);
    assert_false(storage->is_barred);
    assert_int_equal(remembered, 1);
    assert_true(is_served(storage));
}

static void it_is_let_go_when_its_sessions_have_ended(void **state)
{
    struct storage *storage = storages_find(&storages, "sv1");
    unsigned number = node_board_storage_number(child.board, storage->row);
    struct board_slot *slot = board_take_slot(child.board);

    (void)state;
    assert_true(node_board_use(child.board, slot, number, 0));
    storage_release(storage, 60000, false);
    storages_look(&storages);
    assert_int_equal(storage->state.current, STORAGE_RELEASING);
    assert_false(is_served(storage));
    assert_false(node_board_use(child.board, slot, number, 0));
    node_board_leave(slot, number);
    storages_look(&storages);
    assert_int_equal(storage->state.current, STORAGE_DETACHED);
}

static void sessions_that_stay_keep_it_and_it_is_not_served(void **state)
{
    struct storage *storage = storages_find(&storages, "sv1");
    unsigned number = node_board_storage_number(child.board, storage->row);
    struct board_slot *slot = board_take_slot(child.board);

    (void)state;
    assert_true(node_board_use(child.board, slot, number, 0));
    storage_release(storage, 0, false);
    storages_look(&storages);
    assert_int_equal(storage->state.current, STORAGE_FAILED);
    storages_look(&storages);
    assert_false(is_served(storage));
    storage_attach(storage, false, false);
    assert_true(is_served(storage));
    node_board_leave(slot, number);
}

static void a_process_that_is_started_anew_serves_nothing_of_it(void **state)
{
    struct storage *storage = storages_find(&storages, "sv1");

    (void)state;
    storage_release(storage, 0, false);
    storages_stop(&storages);
    start();
    storage = storages_find(&storages, "sv1");
    assert_int_equal(storage->state.current, STORAGE_DETACHED);
    assert_false(is_served(storage));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_not_released_is_served),
        T(what_is_released_is_held_until_it_is_attached),
        T(it_is_let_go_when_its_sessions_have_ended),
        T(sessions_that_stay_keep_it_and_it_is_not_served),
        T(a_process_that_is_started_anew_serves_nothing_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
