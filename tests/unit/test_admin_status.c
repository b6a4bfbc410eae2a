/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead status for many nodes: what is said of them together, and what needs attention. */
#include "tests/unit/unit.h"

#include <jansson.h>

#include "admin/command.h"
#include "tests/unit/admin_support.h"

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (!strstr((text), (part)))                                                               \
            fail_msg("no \"%s\" in:\n%s", part, text);                                             \
    } while (0)
#define assert_lacks(text, part) assert_null(strstr((text), (part)))

#define STATUS(program, revision)                                                                  \
    "{\"program\":\"mailstead-" program "\",\"version\":\"1\",\"pid\":1,\"uptime_s\":60,"          \
    "\"processes\":[{\"role\":\"worker\",\"number\":0,\"pid\":2,\"is_ready\":true,"                \
    "\"heartbeat_age_ms\":1}],\"counters\":{\"sessions\":3,\"queue_messages\":4},"                 \
    "\"mirror\":{\"revision\":" revision ",\"is_synchronised\":true,\"is_connected\":true}}"
#define BACKEND(name, imap, order)                                                                 \
    "{\"backend\":\"" name "\",\"state\":\"" order "\",\"imap\":{\"state\":\"" imap                \
    "\",\"since_s\":1},\"sieve\":{\"state\":\"up\",\"since_s\":1}}"
#define FOLLOWED(second)                                                                           \
    "{\"connected\":true,\"csn\":[\"202601010000" second ".000000Z#000000#001#000000\"]}"

/* fe1 and fe2 run; sv9 is a backend node; fe2 is 7 s behind and sees sv1 down. */
static void add_nodes(void)
{
    admin_add_frontend("fe1", true);
    admin_add_frontend("fe2", true);
    admin_add_frontend("sv9", true);
    admin_daemon_answers("status@fe1", STATUS("frontend", "70"), NULL);
    admin_daemon_answers("status@fe2", STATUS("frontend", "7"), NULL);
    admin_daemon_answers("status@sv9", STATUS("backend", "8"), NULL);
    admin_daemon_answers("backends@fe1", BACKEND("sv1", "up", "up"), NULL);
    admin_daemon_answers("backends@fe2",
                         BACKEND("sv1", "down", "up") "\n" BACKEND("sv2", "up", "leaving"), NULL);
    admin_daemon_answers("directory-status@fe1", FOLLOWED("09"), NULL);
    admin_daemon_answers("directory-status@fe2", FOLLOWED("02"), NULL);
    admin_daemon_answers("node-status@sv9",
                         "{\"node\":\"sv9\",\"state\":\"left\",\"storages\":[{\"server\":\"sv9\","
                         "\"state\":\"failed\",\"why\":\"not mounted\",\"since_ms\":0},"
                         "{\"server\":\"sv1\",\"state\":\"detached\",\"is_held\":true,"
                         "\"why\":\"served by sv1: 7 accounts\",\"since_ms\":0}]}",
                         NULL);
}

static void all_nodes_are_shown_with_what_they_do(void **state)
{
    struct admin_result result;

    (void)state;
    add_nodes();
    result = admin_run("status");
    assert_int_equal(result.status, COMMAND_OK);
    assert_contains(result.out,
                    "fe1   frontend  up 60 s        70  current            3       4\n");
    assert_contains(result.out,
                    "fe2   frontend  up 60 s         7  7 s behind         3       4\n");
    assert_contains(result.out,
                    "sv9   backend   left            8  connected          3       -\n");
    assert_contains(result.out, "sv1      not tried  down at 1 of 2  not tried  up     up\n");
    assert_contains(result.out, "sv9         sv9  failed  -\n");
    assert_contains(result.out, "sv1         sv9  held    -\n");
}

static void what_needs_attention_is_said_once_with_the_node_s_name(void **state)
{
    struct admin_result result;

    (void)state;
    add_nodes();
    result = admin_run("status --check");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.out, "fe2: its mirror is 7 s behind the others\n");
    assert_contains(result.out, "backend sv1: imap down at fe2\n");
    assert_contains(result.out, "backend sv2 is leaving: its accounts are to be moved\n");
    assert_contains(result.out, "sv9: the node does not serve: left\n");
    assert_contains(result.out, "sv9: the storage of sv9 has failed: not mounted\n");
    assert_contains(result.out, "sv9: the storage of sv1 is held: served by sv1: 7 accounts\n");
    assert_lacks(result.out, "fe1: ");
}

static void what_a_node_that_serves_lacks_needs_attention(void **state)
{
    struct admin_result result;

    (void)state;
    admin_add_frontend("fe1", false);
    admin_add_frontend("sv9", true);
    admin_daemon_answers("status@sv9", STATUS("backend", "8"), NULL);
    admin_daemon_answers(
        "node-status@sv9",
        "{\"node\":\"sv9\",\"state\":\"serving\",\"storages\":[{\"server\":\"sv1\","
        "\"state\":\"detached\",\"is_held\":false,\"is_missed\":true,\"why\":\"\"}],"
        "\"stores\":[{\"protocol\":\"lmtp\",\"is_reachable\":true},"
        "{\"protocol\":\"imap\",\"is_reachable\":false}]}",
        NULL);
    result = admin_run("status --check");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.out, "sv9: its mail store does not take imap\n");
    assert_lacks(result.out, "does not take lmtp");
    assert_contains(result.out,
                    "sv9: the storage of sv1 is not attached, and accounts of the node need it\n");
}

static void accounts_that_a_node_without_storages_let_go_need_attention(void **state)
{
    (void)state;
    admin_add_frontend("sv9", true);
    admin_daemon_answers("status@sv9", STATUS("backend", "8"), NULL);
    admin_daemon_answers(
        "node-status@sv9",
        "{\"node\":\"sv9\",\"state\":\"serving\",\"has_storages\":false,\"storages\":"
        "[{\"server\":\"sv1\",\"state\":\"detached\",\"is_held\":true,\"why\":"
        "\"they wait\"}]}",
        NULL);
    assert_contains(admin_run("status --check").out,
                    "sv9: the accounts of sv1 are held: they wait\n");
}

static void who_does_not_answer_is_a_line_and_a_problem(void **state)
{
    struct admin_result result;

    (void)state;
    admin_add_frontend("fe1", true);
    admin_add_frontend("fe2", true);
    admin_add_frontend("fe3", false);
    admin_daemon_answers("status@fe1", STATUS("frontend", "70"), NULL);
    result = admin_run("status");
    assert_int_equal(result.status, COMMAND_PARTLY);
    assert_contains(result.out, "fe2   frontend  NO ANSWER");
    assert_contains(result.out, "fe3   frontend  not asked");
    assert_contains(result.out, "fe2: the daemon at ");
    assert_lacks(result.out, "fe3: ");
    assert_int_equal(admin_run("status --check").status, COMMAND_FAILED);
    result = admin_run("status --node fe2");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.err, "mailstead: fe2: the daemon at ");
}

static void programs_read_a_line_for_each_node(void **state)
{
    const char *rest;

    (void)state;
    add_nodes();
    admin_add_frontend("fe4", true);
    rest = admin_run("status --json").out;
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = { "fe1", "fe2", "sv9", "fe4" };
        json_t *line = json_loads(rest, JSON_DISABLE_EOF_CHECK, NULL);

        assert_string_equal(json_string_value(json_object_get(line, "node")), names[i]);
        if (i == 1)
            assert_int_equal(json_integer_value(json_object_get(line, "behind_ms")), 7000);
        assert_int_equal(json_object_get(line, "error") != NULL, i == 3);
        json_decref(line);
        rest = strchr(rest, '\n') + 1;
    }
    assert_string_equal(rest, "");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, admin_setup, admin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_nodes_are_shown_with_what_they_do),
        TEST(what_needs_attention_is_said_once_with_the_node_s_name),
        TEST(what_a_node_that_serves_lacks_needs_attention),
        TEST(accounts_that_a_node_without_storages_let_go_need_attention),
        TEST(who_does_not_answer_is_a_line_and_a_problem),
        TEST(programs_read_a_line_for_each_node),
    };

    return cmocka_run_group_tests_name("admin status", tests, NULL, NULL);
}
