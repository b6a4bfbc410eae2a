/* SPDX-License-Identifier: Apache-2.0 */
/* The follower against a real slapd: what is in the directory is in the mirror, come what may. */
#include "tests/unit/follower_support.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* --- tests ----------------------------------------------------------------------------- */

static void the_first_refresh_fills_the_mirror(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user7", &entry), ROUTE_FIND_FAILED);
    rig_follow(rig, 300);
    assert_true(follower_status(rig->follower).is_synchronised);
    assert_true(follower_status(rig->follower).is_connected);
    assert_int_equal(mirror_writer_entries(rig->writer), 300);
    rig_await_host(rig, "user300@example.org", "sv1");
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user7", &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.host, "sv1");
    assert_string_equal(entry.account, "user7@example.org");
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user301", &entry), ROUTE_FIND_NONE);
    assert_string_equal(rig->told, "many ");
}

static void changes_are_followed_as_they_happen(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    rig_follow(rig, 3);
    rig->told[0] = '\0';
    rig_move(rig, 1, "sv2");
    rig_await_host(rig, "user1@example.org", "sv2");
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user1", &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.old_host, "sv1");
    slapd_add_accounts(&rig->slapd, 4, 4, "sv3");
    rig_await_host(rig, "user4@example.org", "sv3");
    rig_erase(rig, 2, 2);
    rig_await_host(rig, "user2@example.org", NULL);
    slapd_modify(&rig->slapd, "dn: uid=user3," SLAPD_PEOPLE "\nchangetype: modify\n"
                              "replace: mail\nmail: Other@Example.ORG\n");
    rig_await_host(rig, "other@example.org", "sv1");
    assert_string_equal(rig->told, "user1@example.org=sv2 user2@example.org= user3@example.org= ");
}

static void an_entry_that_leaves_the_filter_leaves_the_mirror(void **state)
{
    struct rig *rig = *state;

    rig_follow(rig, 2);
    slapd_modify(&rig->slapd,
                 "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: modify\ndelete: mail\n-\n"
                 "delete: hostServer\n-\ndelete: objectClass\nobjectClass: mailsteadAccount\n");
    rig_await_host(rig, "user1@example.org", NULL);
    assert_int_equal(mirror_writer_entries(rig->writer), 1);
}

static bool is_misconfigured(struct rig *rig)
{
    struct route_entry entry;

    return rig_find(rig, ROUTE_KEY_ADDRESS, "user1@example.org", &entry) == ROUTE_FIND_ONE &&
           entry.has_several_hosts;
}

static bool is_relayed(struct rig *rig)
{
    struct route_entry entry;

    return rig_find(rig, ROUTE_KEY_ADDRESS, "user2@example.org", &entry) == ROUTE_FIND_ONE &&
           entry.is_relayed && !entry.host[0];
}

static void two_hosts_and_relayed_entries_are_marked(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    rig_follow(rig, 2);
    slapd_modify(&rig->slapd, "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: modify\n"
                              "add: hostServer\nhostServer: sv2\n");
    assert_true(rig_run_until(rig, is_misconfigured));
    slapd_modify(&rig->slapd,
                 "dn: uid=user2," SLAPD_PEOPLE "\nchangetype: modify\ndelete: hostServer\n-\n"
                 "add: description\ndescription: Relayed to a list\n");
    assert_true(rig_run_until(rig, is_relayed));
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user2", &entry), ROUTE_FIND_NONE);
}

static void while_slapd_is_away_the_mirror_serves_and_then_catches_up(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    rig_follow(rig, 50);
    slapd_stop(&rig->slapd, SIGTERM);
    assert_true(rig_run_until(rig, rig_is_waiting));
    assert_false(follower_status(rig->follower).is_connected);
    assert_true(follower_status(rig->follower).trouble[0]);
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user7", &entry), ROUTE_FIND_ONE);
    slapd_add_accounts(&rig->slapd, 51, 51, "sv2");
    slapd_start(&rig->slapd);
    rig_await_host(rig, "user51@example.org", "sv2");
    rig_move(rig, 1, "sv2");
    rig_await_host(rig, "user1@example.org", "sv2");
}

static void a_follower_that_was_away_resumes_with_changes_and_deletions(void **state)
{
    struct rig *rig = *state;
    uint64_t revision;
    struct route_entry entry;

    rig_follow(rig, 60);
    revision = mirror_writer_revision(rig->writer);
    rig_stop(rig);
    rig_move(rig, 1, "sv2");
    rig_erase(rig, 2, 20);
    slapd_add_accounts(&rig->slapd, 61, 61, "sv3");
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user2", &entry), ROUTE_FIND_ONE);
    rig->told[0] = '\0';
    rig_start(rig);
    assert_true(mirror_writer_cookie(rig->writer).length > 0);
    assert_false(follower_status(rig->follower).is_synchronised);
    assert_true(rig_run_until(rig, rig_is_following));
    rig_await_host(rig, "user1@example.org", "sv2");
    rig_await_host(rig, "user2@example.org", NULL);
    rig_await_host(rig, "user20@example.org", NULL);
    rig_await_host(rig, "user21@example.org", "sv1");
    rig_await_host(rig, "user61@example.org", "sv3");
    assert_int_equal(mirror_writer_entries(rig->writer), 42);
    assert_true(mirror_writer_revision(rig->writer) > revision);
    assert_non_null(strstr(rig->told, "user1@example.org=sv2 "));
    assert_non_null(strstr(rig->told, "user20@example.org= "));
}

static void a_restart_of_slapd_and_follower_without_changes_changes_nothing(void **state)
{
    struct rig *rig = *state;
    uint64_t revision;

    rig_follow(rig, 60);
    revision = mirror_writer_revision(rig->writer);
    rig_stop(rig);
    slapd_stop(&rig->slapd, SIGTERM);
    slapd_start(&rig->slapd);
    rig_start(rig);
    assert_true(rig_run_until(rig, rig_is_following));
    assert_int_equal(mirror_writer_revision(rig->writer), revision);
}

/* A server that has nothing new tells no cookie, either. */
static void a_mirror_that_was_resumed_without_changes_is_resumed_again(void **state)
{
    struct rig *rig = *state;

    rig_follow(rig, 5);
    for (int i = 0; i < 3; i++) {
        assert_true(mirror_writer_cookie(rig->writer).length > 0);
        rig_stop(rig);
        rig_start(rig);
        assert_true(rig_run_until(rig, rig_is_following));
    }
}

static void slapd_may_come_later_than_the_follower(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    rig_follow(rig, 5);
    rig_stop(rig);
    slapd_stop(&rig->slapd, SIGKILL);
    rig_start(rig);
    assert_true(rig_run_until(rig, rig_is_waiting));
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user5", &entry), ROUTE_FIND_ONE);
    slapd_start(&rig->slapd);
    assert_true(rig_run_until(rig, rig_is_following));
}

static void the_next_server_is_tried_when_one_does_not_answer(void **state)
{
    struct rig *rig = *state;

    rig->uris[0] = (char *)(uintptr_t) "ldapi://%2Fnonexistent%2Fsocket";
    rig->uris[1] = rig->slapd.uri;
    rig->config.uri.count = 2;
    rig_follow(rig, 5);
    assert_string_equal(follower_status(rig->follower).uri, rig->slapd.uri);
}

static bool is_following_the_first(struct rig *rig)
{
    return rig_is_following(rig) && follower_status(rig->follower).uri == rig->uris[0];
}

static void the_first_server_is_returned_to_when_it_answers_again(void **state)
{
    struct rig *rig = *state;
    char path[128], other[128], uri[192];

    snprintf(path, sizeof(path), "%s/socket", rig->slapd.folder);
    snprintf(other, sizeof(other), "%s/other", rig->slapd.folder);
    snprintf(uri, sizeof(uri), "ldapi://%%2Ftmp%%2F%s%%2Fother",
             rig->slapd.folder + strlen("/tmp/"));
    rig->uris[0] = uri;
    rig->uris[1] = rig->slapd.uri;
    rig->config.uri.count = 2;
    rig->config.return_s = 1;
    rig_follow(rig, 5);
    assert_string_equal(follower_status(rig->follower).uri, rig->slapd.uri);
    assert_int_equal(symlink(path, other), 0);
    assert_true(rig_run_until(rig, is_following_the_first));
    rig_stop(rig);
}

static void a_wrong_password_is_trouble_and_no_end(void **state)
{
    struct rig *rig = *state;

    slapd_start(&rig->slapd);
    strcpy(rig->config.bind_password.value, "wrong");
    rig_start(rig);
    io_loop_turn(&rig->loop, true);
    assert_true(rig_run_until(rig, rig_is_waiting));
    assert_non_null(strstr(follower_status(rig->follower).trouble, "bind"));
    assert_null(strstr(follower_status(rig->follower).trouble, "wrong"));
    strcpy(rig->config.bind_password.value, SLAPD_SECRET);
    assert_true(rig_run_until(rig, rig_is_following));
}

static const struct mirror_writer_events nobody; /* a cookie alone is told to nobody */

static void set_cookie(struct rig *rig, const char *text)
{
    struct span cookie = span_from_string(text);

    rig->writer =
        mirror_writer_open(rig->state_directory, account_source(rig->reader), &nobody, rig);
    assert_true(mirror_writer_commit(rig->writer, &cookie));
    mirror_writer_close(rig->writer);
}

static void a_cookie_that_the_server_refuses_leads_to_a_full_refresh(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    rig_follow(rig, 30);
    rig_stop(rig);
    rig_erase(rig, 30, 30);
    set_cookie(rig, "rid=000,csn=20991231235959.999999Z#000000#000#000000");
    rig_start(rig);
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user1", &entry), ROUTE_FIND_ONE);
    assert_true(rig_run_until(rig, rig_is_following));
    assert_int_equal(mirror_writer_entries(rig->writer), 29);
    rig_stop(rig);
    set_cookie(rig, "no cookie at all");
    rig_start(rig);
    assert_true(rig_run_until(rig, rig_is_following));
    assert_int_equal(mirror_writer_entries(rig->writer), 29);
}

static bool is_held(struct rig *rig)
{
    return mirror_writer_held(rig->writer) > 0 && rig_is_following(rig);
}

static void a_refresh_that_would_remove_most_accounts_is_held(void **state)
{
    struct rig *rig = *state;
    struct route_entry entry;

    rig_follow(rig, 300);
    rig_stop(rig);
    rig_erase(rig, 1, 200);
    rig_move(rig, 300, "sv2");
    rig_start(rig);
    assert_true(rig_run_until(rig, is_held));
    assert_false(follower_status(rig->follower).is_synchronised);
    assert_int_equal(rig_find(rig, ROUTE_KEY_LOGIN, "user1", &entry), ROUTE_FIND_ONE);
    rig_await_host(rig, "user300@example.org", "sv2");
}

static void damage(struct rig *rig)
{
    char path[256], junk[65536];
    int fd;

    mirror_path(rig->state_directory, path, sizeof(path));
    memset(junk, 0x5a, sizeof(junk));
    fd = open(path, O_WRONLY);
    for (off_t offset = 0; offset < 1 << 20; offset += (off_t)sizeof(junk))
        assert_int_equal(pwrite(fd, junk, sizeof(junk), offset), sizeof(junk));
    close(fd);
    strcat(path, "-wal");
    unlink(path);
}

static void a_damaged_mirror_is_rebuilt_from_the_directory(void **state)
{
    struct rig *rig = *state;

    rig_follow(rig, 300);
    rig_stop(rig);
    mirror_close(rig->mirror);
    damage(rig);
    rig->mirror = mirror_open(rig->state_directory);
    rig_start(rig);
    assert_true(rig_run_until(rig, rig_is_following));
    rig_await_host(rig, "user300@example.org", "sv1");
    assert_int_equal(mirror_writer_entries(rig->writer), 300);
}

#define follower_test(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        follower_test(the_first_refresh_fills_the_mirror),
        follower_test(changes_are_followed_as_they_happen),
        follower_test(an_entry_that_leaves_the_filter_leaves_the_mirror),
        follower_test(two_hosts_and_relayed_entries_are_marked),
        follower_test(while_slapd_is_away_the_mirror_serves_and_then_catches_up),
        follower_test(a_follower_that_was_away_resumes_with_changes_and_deletions),
        cmocka_unit_test_setup_teardown(a_follower_that_was_away_resumes_with_changes_and_deletions,
                                        rig_set_up_without_session_log, rig_tear_down),
        follower_test(a_restart_of_slapd_and_follower_without_changes_changes_nothing),
        follower_test(a_mirror_that_was_resumed_without_changes_is_resumed_again),
        follower_test(slapd_may_come_later_than_the_follower),
        follower_test(the_next_server_is_tried_when_one_does_not_answer),
        follower_test(the_first_server_is_returned_to_when_it_answers_again),
        follower_test(a_wrong_password_is_trouble_and_no_end),
        follower_test(a_cookie_that_the_server_refuses_leads_to_a_full_refresh),
        cmocka_unit_test_setup_teardown(a_refresh_that_would_remove_most_accounts_is_held,
                                        rig_set_up_without_session_log, rig_tear_down),
        follower_test(a_damaged_mirror_is_rebuilt_from_the_directory),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests_name("follower", tests, NULL, NULL);
}
