/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead node, storage: what it asks the daemon, and what it makes of the answer. */
#include "tests/unit/unit.h"

#include "admin/command.h"
#include "admin/failover_run.h"
#include "tests/unit/admin_support.h"

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))

static const char status[] =
    "{\"node\":\"sv2\",\"state\":\"leaving\",\"is_synchronised\":true,\"is_overridden\":false,"
    "\"why\":\"3 sessions did not end\",\"sessions\":3,\"storages\":["
    "{\"server\":\"sv2\",\"state\":\"attached\",\"why\":\"\",\"since_ms\":1700000000000},"
    "{\"server\":\"sv1\",\"state\":\"failed\",\"why\":\"/srv/mail/sv1 is not mounted\","
    "\"since_ms\":1700000000000}],\"stores\":[{\"protocol\":\"imap\",\"is_reachable\":false}]}";

static void status_shows_the_node_its_storages_and_stores(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("node-status", status, NULL);
    result = admin_run("node status");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out, "node sv2: leaving: 3 sessions did not end, 3 sessions\n");
    assert_contains(result.out, "/srv/mail/sv1 is not mounted");
    assert_contains(result.out, "store imap: not reachable");
    assert_contains(admin_run("storage status").out, "sv1  failed");
    assert_contains(admin_run("storage status --json").out, "\"server\": \"sv1\"");
}

static void leave_shows_its_steps_and_what_came_of_it(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("node-leave", "{\"event\":\"sessions\"}\n{\"state\":\"left\"}", NULL);
    result = admin_run("node leave --deadline 1m");
    assert_int_equal(result.status, COMMAND_OK);
    assert_string_equal(result.out, "  sessions\nleft\n");
    assert_contains(admin_daemon_was_asked("node-leave"), "\"deadline_s\":60");
    assert_string_equal(admin_run("node leave --json").out, "{\"state\":\"left\"}\n");
}

static void what_the_node_refuses_is_a_failure(void **state)
{
    struct admin_result result;

    (void)state;
    admin_daemon_answers("node-return", "", "start_hook: status 1: no");
    result = admin_run("node return");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "start_hook: status 1: no");
}

static void override_can_be_taken_back(void **state)
{
    (void)state;
    admin_daemon_answers("node-override", "{\"state\":\"waiting\"}", NULL);
    assert_string_equal(admin_run("node override --undo").out, "waiting\n");
    assert_contains(admin_daemon_was_asked("node-override"), "\"is_on\":false");
    admin_run("node override");
    assert_contains(admin_daemon_was_asked("node-override"), "\"is_on\":true");
}

static void an_operators_word_must_be_given(void **state)
{
    (void)state;
    admin_daemon_answers("storage-attach", "{\"server\":\"sv1\",\"state\":\"attached\"}", NULL);
    assert_string_equal(admin_run("storage attach sv1").out, "the storage of sv1: attached\n");
    assert_contains(admin_daemon_was_asked("storage-attach"), "\"fenced\":false");
    admin_run("storage attach sv1 --fenced");
    assert_contains(admin_daemon_was_asked("storage-attach"), "\"fenced\":true");
    assert_int_equal(admin_run("storage release sv1 --fenced").status, COMMAND_USAGE);
    assert_int_equal(admin_run("storage attach").status, COMMAND_USAGE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, admin_setup, admin_teardown)

/* What sv2 is asked when a failover has it give up sv1's storage. */
static void assert_release_grants(const struct failover_order *order, unsigned given_s,
                                  const char *granted)
{
    const struct arguments arguments = { .deadline_s = given_s };
    struct reach_node node = { .role = REACH_BACKEND, .name = "sv2" };
    const struct reach reach = { .nodes = &node, .count = 1 };
    struct failover_run run = { .arguments = &arguments, .reach = &reach };
    char why[FAILOVER_TEXT_SIZE];

    snprintf(node.path, sizeof(node.path), "%s", admin_config_file()); /* in the right folder */
    run.failover = (struct failover){ .order = order, .node = "sv2", .server = "sv1" };
    assert_int_equal(failover_order_storage(&run, "storage-release", why), FAILOVER_DONE);
    assert_contains(admin_daemon_was_asked("storage-release"), granted);
}

static void a_failover_says_how_long_sessions_have(void **state)
{
    const struct failover_order failed = { .kind = FAILOVER_AWAY };
    const struct failover_order planned = { .kind = FAILOVER_AWAY, .is_planned = true };
    const struct failover_order home = { .kind = FAILOVER_HOME };

    (void)state;
    admin_daemon_answers("node-status", status, NULL);
    admin_daemon_answers("storage-release", "{\"server\":\"sv1\",\"state\":\"detached\"}", NULL);
    assert_release_grants(&failed, 0, "\"deadline_s\":2,");
    assert_release_grants(&planned, 0, "\"deadline_s\":10,");
    assert_release_grants(&home, 0, "\"deadline_s\":10,");
    assert_release_grants(&planned, 60, "\"deadline_s\":60,");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(status_shows_the_node_its_storages_and_stores),
        TEST(leave_shows_its_steps_and_what_came_of_it),
        TEST(what_the_node_refuses_is_a_failure),
        TEST(override_can_be_taken_back),
        TEST(an_operators_word_must_be_given),
        TEST(a_failover_says_how_long_sessions_have),
    };

    return cmocka_run_group_tests_name("admin node", tests, NULL, NULL);
}
