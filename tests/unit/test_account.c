/* SPDX-License-Identifier: Apache-2.0 */
/* From entries to accounts: names, kinds, hosts, and which entries are relayed. */
#include "tests/unit/unit.h"

#include <fcntl.h>

#include "common/base/log.h"
#include "directory/account.h"
#include "directory/ldap_filter.h"

static char *text(const char *string)
{
    return (char *)(uintptr_t)string;
}

/* --- filters ------------------------------------------------------------------------ */

static const struct span groups[] = { SPAN_LITERAL("top"), SPAN_LITERAL("Mailing List") };
static const struct span owner[] = { SPAN_LITERAL("a(b)*c") };
static const struct ldap_attribute group_attributes[] = {
    { SPAN_LITERAL("objectClass"), groups, 2 }, { SPAN_LITERAL("owner"), owner, 1 }
};
static const struct ldap_entry group = { "cn=g", NULL, group_attributes, 2 };

static bool matches(const char *string)
{
    struct ldap_filter *filter = ldap_filter_parse(span_from_string(string));
    bool result;

    assert_non_null(filter);
    result = ldap_filter_matches(filter, &group);
    ldap_filter_free(filter);
    return result;
}

static void filters_match_as_a_server_would(void **state)
{
    (void)state;
    assert_true(matches("(objectclass=mailing list)"));
    assert_false(matches("(objectclass=mailing)"));
    assert_true(matches("(objectClass=*)"));
    assert_false(matches("(mail=*)"));
    assert_true(matches("(&(objectClass=top)(owner=*))"));
    assert_false(matches("(&(objectClass=top)(mail=*))"));
    assert_true(matches("(|(mail=*)(objectClass=TOP))"));
    assert_false(matches("(|(mail=*)(mail=a))"));
    assert_true(matches("(!(mail=*))"));
    assert_true(matches("(&)"));
    assert_false(matches("(|)"));
    assert_true(matches("(owner=a\\28b\\29\\2Ac)"));
}

static void substrings_match_in_their_order(void **state)
{
    (void)state;
    assert_true(matches("(objectClass=mail*)"));
    assert_true(matches("(objectClass=*list)"));
    assert_true(matches("(objectClass=m*ing*t)"));
    assert_true(matches("(objectClass=*i*i*i*)"));
    assert_false(matches("(objectClass=*list*mail*)"));
    assert_false(matches("(objectClass=mailing listmailing list*)"));
    assert_false(matches("(objectClass=*list*list)"));
    assert_false(matches("(objectClass=to*op)"));
}

static void filters_that_are_not_known_are_refused(void **state)
{
    static const char *const filters[] = {
        "",        "a=b",           "(a=b",   "(a=b))",  "(=b)",    "(a)",
        "(a=)",    "(a>=b)",        "(a<=b)", "(a~=b)",  "(a:=b)",  "(a=\\zz)",
        "(a=\\2)", "(!(a=b)(c=d))", "(!)",    "(a=(b))", "(&(a=b)", "(a=1*2*3*4*5*6*7*8*9)",
    };
    char deep[200];

    (void)state;
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
        assert_null(ldap_filter_parse(span_from_string(filters[i])));
    memset(deep, 0, sizeof(deep));
    for (size_t i = 0; i < 30; i++)
        strcat(deep, "(!");
    assert_null(ldap_filter_parse(span_from_string(deep)));
}

/* --- accounts --------------------------------------------------------------------------- */

static char *addresses[] = { NULL, NULL }, *logins[] = { NULL, NULL };

static struct directory_config make_config(void)
{
    struct directory_config config = { .base = text("dc=a") };

    addresses[0] = text("mail");
    addresses[1] = text("mailAlias");
    logins[0] = text("uid");
    logins[1] = text("mail");
    config.filter = text("(objectClass=account)");
    config.relay_filter = text("(objectClass=group)");
    config.address_attributes = (struct string_list){ addresses, 2 };
    config.login_attributes = (struct string_list){ logins, 2 };
    config.host_attribute = text("hostServer");
    config.old_host_attribute = text("oldHostServer");
    config.store_name_attribute = text("mail");
    return config;
}

enum { VALUES_MAX = 3 };

/* One attribute for a test: its name and values, ended by NULL. */
struct given {
    const char *name;
    const char *values[VALUES_MAX];
};

static struct account_reader *reader;
static char described[2048];

/* "NAME:host/old key:kinds ..." of the account that the attributes make, or NULL. */
static const char *read_account(const struct given *given, size_t count)
{
    static const unsigned char uuid[SYNC_UUID_SIZE];
    struct sync_entry_value sync = { .uuid = uuid };
    struct span values[8][VALUES_MAX];
    struct ldap_attribute attributes[8];
    struct ldap_entry entry = { "uid=a", &sync, attributes, count };
    struct mirror_account account;

    for (size_t i = 0; i < count; i++) {
        attributes[i] = (struct ldap_attribute){ span_from_string(given[i].name), values[i], 0 };
        while (attributes[i].value_count < VALUES_MAX &&
               given[i].values[attributes[i].value_count]) {
            values[i][attributes[i].value_count] =
                span_from_string(given[i].values[attributes[i].value_count]);
            attributes[i].value_count++;
        }
    }
    if (!account_read(reader, &entry, &account))
        return NULL;
    snprintf(described, sizeof(described), "%.*s/%.*s%s%s", SPAN_PRINTF(account.host),
             SPAN_PRINTF(account.old_host), account.has_several_hosts ? " several" : "",
             account.is_relayed ? " relayed" : "");
    for (size_t i = 0; i < account.key_count; i++)
        snprintf(described + strlen(described), sizeof(described) - strlen(described), " %.*s:%u",
                 SPAN_PRINTF(account.keys[i].value), account.keys[i].kinds);
    return described;
}

#define READ(...)                                                                                  \
    read_account((const struct given[]){ __VA_ARGS__ },                                            \
                 sizeof((const struct given[]){ __VA_ARGS__ }) / sizeof(struct given))

static int set_up(void **state)
{
    static struct directory_config config;

    (void)state;
    log_set_descriptor(open("/dev/null", O_WRONLY));
    config = make_config();
    reader = account_reader_new(&config);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    account_reader_free(reader);
    return 0;
}

static void addresses_and_logins_are_keys_of_their_kinds(void **state)
{
    (void)state;
    assert_string_equal(READ({ "uid", { "Ann" } }, { "mail", { "ann@a.example" } },
                             { "mailalias", { "a@a.example", "b@A.example" } },
                             { "hostServer", { "sv1" } }, { "oldHostServer", { "sv2" } }),
                        "sv1/sv2 ann@a.example:3 ann:2 a@a.example:1 b@a.example:1");
}

static void the_canonical_name_stays_as_it_is_written(void **state)
{
    (void)state;
    assert_string_equal(READ({ "mail", { "Ann@A.example", "ann2@a.example" } }),
                        "/ Ann@A.example:0 ann@a.example:3 ann2@a.example:3");
}

static void without_its_attribute_any_address_or_login_is_the_name(void **state)
{
    (void)state;
    assert_string_equal(READ({ "mailAlias", { "a@a.example" } }), "/ a@a.example:1");
    assert_string_equal(READ({ "uid", { "ann" } }), "/ ann:2");
    assert_null(READ({ "hostServer", { "sv1" } }));
}

static void values_that_can_be_no_key_are_left_out(void **state)
{
    (void)state;
    assert_string_equal(READ({ "mail", { "ann@a.example", "x\ny@a.example" } }, { "uid", { "" } }),
                        "/ ann@a.example:3");
    assert_null(READ({ "mail", { "x\ny@a.example" } }));
}

static void a_catch_all_is_no_login(void **state)
{
    (void)state;
    assert_string_equal(READ({ "mail", { "ann@a.example", "@A.example" } }),
                        "/ ann@a.example:3 @a.example:1");
}

static void two_hosts_are_several_and_none_is_taken(void **state)
{
    (void)state;
    assert_string_equal(READ({ "uid", { "a" } }, { "hostServer", { "sv1", "sv2" } }),
                        "/ several a:2");
    assert_string_equal(READ({ "uid", { "a" } }, { "hostServer", { "sv\n1" } }), "/ several a:2");
}

static void nobody_logs_in_as_a_relayed_entry(void **state)
{
    (void)state;
    assert_string_equal(
        READ({ "mail", { "g@a.example" } }, { "uid", { "g" } }, { "objectClass", { "group" } }),
        "/ relayed g@a.example:1");
    assert_string_equal(READ({ "mail", { "g@a.example" } }, { "uid", { "g" } },
                             { "objectClass", { "group" } }, { "hostServer", { "sv1" } }),
                        "sv1/ relayed g@a.example:3 g:2");
}

static bool asks_for(const char *name)
{
    for (const char *const *attribute = account_attributes(reader); *attribute; attribute++)
        if (strcmp(*attribute, name) == 0)
            return true;
    return false;
}

static void every_attribute_that_is_needed_is_asked_for(void **state)
{
    (void)state;
    assert_true(asks_for("hostServer") && asks_for("oldHostServer") && asks_for("mail") &&
                asks_for("mailAlias") && asks_for("uid") && asks_for("objectClass"));
    assert_string_equal(account_filter(reader), "(|(objectClass=account)(objectClass=group))");
}

static void the_source_names_all_that_the_content_depends_on(void **state)
{
    struct directory_config config = make_config();
    struct account_reader *other;

    (void)state;
    other = account_reader_new(&config);
    assert_string_equal(account_source(other), account_source(reader));
    account_reader_free(other);
    config.store_name_attribute = text("uid");
    other = account_reader_new(&config);
    assert_string_not_equal(account_source(other), account_source(reader));
    account_reader_free(other);
    config = make_config();
    config.relay_filter = NULL;
    other = account_reader_new(&config);
    assert_string_not_equal(account_source(other), account_source(reader));
    assert_string_equal(account_filter(other), "(objectClass=account)");
    account_reader_free(other);
}

#define account_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_match_as_a_server_would),
        cmocka_unit_test(substrings_match_in_their_order),
        cmocka_unit_test(filters_that_are_not_known_are_refused),
        account_test(addresses_and_logins_are_keys_of_their_kinds),
        account_test(the_canonical_name_stays_as_it_is_written),
        account_test(without_its_attribute_any_address_or_login_is_the_name),
        account_test(values_that_can_be_no_key_are_left_out),
        account_test(a_catch_all_is_no_login),
        account_test(two_hosts_are_several_and_none_is_taken),
        account_test(nobody_logs_in_as_a_relayed_entry),
        account_test(every_attribute_that_is_needed_is_asked_for),
        account_test(the_source_names_all_that_the_content_depends_on),
    };

    return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
