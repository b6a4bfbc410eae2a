/* SPDX-License-Identifier: Apache-2.0 */
/* The set of backends: what joins, changes and leaves, and what a session may keep of it. */
#include "tests/unit/unit.h"

#include "common/service/backend_set.h"

static struct backend_config configured = {
    .name = (char[]){ "sv1" }, .address = (char[]){ "10.0.1.11" }, .lmtp_port = 24, .weight = 3
};
static const struct config config = { .cluster = { .backends = &configured, .backend_count = 1 },
                                      .backend_tls = { .name =
                                                           (char[]){ "%b.mail.example.org" } } };

static struct backend listed(const char *name, const char *address)
{
    struct backend backend = { .address_count = 1,
                               .lmtp_port = 24,
                               .imap_port = 143,
                               .pop3_port = 110,
                               .sieve_port = 4199,
                               .weight = 1,
                               .is_from_directory = true };

    snprintf(backend.name, sizeof(backend.name), "%s", name);
    snprintf(backend.addresses[0], sizeof(backend.addresses[0]), "%s", address);
    return backend;
}

static int set_up(void **state)
{
    struct backend_set *set = calloc(1, sizeof(*set));

    backend_set_init(set, &config);
    *state = set;
    return 0;
}

static int tear_down(void **state)
{
    backend_set_fini(*state);
    free(*state);
    return 0;
}

static void those_of_the_configuration_are_there_from_the_start(void **state)
{
    const struct backend *backend = backend_set_find(*state, "sv1");

    assert_non_null(backend);
    assert_string_equal(backend->addresses[0], "10.0.1.11");
    assert_string_equal(backend->tls_name, "10.0.1.11");
    assert_int_equal(backend->weight, 3);
    assert_false(backend->is_from_directory);
    assert_null(backend_set_find(*state, "SV1"));
}

static void one_that_is_listed_joins_and_leaves_and_its_id_leads_nowhere_then(void **state)
{
    struct backend_set *set = *state;
    struct backend one = listed("sv9", "10.0.1.19");
    unsigned id;

    assert_true(backend_set_update(set, &one, 1));
    id = backend_set_find(set, "sv9")->id;
    assert_string_equal(backend_set_by_id(set, id)->name, "sv9");
    assert_false(backend_set_update(set, &one, 1));
    assert_true(backend_set_update(set, NULL, 0));
    assert_null(backend_set_find(set, "sv9"));
    assert_null(backend_set_by_id(set, id));
    assert_non_null(backend_set_find(set, "sv1"));
    assert_true(backend_set_update(set, &one, 1));
    assert_int_not_equal(backend_set_find(set, "sv9")->id, id);
}

static void one_that_changes_keeps_its_id_but_not_the_key_of_its_health(void **state)
{
    struct backend_set *set = *state;
    struct backend one = listed("sv9", "10.0.1.19");
    uint64_t key;
    unsigned id;

    backend_set_update(set, &one, 1);
    id = backend_set_find(set, "sv9")->id;
    key = backend_set_find(set, "sv9")->key;
    one.state = BACKEND_LEAVING;
    assert_true(backend_set_update(set, &one, 1));
    assert_int_equal(backend_set_by_id(set, id)->state, BACKEND_LEAVING);
    assert_true(backend_set_by_id(set, id)->key == key);
    strcpy(one.addresses[0], "10.0.1.20");
    assert_true(backend_set_update(set, &one, 1));
    assert_true(backend_set_by_id(set, id)->key != key);
}

static void the_configuration_wins_over_the_directory(void **state)
{
    struct backend_set *set = *state;
    struct backend two[] = { listed("sv1", "192.0.2.1"), listed("sv9", "10.0.1.19") };

    assert_true(backend_set_update(set, two, 2));
    assert_int_equal(set->count, 2);
    assert_string_equal(backend_set_find(set, "sv1")->addresses[0], "10.0.1.11");
    two[0] = listed("sv9", "192.0.2.1"); /* and the first of two with one name */
    assert_true(backend_set_update(set, two, 2));
    assert_string_equal(backend_set_find(set, "sv9")->addresses[0], "192.0.2.1");
}

static void the_name_in_the_certificate_is_the_configurations_to_say(void **state)
{
    struct backend_set *set = *state;
    struct backend one = listed("sv9", "192.0.2.1");

    strcpy(one.tls_name, "evil.example.com");
    backend_set_update(set, &one, 1);
    assert_string_equal(backend_set_find(set, "sv9")->tls_name, "sv9.mail.example.org");
}

static void a_name_that_makes_too_long_a_name_in_a_certificate_is_left_out(void **state)
{
    static char pattern[] = "%b%b%b";
    const struct config long_config = { .backend_tls = { .name = pattern } };
    struct backend_set set;
    struct backend one = listed("", "192.0.2.1");

    (void)state;
    memset(one.name, 'x', sizeof(one.name) - 1);
    backend_set_init(&set, &long_config);
    assert_false(backend_set_update(&set, &one, 1));
    assert_int_equal(set.count, 0);
    backend_set_fini(&set);
}

static void a_packed_list_gives_the_same_and_a_malformed_one_changes_nothing(void **state)
{
    struct backend_set *set = *state;
    struct backend one = listed("sv9", "2001:db8::9");
    char memory[2 * BACKEND_WIRE_MAX];
    struct buffer list = buffer_over(memory, sizeof(memory));
    bool has_changed = false;

    one.address_count = 2;
    strcpy(one.addresses[1], "sv9.example.org");
    one.state = BACKEND_DOWN;
    one.weight = 7;
    backend_put(&list, &one);
    assert_true(backend_set_update_packed(set, buffer_span(&list), &has_changed));
    assert_true(has_changed);
    assert_false(backend_set_update(set, &one, 1));
    for (size_t length = 1; length < list.length; length++)
        assert_false(backend_set_update_packed(set, span_of(memory, length), &has_changed));
    assert_non_null(backend_set_find(set, "sv9"));
}

static void many_join_and_leave(void **state)
{
    static struct backend many[BACKENDS_MAX];
    struct backend_set *set = *state;
    char name[16];

    for (int i = 0; i < BACKENDS_MAX; i++) {
        snprintf(name, sizeof(name), "b%d", i);
        many[i] = listed(name, "192.0.2.1");
    }
    assert_true(backend_set_update(set, many, BACKENDS_MAX));
    assert_int_equal(set->count, BACKENDS_MAX + 1);
    assert_true(backend_set_update(set, many + 1, BACKENDS_MAX / 2));
    assert_int_equal(set->count, BACKENDS_MAX / 2 + 1);
    assert_null(backend_set_find(set, "b0"));
    assert_non_null(backend_set_find(set, "b1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(those_of_the_configuration_are_there_from_the_start),
        TEST(one_that_is_listed_joins_and_leaves_and_its_id_leads_nowhere_then),
        TEST(one_that_changes_keeps_its_id_but_not_the_key_of_its_health),
        TEST(the_configuration_wins_over_the_directory),
        TEST(the_name_in_the_certificate_is_the_configurations_to_say),
        TEST(a_name_that_makes_too_long_a_name_in_a_certificate_is_left_out),
        TEST(a_packed_list_gives_the_same_and_a_malformed_one_changes_nothing),
        TEST(many_join_and_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
