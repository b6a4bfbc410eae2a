/* SPDX-License-Identifier: Apache-2.0 */
/* The follower against a real slapd: what is in the directory is in the mirror, come what may. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "directory/follower.h"
#include "directory/mirror.h"
#include "tests/unit/slapd.h"

enum { PATIENCE_MS = 20000 };

struct fixture {
    struct slapd slapd;
    struct io_loop loop;
    char state_directory[64];
    char *uris[2];
    char *address_attributes[1], *login_attributes[2];
    struct directory_config config;
    struct account_reader *reader;
    struct mirror_writer *writer;
    struct mirror *mirror;
    struct follower *follower; /* NULL: it does not run */
    uv_timer_t tick;           /* so that a wait for what never comes ends */
    char told[4096];
};

static void note_changed(void *context, uint64_t revision, struct span account, struct span host)
{
    struct fixture *fixture = context;
    size_t length = strlen(fixture->told);

    (void)revision;
    snprintf(fixture->told + length, sizeof(fixture->told) - length, "%.*s=%.*s ",
             SPAN_PRINTF(account), SPAN_PRINTF(host));
}

static void note_changed_many(void *context, uint64_t revision)
{
    struct fixture *fixture = context;

    (void)revision;
    strcat(fixture->told, "many ");
}

static const struct mirror_writer_events writer_events = { note_changed, note_changed_many };

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_status(void *context)
{
    (void)context;
}

/* --- the fixture --------------------------------------------------------------------- */

static void start_follower(struct fixture *fixture)
{
    fixture->writer = mirror_writer_open(fixture->state_directory, account_source(fixture->reader),
                                         &writer_events, fixture);
    assert_non_null(fixture->writer);
    fixture->follower = follower_start(&fixture->loop, &fixture->config, fixture->reader,
                                       fixture->writer, on_status, fixture);
}

static void stop_follower(struct fixture *fixture)
{
    follower_stop(fixture->follower);
    fixture->follower = NULL;
    uv_run(&fixture->loop.uv, UV_RUN_NOWAIT);
    mirror_writer_close(fixture->writer);
    fixture->writer = NULL;
}

static void fill_config(struct fixture *fixture)
{
    struct directory_config *config = &fixture->config;

    fixture->uris[0] = fixture->slapd.uri;
    fixture->address_attributes[0] = (char *)(uintptr_t) "mail";
    fixture->login_attributes[0] = (char *)(uintptr_t) "uid";
    fixture->login_attributes[1] = (char *)(uintptr_t) "mail";
    config->uri = (struct string_list){ fixture->uris, 1 };
    config->base = (char *)(uintptr_t)SLAPD_PEOPLE;
    config->bind_dn = (char *)(uintptr_t)SLAPD_ROOT;
    config->bind_password.file = (char *)(uintptr_t) "given";
    strcpy(config->bind_password.value, SLAPD_SECRET);
    config->filter = (char *)(uintptr_t) "(objectClass=mailsteadAccount)";
    config->address_attributes = (struct string_list){ fixture->address_attributes, 1 };
    config->login_attributes = (struct string_list){ fixture->login_attributes, 2 };
    config->host_attribute = (char *)(uintptr_t) "hostServer";
    config->old_host_attribute = (char *)(uintptr_t) "oldHostServer";
    config->store_name_attribute = (char *)(uintptr_t) "mail";
    config->relay_filter = (char *)(uintptr_t) "(description=relayed*)";
}

static struct fixture *make_fixture(const char *more)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    log_set_descriptor(open("/dev/null", O_WRONLY));
    slapd_init(&fixture->slapd, more);
    strcpy(fixture->state_directory, "/tmp/mailstead-mirror-XXXXXX");
    assert_non_null(mkdtemp(fixture->state_directory));
    fill_config(fixture);
    io_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop.uv, &fixture->tick);
    uv_timer_start(&fixture->tick, on_tick, 20, 20);
    fixture->reader = account_reader_new(&fixture->config);
    fixture->mirror = mirror_open(fixture->state_directory);
    return fixture;
}

static int set_up(void **state)
{
    *state = make_fixture("syncprov-sessionlog 1000\n");
    return 0;
}

static int set_up_without_session_log(void **state)
{
    *state = make_fixture("");
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    if (fixture->follower)
        stop_follower(fixture);
    uv_close((uv_handle_t *)&fixture->tick, NULL);
    io_loop_fini(&fixture->loop);
    account_reader_free(fixture->reader);
    mirror_close(fixture->mirror);
    slapd_fini(&fixture->slapd);
    snprintf(command, sizeof(command), "rm -rf %s", fixture->state_directory);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

/* --- waiting -------------------------------------------------------------------------- */

static bool run_until(struct fixture *fixture, bool (*is_so)(struct fixture *fixture))
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (!is_so(fixture)) {
        if (clock_monotonic_ms() > deadline_ms)
            return false;
        uv_run(&fixture->loop.uv, UV_RUN_ONCE);
    }
    return true;
}

static bool is_following(struct fixture *fixture)
{
    return strcmp(follower_status(fixture->follower).state, "following") == 0;
}

static bool is_waiting(struct fixture *fixture)
{
    return strcmp(follower_status(fixture->follower).state, "waiting") == 0;
}

static enum route_found find(struct fixture *fixture, enum route_key key, const char *value,
                             struct route_entry *entry)
{
    struct route_source source = mirror_source(fixture->mirror);

    return source.find(source.context, key, span_from_string(value), entry);
}

static const char *awaited_address, *awaited_host; /* host NULL: no such address */

static bool is_routed(struct fixture *fixture)
{
    struct route_entry entry;
    enum route_found found = find(fixture, ROUTE_KEY_ADDRESS, awaited_address, &entry);

    if (!awaited_host)
        return found == ROUTE_FIND_NONE;
    return found == ROUTE_FIND_ONE && strcmp(entry.host, awaited_host) == 0;
}

static void await_host(struct fixture *fixture, const char *address, const char *host)
{
    awaited_address = address;
    awaited_host = host;
    assert_true(run_until(fixture, is_routed));
}

/* Starts slapd with accounts 1 to `count` on sv1, and follows it. */
static void follow(struct fixture *fixture, unsigned count)
{
    slapd_add_accounts(&fixture->slapd, 1, count, "sv1");
    slapd_start(&fixture->slapd);
    start_follower(fixture);
    assert_true(run_until(fixture, is_following));
    await_host(fixture, "user1@example.org", "sv1"); /* the reader has found the file too */
}

static void move(struct fixture *fixture, unsigned number, const char *host)
{
    char ldif[512];

    snprintf(ldif, sizeof(ldif),
             "dn: uid=user%u," SLAPD_PEOPLE "\nchangetype: modify\nreplace: hostServer\n"
             "hostServer: %s\n-\nreplace: oldHostServer\noldHostServer: sv1\n",
             number, host);
    slapd_modify(&fixture->slapd, ldif);
}

static void erase(struct fixture *fixture, unsigned first, unsigned last)
{
    static char ldif[65536];
    size_t length = 0;

    for (unsigned i = first; i <= last; i++)
        length += (size_t)snprintf(ldif + length, sizeof(ldif) - length,
                                   "dn: uid=user%u," SLAPD_PEOPLE "\nchangetype: delete\n\n", i);
    slapd_modify(&fixture->slapd, ldif);
}

/* --- tests ----------------------------------------------------------------------------- */

static void the_first_refresh_fills_the_mirror(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user7", &entry), ROUTE_FIND_FAILED);
    follow(fixture, 300);
    assert_true(follower_status(fixture->follower).is_synchronised);
    assert_true(follower_status(fixture->follower).is_connected);
    assert_int_equal(mirror_writer_entries(fixture->writer), 300);
    await_host(fixture, "user300@example.org", "sv1");
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user7", &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.host, "sv1");
    assert_string_equal(entry.account, "user7@example.org");
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user301", &entry), ROUTE_FIND_NONE);
    assert_string_equal(fixture->told, "many ");
}

static void changes_are_followed_as_they_happen(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    follow(fixture, 3);
    fixture->told[0] = '\0';
    move(fixture, 1, "sv2");
    await_host(fixture, "user1@example.org", "sv2");
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user1", &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.old_host, "sv1");
    slapd_add_accounts(&fixture->slapd, 4, 4, "sv3");
    await_host(fixture, "user4@example.org", "sv3");
    erase(fixture, 2, 2);
    await_host(fixture, "user2@example.org", NULL);
    slapd_modify(&fixture->slapd, "dn: uid=user3," SLAPD_PEOPLE "\nchangetype: modify\n"
                                  "replace: mail\nmail: Other@Example.ORG\n");
    await_host(fixture, "other@example.org", "sv1");
    assert_string_equal(fixture->told,
                        "user1@example.org=sv2 user2@example.org= user3@example.org= ");
}

static void an_entry_that_leaves_the_filter_leaves_the_mirror(void **state)
{
    struct fixture *fixture = *state;

    follow(fixture, 2);
    slapd_modify(&fixture->slapd,
                 "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: modify\ndelete: mail\n-\n"
                 "delete: hostServer\n-\ndelete: objectClass\nobjectClass: mailsteadAccount\n");
    await_host(fixture, "user1@example.org", NULL);
    assert_int_equal(mirror_writer_entries(fixture->writer), 1);
}

static bool is_misconfigured(struct fixture *fixture)
{
    struct route_entry entry;

    return find(fixture, ROUTE_KEY_ADDRESS, "user1@example.org", &entry) == ROUTE_FIND_ONE &&
           entry.has_several_hosts;
}

static bool is_relayed(struct fixture *fixture)
{
    struct route_entry entry;

    return find(fixture, ROUTE_KEY_ADDRESS, "user2@example.org", &entry) == ROUTE_FIND_ONE &&
           entry.is_relayed && !entry.host[0];
}

static void two_hosts_and_relayed_entries_are_marked(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    follow(fixture, 2);
    slapd_modify(&fixture->slapd, "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: modify\n"
                                  "add: hostServer\nhostServer: sv2\n");
    assert_true(run_until(fixture, is_misconfigured));
    slapd_modify(&fixture->slapd,
                 "dn: uid=user2," SLAPD_PEOPLE "\nchangetype: modify\ndelete: hostServer\n-\n"
                 "add: description\ndescription: Relayed to a list\n");
    assert_true(run_until(fixture, is_relayed));
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user2", &entry), ROUTE_FIND_NONE);
}

static void while_slapd_is_away_the_mirror_serves_and_then_catches_up(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    follow(fixture, 50);
    slapd_stop(&fixture->slapd, SIGTERM);
    assert_true(run_until(fixture, is_waiting));
    assert_false(follower_status(fixture->follower).is_connected);
    assert_true(follower_status(fixture->follower).trouble[0]);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user7", &entry), ROUTE_FIND_ONE);
    slapd_add_accounts(&fixture->slapd, 51, 51, "sv2");
    slapd_start(&fixture->slapd);
    await_host(fixture, "user51@example.org", "sv2");
    move(fixture, 1, "sv2");
    await_host(fixture, "user1@example.org", "sv2");
}

static void a_follower_that_was_away_resumes_with_changes_and_deletions(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;
    struct route_entry entry;

    follow(fixture, 60);
    revision = mirror_writer_revision(fixture->writer);
    stop_follower(fixture);
    move(fixture, 1, "sv2");
    erase(fixture, 2, 20);
    slapd_add_accounts(&fixture->slapd, 61, 61, "sv3");
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user2", &entry), ROUTE_FIND_ONE);
    fixture->told[0] = '\0';
    start_follower(fixture);
    assert_true(mirror_writer_cookie(fixture->writer).length > 0);
    assert_false(follower_status(fixture->follower).is_synchronised);
    assert_true(run_until(fixture, is_following));
    await_host(fixture, "user1@example.org", "sv2");
    await_host(fixture, "user2@example.org", NULL);
    await_host(fixture, "user20@example.org", NULL);
    await_host(fixture, "user21@example.org", "sv1");
    await_host(fixture, "user61@example.org", "sv3");
    assert_int_equal(mirror_writer_entries(fixture->writer), 42);
    assert_true(mirror_writer_revision(fixture->writer) > revision);
    assert_non_null(strstr(fixture->told, "user1@example.org=sv2 "));
    assert_non_null(strstr(fixture->told, "user20@example.org= "));
}

static void a_restart_of_slapd_and_follower_without_changes_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    follow(fixture, 60);
    revision = mirror_writer_revision(fixture->writer);
    stop_follower(fixture);
    slapd_stop(&fixture->slapd, SIGTERM);
    slapd_start(&fixture->slapd);
    start_follower(fixture);
    assert_true(run_until(fixture, is_following));
    assert_int_equal(mirror_writer_revision(fixture->writer), revision);
}

static void slapd_may_come_later_than_the_follower(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    follow(fixture, 5);
    stop_follower(fixture);
    slapd_stop(&fixture->slapd, SIGKILL);
    start_follower(fixture);
    assert_true(run_until(fixture, is_waiting));
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user5", &entry), ROUTE_FIND_ONE);
    slapd_start(&fixture->slapd);
    assert_true(run_until(fixture, is_following));
}

static void the_next_server_is_tried_when_one_does_not_answer(void **state)
{
    struct fixture *fixture = *state;

    fixture->uris[0] = (char *)(uintptr_t) "ldapi://%2Fnonexistent%2Fsocket";
    fixture->uris[1] = fixture->slapd.uri;
    fixture->config.uri.count = 2;
    follow(fixture, 5);
    assert_string_equal(follower_status(fixture->follower).uri, fixture->slapd.uri);
}

static void a_wrong_password_is_trouble_and_no_end(void **state)
{
    struct fixture *fixture = *state;

    slapd_start(&fixture->slapd);
    strcpy(fixture->config.bind_password.value, "wrong");
    start_follower(fixture);
    uv_run(&fixture->loop.uv, UV_RUN_ONCE);
    assert_true(run_until(fixture, is_waiting));
    assert_non_null(strstr(follower_status(fixture->follower).trouble, "bind"));
    assert_null(strstr(follower_status(fixture->follower).trouble, "wrong"));
    strcpy(fixture->config.bind_password.value, SLAPD_SECRET);
    assert_true(run_until(fixture, is_following));
}

static void set_cookie(struct fixture *fixture, const char *text)
{
    struct span cookie = span_from_string(text);

    fixture->writer = mirror_writer_open(fixture->state_directory, account_source(fixture->reader),
                                         &writer_events, fixture);
    assert_true(mirror_writer_commit(fixture->writer, &cookie));
    mirror_writer_close(fixture->writer);
}

static void a_cookie_that_the_server_refuses_leads_to_a_full_refresh(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    follow(fixture, 30);
    stop_follower(fixture);
    erase(fixture, 30, 30);
    set_cookie(fixture, "rid=000,csn=20991231235959.999999Z#000000#000#000000");
    start_follower(fixture);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user1", &entry), ROUTE_FIND_ONE);
    assert_true(run_until(fixture, is_following));
    assert_int_equal(mirror_writer_entries(fixture->writer), 29);
    stop_follower(fixture);
    set_cookie(fixture, "no cookie at all");
    start_follower(fixture);
    assert_true(run_until(fixture, is_following));
    assert_int_equal(mirror_writer_entries(fixture->writer), 29);
}

static bool is_held(struct fixture *fixture)
{
    return strstr(follower_status(fixture->follower).trouble, "held") != NULL;
}

static void a_refresh_that_would_remove_most_accounts_is_held(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    follow(fixture, 300);
    stop_follower(fixture);
    erase(fixture, 1, 200);
    move(fixture, 300, "sv2");
    start_follower(fixture);
    assert_true(run_until(fixture, is_held));
    assert_false(follower_status(fixture->follower).is_synchronised);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user1", &entry), ROUTE_FIND_ONE);
    await_host(fixture, "user300@example.org", "sv2");
}

static void damage(struct fixture *fixture)
{
    char path[256], junk[65536];
    int fd;

    mirror_path(fixture->state_directory, path, sizeof(path));
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
    struct fixture *fixture = *state;

    follow(fixture, 300);
    stop_follower(fixture);
    mirror_close(fixture->mirror);
    damage(fixture);
    fixture->mirror = mirror_open(fixture->state_directory);
    start_follower(fixture);
    assert_true(run_until(fixture, is_following));
    await_host(fixture, "user300@example.org", "sv1");
    assert_int_equal(mirror_writer_entries(fixture->writer), 300);
}

#define follower_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
                                        set_up_without_session_log, tear_down),
        follower_test(a_restart_of_slapd_and_follower_without_changes_changes_nothing),
        follower_test(slapd_may_come_later_than_the_follower),
        follower_test(the_next_server_is_tried_when_one_does_not_answer),
        follower_test(a_wrong_password_is_trouble_and_no_end),
        follower_test(a_cookie_that_the_server_refuses_leads_to_a_full_refresh),
        cmocka_unit_test_setup_teardown(a_refresh_that_would_remove_most_accounts_is_held,
                                        set_up_without_session_log, tear_down),
        follower_test(a_damaged_mirror_is_rebuilt_from_the_directory),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests_name("follower", tests, NULL, NULL);
}
