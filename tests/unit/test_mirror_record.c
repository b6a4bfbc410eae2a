/* SPDX-License-Identifier: Apache-2.0 */
/* What the mirror is made of: a folder, packed names, sets of rows, lookups to be written. */
#include "tests/unit/unit.h"

#include "common/base/memory.h"
#include "directory/lookup_batch.h"
#include "directory/mirror_record.h"
#include "directory/mirror_writer.h"
#include "directory/row_set.h"

static void the_domain_of_the_first_name_is_packed_once(void **state)
{
    static const char *const names[] = { "user1@example.org",  "user1",        "alias1@example.org",
                                         "user1@example.com",  "@example.org", "example.org",
                                         "user1@example.org.x" };
    struct mirror_packer packer;
    struct mirror_unpacker unpacker;
    size_t plain = 0;

    (void)state;
    mirror_packer_init(&packer);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        mirror_packer_add(&packer, span_from_string(names[i]), 3);
        plain += strlen(names[i]);
    }
    assert_in_range(packer.packed.length, 1, plain + 7 * 3 - 2 * strlen("@example.org"));
    unpacker = mirror_unpacker_over(bytes_span(&packer.packed));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(mirror_unpacker_next(&unpacker));
        assert_string_equal(unpacker.name, names[i]);
        assert_int_equal(unpacker.kinds, 3);
    }
    assert_false(mirror_unpacker_next(&unpacker));
    mirror_packer_fini(&packer);
}

static void packed_names_are_read_back_and_junk_is_not(void **state)
{
    struct mirror_packer packer;
    struct mirror_unpacker names;

    (void)state;
    mirror_packer_init(&packer);
    mirror_packer_add(&packer, SPAN_LITERAL("user1@example.org"), 1);
    mirror_packer_add(&packer, SPAN_LITERAL("user1"), 2);
    mirror_packer_add(&packer, SPAN_LITERAL("user10"), 3);
    assert_int_equal(packer.packed.length, 17 + 0 + 1 + 3 * 3);
    names = mirror_unpacker_over(bytes_span(&packer.packed));
    assert_true(mirror_unpacker_next(&names));
    assert_string_equal(names.name, "user1@example.org");
    assert_true(mirror_unpacker_next(&names));
    assert_string_equal(names.name, "user1");
    assert_int_equal(names.kinds, 2);
    assert_true(mirror_unpacker_next(&names));
    assert_string_equal(names.name, "user10");
    assert_false(mirror_unpacker_next(&names));
    for (size_t cut = 1; cut < 20; cut++) {
        names = mirror_unpacker_over(span_take(bytes_span(&packer.packed), cut));
        assert_false(mirror_unpacker_next(&names));
    }
    names = mirror_unpacker_over(span_of("\1\5\1x", 4)); /* shares with nothing */
    assert_false(mirror_unpacker_next(&names));
    mirror_packer_fini(&packer);
}

static void a_row_set_holds_what_was_added(void **state)
{
    struct row_set set = { 0 };

    (void)state;
    assert_false(row_set_has(&set, 1));
    row_set_add(&set, 1);
    row_set_add(&set, 1);
    row_set_add(&set, 6400);
    assert_int_equal(set.count, 2);
    assert_int_equal(row_set_next(&set, 0), 1);
    assert_int_equal(row_set_next(&set, 1), 6400);
    assert_int_equal(row_set_next(&set, 6399), 6400);
    assert_int_equal(row_set_next(&set, 6400), 0);
    assert_int_equal(row_set_next(&set, 999999), 0);
    assert_true(row_set_has(&set, 6400) && !row_set_has(&set, 6401));
    row_set_remove(&set, 6400);
    row_set_remove(&set, 99999);
    assert_int_equal(set.count, 1);
    row_set_clear(&set);
    assert_false(row_set_has(&set, 1));
    row_set_fini(&set);
}

static void lookups_of_a_batch_are_found_by_their_hash(void **state)
{
    enum { PAIRS = 1000, HASHES = 300 };
    struct lookup_batch batch = { .count = 0 };

    (void)state;
    assert_null(lookup_batch_find(&batch, 1, NULL));
    for (int i = 0; i < PAIRS; i++)
        lookup_batch_add(&batch, i % HASHES - HASHES / 2, i);
    for (int i = 0; i < HASHES; i++) {
        const struct lookup_pair *pair = NULL;
        int count = 0;

        while ((pair = lookup_batch_find(&batch, i - HASHES / 2, pair))) {
            assert_int_equal(pair->entry % HASHES, i);
            count++;
        }
        assert_int_equal(count, PAIRS / HASHES + (i < PAIRS % HASHES));
    }
    lookup_batch_clear(&batch);
    assert_null(lookup_batch_find(&batch, 1, NULL));
    lookup_batch_fini(&batch);
}

static void a_batch_is_sorted_by_hash_and_entry(void **state)
{
    static const struct lookup_pair expected[] = {
        { 4, INT32_MIN, 0 }, { 2, -1, 0 }, { 3, -1, 0 }, { 1, INT32_MAX, 0 }
    };
    struct lookup_batch batch = { .count = 0 };

    (void)state;
    lookup_batch_add(&batch, INT32_MAX, 1);
    lookup_batch_add(&batch, -1, 3);
    lookup_batch_add(&batch, -1, 2);
    lookup_batch_add(&batch, INT32_MIN, 4);
    lookup_batch_sort(&batch);
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++) {
        assert_int_equal(batch.pairs[i].hash, expected[i].hash);
        assert_int_equal(batch.pairs[i].entry, expected[i].entry);
    }
    lookup_batch_fini(&batch);
}

static void a_folder_that_is_not_there_is_an_error_and_no_abort(void **state)
{
    (void)state;
    assert_null(mirror_writer_open("/nonexistent/folder", "source", NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_domain_of_the_first_name_is_packed_once),
        cmocka_unit_test(packed_names_are_read_back_and_junk_is_not),
        cmocka_unit_test(a_row_set_holds_what_was_added),
        cmocka_unit_test(lookups_of_a_batch_are_found_by_their_hash),
        cmocka_unit_test(a_batch_is_sorted_by_hash_and_entry),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error_and_no_abort),
    };

    return cmocka_run_group_tests_name("mirror_record", tests, NULL, NULL);
}
