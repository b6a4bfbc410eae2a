/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of backends, good and bad, and what the command is told of a backend. */
#include "tests/unit/unit.h"

#include "directory/backend_entry.h"
#include "directory/backend_status.h"
#include "tests/unit/backend_names.h"

/* Reads an entry written as "NAME VALUE" lines; `why` as backend_entry_read gives it. */
static bool read_entry(const char *lines, struct backend *backend, char why[BACKEND_WHY_SIZE])
{
    struct directory_config config = { .backend_base = NULL };
    struct ldap_attribute attributes[16];
    struct span values[16];
    size_t count = 0, value_count = 0;
    struct span rest = span_from_string(lines);
    struct ldap_entry entry;

    backend_names_fill(&config);
    while (rest.length > 0) {
        struct span value = span_split(&rest, '\n');
        struct span name = span_split(&value, ' ');

        if (count > 0 && span_equals(attributes[count - 1].name, name))
            attributes[count - 1].value_count++;
        else
            attributes[count++] = (struct ldap_attribute){ name, &values[value_count], 1 };
        values[value_count++] = value;
    }
    entry = (struct ldap_entry){ "cn=x", NULL, attributes, count };
    return backend_entry_read(&config, &entry, backend, why);
}

static void a_name_and_an_address_are_enough(void **state)
{
    struct backend backend;
    char why[BACKEND_WHY_SIZE];

    (void)state;
    assert_true(read_entry("cn sv9\nbackendAddress 10.0.1.19\n", &backend, why));
    assert_string_equal(backend.name, "sv9");
    assert_int_equal(backend.address_count, 1);
    assert_int_equal(backend.lmtp_port, 24);
    assert_int_equal(backend.imap_port, 143);
    assert_int_equal(backend.pop3_port, 110);
    assert_int_equal(backend.sieve_port, 4190);
    assert_int_equal(backend.weight, 1);
    assert_int_equal(backend.state, BACKEND_UP);
    assert_true(backend.is_from_directory);
    assert_string_equal(backend.tls_name, "");
}

static void all_of_an_entry_is_read(void **state)
{
    struct backend backend;
    char why[BACKEND_WHY_SIZE];

    (void)state;
    assert_true(read_entry(
        "CN Store-9.example\nbackendAddress 2001:db8::9\n"
        "backendAddress s9.example.org\nbackendLmtpPort 2424\n"
        "backendImapPort 1143\nbackendPop3Port 1110\nbackendSievePort 4199\nbackendWeight 7\n"
        "backendState Leaving\n",
        &backend, why));
    assert_string_equal(backend.name, "Store-9.example");
    assert_string_equal(backend.addresses[0], "2001:db8::9");
    assert_string_equal(backend.addresses[1], "s9.example.org");
    assert_int_equal(backend.lmtp_port, 2424);
    assert_int_equal(backend.imap_port, 1143);
    assert_int_equal(backend.pop3_port, 1110);
    assert_int_equal(backend.sieve_port, 4199);
    assert_int_equal(backend.weight, 7);
    assert_int_equal(backend.state, BACKEND_LEAVING);
}

/* The attribute that is told to be wrong in an entry that is good but for `line`. */
static void assert_wrong(const char *line, const char *attribute)
{
    struct backend backend = { .name = "untouched" };
    char lines[1024], why[BACKEND_WHY_SIZE] = "";

    snprintf(lines, sizeof(lines), "%s%s%s\n", strncmp(line, "cn", 2) == 0 ? "" : "cn sv9\n",
             strncmp(line, "backendAddress", 14) == 0 ? "" : "backendAddress 10.0.1.19\n", line);
    assert_false(read_entry(lines, &backend, why));
    assert_true(strncmp(why, attribute, strlen(attribute)) == 0);
    assert_string_equal(backend.name, "untouched");
}

static void whatever_is_wrong_the_entry_is_not_taken(void **state)
{
    char long_name[200] = "cn ";

    (void)state;
    memset(long_name + 3, 'x', 150);
    assert_wrong("cn", "cn");
    assert_wrong(long_name, "cn");
    assert_wrong("cn sv9\ncn sv10", "cn");
    assert_wrong("cn sv 9", "cn");
    assert_wrong("cn ../sv9", "cn");
    assert_wrong("cn sv9\001", "cn");
    assert_wrong("cn %b", "cn");
    assert_wrong("backendAddress ", "backendAddress");
    assert_wrong("backendAddress 10.0.1.300:1", "backendAddress");
    assert_wrong("backendAddress unix:/run/x", "backendAddress");
    assert_wrong("backendAddress -x.example.org", "backendAddress");
    assert_wrong("backendAddress fe80::1%eth0", "backendAddress");
    assert_wrong("backendAddress a\nbackendAddress b\nbackendAddress c\nbackendAddress d\n"
                 "backendAddress e",
                 "backendAddress");
    assert_wrong("backendLmtpPort 0", "backendLmtpPort");
    assert_wrong("backendImapPort 65536", "backendImapPort");
    assert_wrong("backendImapPort 143x", "backendImapPort");
    assert_wrong("backendPop3Port -1", "backendPop3Port");
    assert_wrong("backendPop3Port 110\nbackendPop3Port 111", "backendPop3Port");
    assert_wrong("backendSievePort 0", "backendSievePort");
    assert_wrong("backendWeight 65536", "backendWeight");
    assert_wrong("backendState gone", "backendState");
    assert_wrong("backendState up\nbackendState down", "backendState");
}

static void an_entry_without_an_address_is_not_taken(void **state)
{
    struct backend backend;
    char why[BACKEND_WHY_SIZE];

    (void)state;
    assert_false(read_entry("cn sv9\n", &backend, why));
    assert_string_equal(why, "backendAddress: expected one to four values");
}

static void what_the_command_is_told_is_the_backend_again(void **state)
{
    const struct health_config health = { .ramp_s = 60, .ramp_first = 5 };
    struct board *board = board_new();
    struct board_backend *row;
    struct backend backend, again;
    char why[BACKEND_WHY_SIZE];
    json_t *status;

    (void)state;
    assert_true(read_entry("cn sv9\nbackendAddress ::1\nbackendAddress b.example\n"
                           "backendWeight 5\nbackendState down\n",
                           &backend, why));
    row = board_backend(board, backend_key(&backend));
    atomic_store(&row->health[PROTOCOL_IMAP].state, BOARD_HEALTH_DOWN);
    ramp_arm(&row->health[PROTOCOL_IMAP].returning);
    atomic_store(&row->health[PROTOCOL_LMTP].state, BOARD_HEALTH_UP);
    ramp_arm(&row->health[PROTOCOL_LMTP].returning);
    status = backend_status(&backend, board, &health);
    assert_true(backend_from_status(status, &again));
    assert_true(backend_equals(&backend, &again));
    assert_string_equal(json_string_value(json_object_get(status, "source")), "directory");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(status, "imap"), "state")), "down");
    assert_true(json_is_false(json_object_get(json_object_get(status, "imap"), "is_ramped")));
    assert_true(json_is_true(json_object_get(json_object_get(status, "lmtp"), "is_ramped")));
    assert_true(json_is_false(json_object_get(json_object_get(status, "pop3"), "is_ramped")));
    json_object_del(status, "addresses");
    assert_false(backend_from_status(status, &again));
    json_decref(status);
    board_free(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_and_an_address_are_enough),
        cmocka_unit_test(all_of_an_entry_is_read),
        cmocka_unit_test(whatever_is_wrong_the_entry_is_not_taken),
        cmocka_unit_test(an_entry_without_an_address_is_not_taken),
        cmocka_unit_test(what_the_command_is_told_is_the_backend_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
