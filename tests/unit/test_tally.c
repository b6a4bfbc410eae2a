/* SPDX-License-Identifier: Apache-2.0 */
/* What processes count together about strangers, and the list of who is blocked. */
#include "tests/unit/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/service/board.h"

enum { PROCESSES = 4, WINDOW_MS = 10000, SETS = TALLY_ROWS / TALLY_WAYS };

static struct board *board;
static struct tally *tally;

static int set_up(void **state)
{
    (void)state;
    board = board_new();
    tally = &board->tally;
    return board ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    board_free(board);
    return 0;
}

/* Runs `work` in several processes at once, and wants it to succeed in each. */
static void in_processes(bool (*work)(int number))
{
    pid_t pids[PROCESSES];
    int status;

    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(work(i) ? 0 : 1);
    }
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

/* The n-th of the keys that share one set of places. */
static uint64_t sharing(uint64_t n)
{
    return 7 + (n + 1) * SETS;
}

static void the_hash_is_siphash(void **state)
{
    unsigned char key[SIPHASH_KEY_SIZE];
    char text[15];

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    /* The first, second and last of the vectors of the paper and its reference code. */
    assert_true(siphash(key, SPAN_EMPTY) == UINT64_C(0x726fdb47dd0e0e31));
    assert_true(siphash(key, span_of(text, 1)) == UINT64_C(0x74f839c593dc67fd));
    assert_true(siphash(key, span_of(text, 15)) == UINT64_C(0xa129ca6149be45e5));
}

static void keys_differ_by_each_of_their_parts(void **state)
{
    uint64_t key = tally_key(tally, 'p', SPAN_LITERAL("anna"), SPAN_LITERAL("b"));

    (void)state;
    assert_true(key == tally_key(tally, 'p', SPAN_LITERAL("anna"), SPAN_LITERAL("b")));
    assert_true(key != tally_key(tally, 'n', SPAN_LITERAL("anna"), SPAN_LITERAL("b")));
    assert_true(key != tally_key(tally, 'p', SPAN_LITERAL("ann"), SPAN_LITERAL("ab")));
    assert_true(key != tally_key(tally, 'p', SPAN_LITERAL("annab"), SPAN_EMPTY));
}

/* --- sessions ------------------------------------------------------------------------- */

static bool open_and_close(int number)
{
    struct tally_open open[1000];

    (void)number;
    for (size_t i = 0; i < ARRAY_LENGTH(open); i++)
        if (tally_open(tally, &open[i], 99, 1) == 0)
            return false;
    for (size_t i = 0; i < ARRAY_LENGTH(open) / 2; i++) {
        tally_close(tally, &open[i]);
        tally_close(tally, &open[i]);
    }
    return true;
}

static void sessions_of_several_processes_add_up(void **state)
{
    struct tally_open open = { 0 };

    (void)state;
    in_processes(open_and_close);
    assert_int_equal(tally_open(tally, &open, 99, 2), PROCESSES * 500 + 1);
}

static void what_a_killed_process_had_counted_is_void(void **state)
{
    struct board_slot *slot = board_take_slot(board);
    struct tally_open open = { 0 }, other = { 0 };

    (void)state;
    in_processes(open_and_close);
    (void)tally_open(tally, &open, 99, 2);
    atomic_store(&slot->pid, 1);
    board_count(slot, BOARD_SESSIONS, 500);
    board_retire_slot(board, slot);
    assert_int_equal(tally_open(tally, &other, 99, 3), 1);
    tally_close(tally, &open); /* of the epoch before: it takes nothing from the new one */
    assert_int_equal(tally_open(tally, &open, 99, 4), 2);
}

static void a_process_that_ends_without_sessions_voids_nothing(void **state)
{
    struct board_slot *slot = board_take_slot(board);
    struct tally_open open = { 0 };

    (void)state;
    (void)tally_open(tally, &open, 99, 1);
    atomic_store(&slot->pid, 1);
    board_retire_slot(board, slot);
    assert_int_equal(tally_open(tally, &open, 99, 2), 2);
}

/* --- failures --------------------------------------------------------------------------- */

static void time_forgives_failures(void **state)
{
    struct tally_row *row = tally_take(tally, 99, 0);

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_true(tally_charge(row, 1000, 10, WINDOW_MS, 5000));
    assert_false(tally_charge(row, 1, 10, WINDOW_MS, 5000));
    assert_int_equal(tally_failures(row, 10, WINDOW_MS, 5000), 10000);
    assert_false(tally_has_room(row, 1000, 10, WINDOW_MS, 5999));
    assert_true(tally_has_room(row, 1000, 10, WINDOW_MS, 6000));
    tally_refund(row, 4000);
    assert_int_equal(tally_failures(row, 10, WINDOW_MS, 5000), 6000);
    tally_halve(row);
    assert_int_equal(tally_failures(row, 10, WINDOW_MS, 5000), 3000);
    tally_refund(row, 60000);
    assert_int_equal(tally_failures(row, 10, WINDOW_MS, 5000), 0);
    assert_true(tally_charge(row, 1000, 10, WINDOW_MS, 5000));
    assert_int_equal(tally_failures(row, 10, WINDOW_MS, 5000 + WINDOW_MS), 0);
}

static bool charge_many(int number)
{
    (void)number;
    for (int i = 0; i < 10000; i++)
        (void)tally_charge(tally_take(tally, 99, 1), 1000, 5000, WINDOW_MS, 1);
    return true;
}

static void several_processes_together_are_charged_exactly_the_limit(void **state)
{
    (void)state;
    in_processes(charge_many);
    assert_int_equal(tally_failures(tally_find(tally, 99), 5000, WINDOW_MS, 1), 5000000);
}

/* --- places ------------------------------------------------------------------------------- */

static void the_row_that_was_used_last_the_longest_ago_goes(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < TALLY_WAYS; n++)
        assert_non_null(tally_take(tally, sharing(n), 100 + n));
    assert_non_null(tally_take(tally, sharing(0), 200));
    assert_non_null(tally_take(tally, sharing(20), 201));
    assert_null(tally_find(tally, sharing(1)));
    assert_non_null(tally_find(tally, sharing(0)));
}

/* Whoever comes from many addresses, and goes. */
static void sessions_that_ended_push_out_no_failures(void **state)
{
    struct tally_open open;

    (void)state;
    (void)tally_charge(tally_take(tally, sharing(0), 1), 1000, 10, WINDOW_MS, 1);
    atomic_store(&tally_take(tally, sharing(1), 1)->good, 77);
    for (uint64_t n = 2; n < 100; n++) {
        assert_int_equal(tally_open(tally, &open, sharing(n), 10 + n), 1);
        tally_close(tally, &open);
    }
    assert_non_null(tally_find(tally, sharing(0)));
    assert_non_null(tally_find(tally, sharing(1)));
}

static void open_sessions_and_blocks_keep_their_rows(void **state)
{
    struct tally_open open[TALLY_WAYS];

    (void)state;
    for (uint64_t n = 0; n < TALLY_WAYS - 1; n++)
        assert_int_equal(tally_open(tally, &open[n], sharing(n), 1), 1);
    atomic_store(&tally_take(tally, sharing(7), 2)->blocked_until_ms, 1000);
    assert_null(tally_take(tally, sharing(20), 999));
    assert_int_equal(tally_open(tally, &open[7], sharing(20), 999), 0);
    tally_close(tally, &open[7]); /* was never counted */
    assert_non_null(tally_take(tally, sharing(20), 1000));
    assert_null(tally_find(tally, sharing(7)));
    tally_close(tally, &open[3]);
    assert_non_null(tally_take(tally, sharing(21), 1001));
    assert_null(tally_find(tally, sharing(3)));
    assert_non_null(tally_find(tally, sharing(20)));
}

static void a_row_begins_anew_with_its_next_owner(void **state)
{
    struct tally_row *row = tally_take(tally, sharing(0), 1);

    (void)state;
    (void)tally_charge(row, 1000, 10, WINDOW_MS, 1);
    atomic_store(&row->blocked_until_ms, 5);
    atomic_store(&row->wrong, 77);
    atomic_store(&row->good, 77);
    for (uint64_t n = 1; n < TALLY_WAYS; n++)
        (void)tally_charge(tally_take(tally, sharing(n), 10 + n), 1000, 10, WINDOW_MS, 10 + n);
    (void)tally_take(tally, sharing(TALLY_WAYS), 10 + TALLY_WAYS);
    assert_int_equal(atomic_load(&row->key), sharing(TALLY_WAYS));
    assert_int_equal(tally_failures(row, 10, WINDOW_MS, 1), 0);
    assert_int_equal(atomic_load(&row->blocked_until_ms), 0);
    assert_int_equal(atomic_load(&row->wrong), 0);
    assert_int_equal(atomic_load(&row->good), 0);
}

/*
 * Process 0 is innocent and has a session open, so that his row is his; the others are blocked and
 * forgotten all the time in the places around it.  He is never blocked.
 */
static bool share_places(int number)
{
    struct tally_open open = { 0 };
    uint64_t innocent = sharing(1000);

    if (number == 0 && tally_open(tally, &open, innocent, 1) == 0)
        return true; /* the others were faster: all places are blocked */
    for (uint64_t i = 1; i < 200000; i++) {
        struct tally_row *row =
            tally_take(tally, number == 0 ? innocent : sharing(random_below(64)), i);

        if (!row)
            return number > 0;
        if (number == 0 &&
            (atomic_load(&row->blocked_until_ms) != 0 || atomic_load(&row->key) != innocent))
            return false;
        if (number > 0)
            atomic_store(&row->blocked_until_ms, i + 1); /* until its next turn */
    }
    return true;
}

static void hammering_on_one_set_leaves_whole_rows(void **state)
{
    const struct tally_row *places = &tally->rows[sharing(0) % SETS * TALLY_WAYS];

    (void)state;
    in_processes(share_places);
    for (int i = 0; i < TALLY_WAYS; i++) {
        uint64_t key = atomic_load(&places[i].key);

        assert_true(key > 1 && key % SETS == 7);
    }
}

/* --- the list of blocks --------------------------------------------------------------------- */

static struct block block_of(uint64_t key, uint64_t until_ms)
{
    struct block block = { .key = key, .until_ms = until_ms };

    snprintf(block.account, sizeof(block.account), "user%llu", (unsigned long long)key);
    snprintf(block.network, sizeof(block.network), "net%llu", (unsigned long long)key);
    return block;
}

static size_t listed(uint64_t now_ms)
{
    struct block block;
    size_t count = 0;

    for (size_t i = 0; i < BLOCK_ROWS; i++)
        count += block_list_get(&board->blocks, i, now_ms, &block);
    return count;
}

static void add_block(uint64_t key, uint64_t until_ms)
{
    struct block block = block_of(key, until_ms);

    atomic_store(&tally_take(tally, key, 1)->blocked_until_ms, until_ms);
    block_list_add(&board->blocks, &block);
}

static void a_block_is_listed_until_it_ends_or_is_lifted(void **state)
{
    struct block block;

    (void)state;
    add_block(50, 1000);
    add_block(51, 2000);
    add_block(50, 1500);
    assert_int_equal(listed(10), 2);
    assert_int_equal(listed(1500), 1);
    block = block_of(51, 2000);
    assert_true(tally_charge(tally_find(tally, 51), 1000, 10, WINDOW_MS, 1));
    block_list_lift(&board->blocks, tally, &block);
    assert_int_equal(listed(10), 1);
    assert_int_equal(atomic_load(&tally_find(tally, 51)->blocked_until_ms), 0);
    assert_int_equal(tally_failures(tally_find(tally, 51), 10, WINDOW_MS, 1), 0);
    assert_int_equal(atomic_load(&tally_find(tally, 50)->blocked_until_ms), 1500);
}

static void more_blocks_than_rows_are_all_lifted(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < BLOCK_ROWS + 10; n++)
        add_block(100 + n, 1000 + n);
    assert_int_equal(listed(10), BLOCK_ROWS);
    assert_int_equal(listed(1010), BLOCK_ROWS - 1);
    assert_int_equal(block_list_lift_all(&board->blocks, tally, 10), BLOCK_ROWS + 10);
    assert_int_equal(listed(10), 0);
    assert_int_equal(atomic_load(&tally_find(tally, 100)->blocked_until_ms), 0);
}

static bool add_and_read(int number)
{
    for (uint64_t i = 0; i < 2000; i++) {
        struct block block = block_of(2 + random_below(8), 1000 + i), whole;

        if (number % 2 == 0) {
            block_list_add(&board->blocks, &block);
            continue;
        }
        for (size_t row = 0; row < 16; row++) {
            if (!block_list_get(&board->blocks, row, 1, &block))
                continue;
            whole = block_of(block.key, 0);
            if (strcmp(block.account, whole.account) != 0 ||
                strcmp(block.network, whole.network) != 0)
                return false;
        }
    }
    return true;
}

static void who_reads_the_list_sees_whole_rows_only(void **state)
{
    (void)state;
    in_processes(add_and_read);
    assert_true(listed(1) >= 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_hash_is_siphash),
        TEST(keys_differ_by_each_of_their_parts),
        TEST(sessions_of_several_processes_add_up),
        TEST(what_a_killed_process_had_counted_is_void),
        TEST(a_process_that_ends_without_sessions_voids_nothing),
        TEST(time_forgives_failures),
        TEST(several_processes_together_are_charged_exactly_the_limit),
        TEST(the_row_that_was_used_last_the_longest_ago_goes),
        TEST(sessions_that_ended_push_out_no_failures),
        TEST(open_sessions_and_blocks_keep_their_rows),
        TEST(a_row_begins_anew_with_its_next_owner),
        TEST(hammering_on_one_set_leaves_whole_rows),
        TEST(a_block_is_listed_until_it_ends_or_is_lifted),
        TEST(more_blocks_than_rows_are_all_lifted),
        TEST(who_reads_the_list_sees_whole_rows_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
