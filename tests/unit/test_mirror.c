/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror: what is written is read, and survives. */
#include "tests/unit/mirror_support.h"

#include "directory/lookup_batch.h"

static void a_mirror_that_was_never_filled_fails_and_says_no_no(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fixture_put_account(fixture, 1, "sv1", "");
    fixture_commit(fixture, NULL);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry),
                     ROUTE_FIND_FAILED);
    assert_false(mirror_writer_is_filled(fixture->writer));
    mirror_writer_end_refresh(fixture->writer);
    fixture_commit(fixture, "cookie");
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_ONE);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry),
                     ROUTE_FIND_NONE);
}

static void an_account_is_found_by_each_of_its_keys_and_only_as_their_kind(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fixture_fill(fixture, 1);
    fixture_put_account(fixture, 1, "sv2", "sv1");
    fixture_commit(fixture, NULL);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.account, "user0000001@example.org");
    assert_string_equal(entry.host, "sv2");
    assert_string_equal(entry.old_host, "sv1");
    assert_false(entry.has_several_hosts || entry.is_relayed);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001@example.org", &entry),
                     ROUTE_FIND_ONE);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, "user0000001", &entry),
                     ROUTE_FIND_NONE);
}

static void an_address_on_two_entries_is_found_several_times(void **state)
{
    struct fixture *fixture = *state;
    struct mirror_key key = { SPAN_LITERAL("user0000001@example.org"), MIRROR_KIND_ADDRESS };
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_account account = { .uuid = uuid, .keys = &key, .key_count = 1 };
    struct route_entry entry;

    fixture_fill(fixture, 1);
    fixture_make_uuid(uuid, 7);
    mirror_writer_put(fixture->writer, &account);
    fixture_commit(fixture, NULL);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, "user0000001@example.org", &entry),
                     ROUTE_FIND_SEVERAL);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_ONE);
}

static void names_flags_and_absent_hosts_survive_packing(void **state)
{
    struct fixture *fixture = *state;
    char longest[ROUTE_ADDRESS_SIZE], longer[ROUTE_ADDRESS_SIZE];
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_key keys[] = { { SPAN_LITERAL("Store Name"), 0 },
                                 { SPAN_LITERAL("Store@example.org"), MIRROR_KIND_ADDRESS },
                                 { SPAN_EMPTY, MIRROR_KIND_ADDRESS },
                                 { SPAN_EMPTY, MIRROR_KIND_ADDRESS } };
    struct mirror_account account = {
        .uuid = uuid, .keys = keys, .key_count = 4, .has_several_hosts = true, .is_relayed = true
    };
    struct route_entry entry;

    memset(longest, 'x', sizeof(longest));
    longest[ROUTE_ADDRESS_SIZE - 1] = '\0';
    memcpy(longer, longest, sizeof(longer));
    longer[ROUTE_ADDRESS_SIZE - 2] = 'y';
    keys[2].value = span_from_string(longest);
    keys[3].value = span_from_string(longer);
    fixture_make_uuid(uuid, 1);
    fixture_fill(fixture, 0);
    mirror_writer_put(fixture->writer, &account);
    fixture_commit(fixture, NULL);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, "Store Name", &entry),
                     ROUTE_FIND_NONE);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, longer, &entry), ROUTE_FIND_ONE);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, longest, &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.account, "Store Name");
    assert_string_equal(entry.host, "");
    assert_true(entry.has_several_hosts && entry.is_relayed);
}

static void an_update_replaces_the_keys(void **state)
{
    struct fixture *fixture = *state;
    struct mirror_key key = { SPAN_LITERAL("renamed@example.org"), MIRROR_KIND_ADDRESS };
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_account account = { .uuid = uuid, .keys = &key, .key_count = 1 };
    struct route_entry entry;

    fixture_fill(fixture, 2);
    fixture_make_uuid(uuid, 1);
    account.host = SPAN_LITERAL("sv1");
    mirror_writer_put(fixture->writer, &account);
    fixture_commit(fixture, NULL);
    assert_string_equal(fixture->told, "user0000001@example.org= ");
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry),
                     ROUTE_FIND_NONE);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, "renamed@example.org", &entry),
                     ROUTE_FIND_ONE);
    assert_int_equal(mirror_writer_entries(fixture->writer), 2);
    fixture_delete_account(fixture, 1);
    fixture_commit(fixture, NULL);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, "renamed@example.org", &entry),
                     ROUTE_FIND_NONE);
}

static void a_change_of_owner_is_told_after_the_commit_and_others_are_not(void **state)
{
    struct fixture *fixture = *state;

    fixture_fill(fixture, 3);
    assert_string_equal(fixture->told, "many ");
    fixture_put_account(fixture, 1, "sv2", "sv1");
    fixture_put_account(fixture, 2, "sv1", "sv9");
    fixture_put_account(fixture, 3, "", "");
    fixture_put_account(fixture, 4, "sv1", "");
    assert_string_equal(fixture->told, "many ");
    fixture_commit(fixture, NULL);
    assert_string_equal(fixture->told, "user0000001@example.org=sv2 ");
    fixture_delete_account(fixture, 2);
    fixture_put_account(fixture, 3, "sv2", "");
    fixture_commit(fixture, NULL);
    assert_string_equal(fixture->told, "user0000002@example.org= user0000003@example.org=sv2 ");
}

static void too_many_changes_are_told_as_many(void **state)
{
    struct fixture *fixture = *state;

    fixture_fill(fixture, 1001);
    for (unsigned i = 1; i <= 1001; i++)
        fixture_put_account(fixture, i, "sv2", "sv1");
    fixture_commit(fixture, NULL);
    assert_string_equal(fixture->told, "many ");
    fixture_commit(fixture, NULL);
    assert_string_equal(fixture->told, "");
}

static void the_revision_counts_commits_that_changed_content(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    fixture_fill(fixture, 2);
    revision = mirror_writer_revision(fixture->writer);
    assert_int_equal(mirror_revision(fixture->reader), revision);
    fixture_put_account(fixture, 1, "sv1", "");
    fixture_commit(fixture, "cookie-2");
    assert_int_equal(mirror_revision(fixture->reader), revision);
    fixture_put_account(fixture, 1, "sv2", "");
    assert_int_equal(mirror_revision(fixture->reader), revision);
    fixture_commit(fixture, "cookie-3");
    assert_int_equal(mirror_revision(fixture->reader), revision + 1);
}

static void content_cookie_and_counts_survive_a_restart(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    fixture_fill(fixture, 3);
    revision = mirror_writer_revision(fixture->writer);
    fixture_put_account(fixture, 1, "sv2", "");
    fixture_close_writer(fixture); /* without a commit */
    fixture_assert_host(fixture, 1, "sv1");
    fixture_open_writer(fixture, "source");
    assert_span(mirror_writer_cookie(fixture->writer), "cookie-1");
    assert_int_equal(mirror_writer_revision(fixture->writer), revision);
    assert_int_equal(mirror_writer_entries(fixture->writer), 3);
    assert_true(mirror_writer_is_filled(fixture->writer));
    fixture_assert_host(fixture, 1, "sv1");
}

static void readers_work_while_no_writer_is_there(void **state)
{
    struct fixture *fixture = *state;

    fixture_fill(fixture, 1);
    fixture_close(fixture);
    fixture->reader = mirror_open(fixture->directory);
    fixture_assert_host(fixture, 1, "sv1");
}

static void another_source_forgets_the_cookie_and_keeps_serving(void **state)
{
    struct fixture *fixture = *state;

    fixture_fill(fixture, 1);
    fixture_close_writer(fixture);
    fixture_open_writer(fixture, "another filter");
    assert_span(mirror_writer_cookie(fixture->writer), "");
    fixture_assert_host(fixture, 1, "sv1");
}

static void a_refresh_removes_at_its_end_what_it_has_not_seen(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fixture_fill(fixture, 200);
    mirror_writer_begin_refresh(fixture->writer);
    for (unsigned i = 1; i <= 200; i++) {
        if (i % 3 == 0)
            assert_true(fixture_see_account(fixture, i));
        else if (i % 3 == 1)
            fixture_put_account(fixture, i, "sv2", "");
    }
    assert_false(fixture_see_account(fixture, 999));
    fixture_put_account(fixture, 300, "sv3", "");
    fixture_commit(fixture, NULL);
    fixture_assert_host(fixture, 2, "sv1"); /* serves until the sweep */
    fixture_assert_host(fixture, 1, "sv2");
    assert_int_equal(mirror_writer_unseen(fixture->writer), 67);
    fixture_sweep(fixture);
    mirror_writer_end_refresh(fixture->writer);
    fixture_commit(fixture, "cookie-2");
    assert_int_equal(mirror_writer_entries(fixture->writer), 134);
    assert_int_equal(mirror_writer_unseen(fixture->writer), 0);
    fixture_assert_host(fixture, 3, "sv1");
    fixture_assert_host(fixture, 300, "sv3");
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry),
                     ROUTE_FIND_NONE);
}

static void a_refresh_that_changes_nothing_writes_no_revision(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    fixture_fill(fixture, 50);
    revision = mirror_writer_revision(fixture->writer);
    fixture_fill(fixture, 50);
    assert_int_equal(mirror_writer_revision(fixture->writer), revision);
    assert_string_equal(fixture->told, "");
}

/* What is new has no lookups in the file before the commit. */
static void what_is_new_is_changed_and_removed_before_its_commit(void **state)
{
    struct fixture *fixture = *state;
    struct mirror_key key = { SPAN_LITERAL("other@example.org"), MIRROR_KIND_ADDRESS };
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_account renamed = { .uuid = uuid, .keys = &key, .key_count = 1 };
    struct route_entry entry;

    for (unsigned i = 1; i <= 5; i++)
        fixture_put_account(fixture, i, "sv1", "");
    fixture_put_account(fixture, 1, "sv2", "");
    fixture_make_uuid(uuid, 2);
    mirror_writer_put(fixture->writer, &renamed);
    fixture_delete_account(fixture, 3);
    assert_false(fixture_see_account(fixture, 3));
    assert_true(fixture_see_account(fixture, 4));
    assert_int_equal(mirror_writer_entries(fixture->writer), 4);
    mirror_writer_end_refresh(fixture->writer);
    fixture_commit(fixture, NULL);
    fixture_assert_host(fixture, 1, "sv2");
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, "other@example.org", &entry),
                     ROUTE_FIND_ONE);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry),
                     ROUTE_FIND_NONE);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000003", &entry),
                     ROUTE_FIND_NONE);
    fixture_assert_host(fixture, 5, "sv1");
}

static void a_commit_of_more_than_memory_keeps_is_whole(void **state)
{
    enum { ACCOUNTS = LOOKUP_BATCH_MAX / 3 + 1000, STEP = 997 };
    struct fixture *fixture = *state;

    fixture_fill(fixture, ACCOUNTS);
    assert_int_equal(mirror_writer_entries(fixture->writer), ACCOUNTS);
    for (unsigned i = 1; i <= ACCOUNTS; i += STEP)
        fixture_assert_host(fixture, i, "sv1");
}

struct seen_hosts {
    int64_t sv2, sv3;
    unsigned accounts, at_sv2, from_sv3;
};

static void see_hosts(void *context, int64_t host, int64_t old_host)
{
    struct seen_hosts *seen = context;

    seen->accounts++;
    seen->at_sv2 += host == seen->sv2;
    seen->from_sv3 += host == seen->sv2 && old_host == seen->sv3;
}

static void the_hosts_of_accounts_are_shown_in_parts(void **state)
{
    struct fixture *fixture = *state;
    struct seen_hosts seen = { .accounts = 0 };
    char name[16];
    int64_t after = 0;
    unsigned parts = 0;

    fixture_fill(fixture, 20);
    fixture_put_account(fixture, 20, "sv2", "sv3");
    fixture_commit(fixture, NULL);
    seen.sv2 = mirror_writer_find_host(fixture->writer, "sv2");
    seen.sv3 = mirror_writer_find_host(fixture->writer, "sv3");
    do {
        assert_true(mirror_writer_walk_hosts(fixture->writer, &after, 7, see_hosts, &seen));
        parts++;
    } while (after > 0);
    assert_int_equal(parts, 4);
    assert_int_equal(seen.accounts, 20);
    assert_int_equal(seen.at_sv2, 1);
    assert_int_equal(seen.from_sv3, 1);
    assert_int_equal(mirror_writer_find_host(fixture->writer, "sv9"), 0);
    mirror_writer_host_name(fixture->writer, seen.sv3, name, sizeof(name));
    assert_string_equal(name, "sv3");
    mirror_writer_host_name(fixture->writer, 99, name, sizeof(name));
    assert_string_equal(name, "");
}

static void a_view_stays_as_it_is_until_another_revision_is_asked_for(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    fixture_fill(fixture, 2);
    revision = mirror_writer_revision(fixture->writer);
    mirror_view(fixture->reader, revision);
    fixture_assert_host(fixture, 1, "sv1");
    fixture_put_account(fixture, 1, "sv2", "");
    fixture_commit(fixture, "cookie-2");
    mirror_view(fixture->reader, revision);
    fixture_assert_host(fixture, 1, "sv1");
    mirror_view(fixture->reader, revision + 1);
    fixture_assert_host(fixture, 1, "sv2");
    fixture_put_account(fixture, 1, "sv3", "");
    fixture_commit(fixture, "cookie-3");
    fixture_assert_host(fixture, 1, "sv2");
    mirror_view(fixture->reader, 0);
    fixture_assert_host(fixture, 1, "sv3");
    fixture_put_account(fixture, 1, "sv1", "");
    fixture_commit(fixture, "cookie-4");
    fixture_assert_host(fixture, 1, "sv1");
}

static void the_revision_is_never_read_in_a_view(void **state)
{
    struct fixture *fixture = *state;

    fixture_fill(fixture, 1);
    mirror_view(fixture->reader, 1);
    fixture_assert_host(fixture, 1, "sv1");
    fixture_put_account(fixture, 1, "sv2", "");
    fixture_commit(fixture, "cookie-2");
    assert_int_equal(mirror_revision(fixture->reader), mirror_writer_revision(fixture->writer));
    fixture_assert_host(fixture, 1, "sv2");
}

static void hosts_that_share_a_place_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    char host[16];

    fixture_fill(fixture, 150);
    for (unsigned i = 1; i <= 150; i++) {
        snprintf(host, sizeof(host), "host%u", i);
        fixture_put_account(fixture, i, host, "");
    }
    fixture_commit(fixture, "cookie-2");
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 1; i <= 150; i++) {
            snprintf(host, sizeof(host), "host%u", i);
            fixture_assert_host(fixture, i, host);
        }
}

static void what_was_not_committed_leaves_no_lookup(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fixture_fill(fixture, 1);
    fixture_put_account(fixture, 2, "sv9", "");
    fixture_close_writer(fixture);
    fixture_open_writer(fixture, "source");
    assert_false(fixture_see_account(fixture, 2));
    fixture_put_account(fixture, 3, "sv9", "");
    fixture_commit(fixture, NULL);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry),
                     ROUTE_FIND_NONE);
    fixture_assert_host(fixture, 3, "sv9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        mirror_test(a_mirror_that_was_never_filled_fails_and_says_no_no),
        mirror_test(an_account_is_found_by_each_of_its_keys_and_only_as_their_kind),
        mirror_test(an_address_on_two_entries_is_found_several_times),
        mirror_test(names_flags_and_absent_hosts_survive_packing),
        mirror_test(an_update_replaces_the_keys),
        mirror_test(a_change_of_owner_is_told_after_the_commit_and_others_are_not),
        mirror_test(too_many_changes_are_told_as_many),
        mirror_test(the_revision_counts_commits_that_changed_content),
        mirror_test(content_cookie_and_counts_survive_a_restart),
        mirror_test(readers_work_while_no_writer_is_there),
        mirror_test(another_source_forgets_the_cookie_and_keeps_serving),
        mirror_test(a_refresh_removes_at_its_end_what_it_has_not_seen),
        mirror_test(a_refresh_that_changes_nothing_writes_no_revision),
        mirror_test(what_is_new_is_changed_and_removed_before_its_commit),
        mirror_test(a_commit_of_more_than_memory_keeps_is_whole),
        mirror_test(the_hosts_of_accounts_are_shown_in_parts),
        mirror_test(a_view_stays_as_it_is_until_another_revision_is_asked_for),
        mirror_test(the_revision_is_never_read_in_a_view),
        mirror_test(hosts_that_share_a_place_are_told_apart),
        mirror_test(what_was_not_committed_leaves_no_lookup),
    };

    return cmocka_run_group_tests_name("mirror", tests, NULL, NULL);
}
