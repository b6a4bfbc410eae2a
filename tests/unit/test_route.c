/* SPDX-License-Identifier: Apache-2.0 */
/* Every outcome of a lookup, and the order in which keys are tried. */
#include "tests/unit/unit.h"

#include "directory/route.h"

struct table_row {
    const char *value;
    bool is_login;
    enum route_found found;
    struct route_entry entry;
};

#define ADDRESS(key, name, owner)                                                                  \
    {                                                                                              \
        key, false, ROUTE_FIND_ONE,                                                                \
        {                                                                                          \
            name, owner, "", false, false                                                          \
        }                                                                                          \
    }
#define LOGIN(key, name, owner)                                                                    \
    {                                                                                              \
        key, true, ROUTE_FIND_ONE,                                                                 \
        {                                                                                          \
            name, owner, "", false, false                                                          \
        }                                                                                          \
    }

static const struct table_row table[] = {
    ADDRESS("ann@example.org", "Ann@example.org", "sv1"),
    ADDRESS("bob@example.org", "bob@example.org", "sv2"),
    ADDRESS("bob+spam@example.org", "spam@example.org", "sv3"),
    ADDRESS("@catch.example", "all@catch.example", "sv3"),
    ADDRESS("one@catch.example", "one@catch.example", "sv1"),
    ADDRESS("joe@xn--bcher-kva.example", "joe@xn--bcher-kva.example", "sv1"),
    ADDRESS("own@alias.example", "own@alias.example", "sv4"),
    ADDRESS("own@example.org", "own@example.org", "sv1"),
    ADDRESS("@catch-alias.example", "all@catch-alias.example", "sv4"),
    ADDRESS("\"two words\"@example.org", "\"Two Words\"@example.org", "sv2"),
    ADDRESS("postmaster@example.org", "ann@example.org", "sv1"),
    ADDRESS("nohost@example.org", "nohost@example.org", ""),
    ADDRESS("store@example.org", "store", "sv1"),
    { "group@example.org", false, ROUTE_FIND_ONE, { "group@example.org", "", "", false, true } },
    { "hosted@example.org",
      false,
      ROUTE_FIND_ONE,
      { "hosted@example.org", "sv1", "", false, true } },
    { "moved@example.org",
      false,
      ROUTE_FIND_ONE,
      { "moved@example.org", "sv2", "sv1", false, false } },
    { "two@example.org", false, ROUTE_FIND_ONE, { "two@example.org", "sv1", "", true, false } },
    { "twice@example.org", false, ROUTE_FIND_SEVERAL, { "", "", "", false, false } },
    { "broken@example.org", false, ROUTE_FIND_FAILED, { "", "", "", false, false } },
    LOGIN("ann", "ann@example.org", "sv1"),
    LOGIN("ann@example.org", "ann@example.org", "sv1"),
    LOGIN("eve@other.example", "eve@other.example", "sv2"),
    LOGIN("@catch.example", "all@catch.example", "sv3"),
    { "twice", true, ROUTE_FIND_SEVERAL, { "", "", "", false, false } },
};

static char asked[512]; /* every key that was looked up, in order */

static enum route_found table_find(void *context, enum route_key key, struct span value,
                                   struct route_entry *entry)
{
    (void)context;
    snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%.*s ", SPAN_PRINTF(value));
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].is_login == (key == ROUTE_KEY_LOGIN) &&
            span_equals(value, span_from_string(table[i].value))) {
            if (table[i].found == ROUTE_FIND_ONE)
                *entry = table[i].entry;
            return table[i].found;
        }
    return ROUTE_FIND_NONE;
}

static const char *alias_of(const void *context, const char *domain)
{
    (void)context;
    if (strcmp(domain, "alias.example") == 0 || strcmp(domain, "xn--alis-7na.example") == 0)
        return "example.org";
    if (strcmp(domain, "catch-alias.example") == 0 || strcmp(domain, "far-alias.example") == 0)
        return "catch.example";
    return NULL;
}

static bool has_domain(const void *context, const char *domain)
{
    (void)context;
    return strcmp(domain, "example.org") == 0 || strcmp(domain, "catch.example") == 0 ||
           strcmp(domain, "xn--bcher-kva.example") == 0 || alias_of(context, domain);
}

static const struct route_rules rules = { has_domain, alias_of,          NULL,
                                          "+",        "mx1.example.net", "example.org" };
static const struct route_source source = { table_find, NULL };

static struct route mail(const char *address)
{
    struct route route;

    asked[0] = '\0';
    route_address(&rules, &source, span_from_string(address), &route);
    return route;
}

static struct route login(const char *name, const char *default_domain)
{
    struct route route;

    asked[0] = '\0';
    route_login(&rules, &source, span_from_string(name), default_domain, &route);
    return route;
}

static void an_exact_address_is_found_without_further_lookups(void **state)
{
    struct route route = mail("Ann@Example.ORG");

    (void)state;
    assert_int_equal(route.outcome, ROUTE_FOUND);
    assert_int_equal(route.rule, ROUTE_RULE_EXACT);
    assert_string_equal(route.key, "ann@example.org");
    assert_string_equal(route.account, "Ann@example.org");
    assert_string_equal(route.recipient, "Ann@example.org");
    assert_string_equal(route.host, "sv1");
    assert_string_equal(route.old_host, "");
    assert_null(route.reason);
    assert_string_equal(asked, "ann@example.org ");
}

static void the_order_is_exact_then_without_detail_then_catch_all(void **state)
{
    (void)state;
    assert_int_equal(mail("nobody+x@catch.example").rule, ROUTE_RULE_CATCH_ALL);
    assert_string_equal(asked, "nobody+x@catch.example nobody@catch.example @catch.example ");
}

static void an_exact_address_with_a_delimiter_wins_over_its_base(void **state)
{
    struct route route = mail("bob+spam@example.org");

    (void)state;
    assert_int_equal(route.rule, ROUTE_RULE_EXACT);
    assert_string_equal(route.host, "sv3");
    assert_string_equal(route.recipient, "spam@example.org");
}

static void a_detail_is_kept_as_written_in_the_recipient(void **state)
{
    struct route route = mail("BOB+Lists+C@example.org");

    (void)state;
    assert_int_equal(route.outcome, ROUTE_FOUND);
    assert_int_equal(route.rule, ROUTE_RULE_DETAIL);
    assert_string_equal(route.key, "bob@example.org");
    assert_string_equal(route.account, "bob@example.org");
    assert_string_equal(route.recipient, "bob+Lists+C@example.org");
}

static void a_canonical_name_without_domain_takes_the_detail_at_its_end(void **state)
{
    (void)state;
    assert_string_equal(mail("store+d@example.org").recipient, "store+d");
}

static void an_alias_domain_comes_after_the_address_itself_and_before_any_catch_all(void **state)
{
    struct route route = mail("ANN@Alias.example");

    (void)state;
    assert_int_equal(route.outcome, ROUTE_FOUND);
    assert_int_equal(route.rule, ROUTE_RULE_ALIAS);
    assert_string_equal(route.key, "ann@example.org");
    assert_string_equal(route.recipient, "Ann@example.org");
    assert_string_equal(asked, "ann@alias.example ann@example.org ");
    assert_string_equal(mail("own@alias.example").host, "sv4");
    assert_string_equal(asked, "own@alias.example ");
    assert_string_equal(mail("own+x@alias.example").host, "sv4");
    assert_string_equal(asked, "own+x@alias.example own@alias.example ");
    assert_string_equal(mail("one@catch-alias.example").host, "sv1");
    assert_int_equal(mail("nobody+x@alias.example").outcome, ROUTE_UNKNOWN);
    assert_string_equal(asked, "nobody+x@alias.example nobody@alias.example nobody+x@example.org "
                               "nobody@example.org @alias.example @example.org ");
}

static void a_detail_is_kept_under_an_alias_domain_unless_it_is_part_of_the_address(void **state)
{
    struct route route = mail("Bob+News@alias.example");

    (void)state;
    assert_int_equal(route.rule, ROUTE_RULE_ALIAS);
    assert_string_equal(route.key, "bob@example.org");
    assert_string_equal(route.recipient, "bob+News@example.org");
    assert_string_equal(mail("bob+spam@alias.example").recipient, "spam@example.org");
}

static void the_alias_domains_own_catch_all_comes_before_that_of_the_other(void **state)
{
    struct route route = mail("nobody+x@catch-alias.example");

    (void)state;
    assert_int_equal(route.rule, ROUTE_RULE_CATCH_ALL);
    assert_string_equal(route.key, "@catch-alias.example");
    assert_string_equal(route.recipient, "all@catch-alias.example");
    route = mail("nobody@far-alias.example");
    assert_int_equal(route.rule, ROUTE_RULE_CATCH_ALL);
    assert_string_equal(route.recipient, "all@catch.example");
    assert_string_equal(asked, "nobody@far-alias.example nobody@catch.example "
                               "@far-alias.example @catch.example ");
}

static void an_alias_domain_of_u_labels_is_one(void **state)
{
    (void)state;
    assert_string_equal(mail("ann@Ali\xc3\xa1"
                             "s.example")
                            .host,
                        "sv1");
    assert_string_equal(mail("ann@XN--ALIS-7NA.example").host, "sv1");
}

static void a_login_goes_through_the_alias_domain_and_through_no_catch_all(void **state)
{
    struct route route = login("Ann+x@alias.example", NULL);

    (void)state;
    assert_int_equal(route.rule, ROUTE_RULE_ALIAS);
    assert_string_equal(route.account, "ann@example.org");
    assert_int_equal(login("nobody@catch-alias.example", NULL).outcome, ROUTE_UNKNOWN);
    assert_string_equal(asked, "nobody@catch-alias.example nobody@catch.example ");
    login("nobody+x", "Alias.example");
    assert_string_equal(asked, "nobody+x nobody+x@alias.example nobody nobody@alias.example "
                               "nobody+x@example.org nobody@example.org ");
}

static void a_leading_delimiter_and_a_quoted_local_part_have_no_detail(void **state)
{
    (void)state;
    assert_int_equal(mail("+x@example.org").outcome, ROUTE_UNKNOWN);
    assert_string_equal(asked, "+x@example.org @example.org ");
    assert_int_equal(mail("\"bob +x\"@example.org").outcome, ROUTE_UNKNOWN);
    assert_string_equal(asked, "\"bob +x\"@example.org @example.org ");
}

static void quotes_that_are_not_needed_make_no_other_address(void **state)
{
    (void)state;
    assert_string_equal(mail("\"Ann\"@example.org").key, "ann@example.org");
    assert_string_equal(mail("\"a\\nn\"@example.org").key, "ann@example.org");
    assert_string_equal(mail("\"BOB+X\"@example.org").recipient, "bob+X@example.org");
    assert_string_equal(mail("\"two\\ Words\"@example.org").account, "\"Two Words\"@example.org");
}

static void what_needs_quotes_keeps_them(void **state)
{
    static const char *const rows[][2] = {
        { "\"\"@x.example", "\"\"@x.example" },
        { "\"a..b\"@x.example", "\"a..b\"@x.example" },
        { "\".a\"@x.example", "\".a\"@x.example" },
        { "\"A@b\"@x.example", "\"a@b\"@x.example" },
        { "\"a\\\"\\\\\"@x.example", "\"a\\\"\\\\\"@x.example" },
        { "\"a\"b\"@x.example", "\"a\"b\"@x.example" }, /* no quoted string: as it is */
        { "\"a\\\"@x.example", "\"a\\\"@x.example" },
        { "\"@x.example", "\"@x.example" },
        { "\"a.b\"", "a.b" },
    };
    char normal[ROUTE_ADDRESS_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(route_normalise(span_from_string(rows[i][0]), normal));
        assert_string_equal(normal, rows[i][1]);
    }
}

static void a_dot_at_the_end_of_the_domain_is_no_part_of_it(void **state)
{
    char normal[ROUTE_ADDRESS_SIZE];

    (void)state;
    assert_string_equal(mail("ann@example.org.").host, "sv1");
    assert_string_equal(mail("joe@B\xc3\xbc"
                             "cher.example\xe3\x80\x82")
                            .host,
                        "sv1");
    assert_true(route_normalise(SPAN_LITERAL("ann."), normal));
    assert_string_equal(normal, "ann.");
    assert_int_equal(mail("ann@.").outcome, ROUTE_NOT_OURS);
}

static void a_name_with_a_labels_has_a_form_with_u_labels(void **state)
{
    char text[ROUTE_ADDRESS_SIZE];

    (void)state;
    assert_true(route_to_u_labels("joe@xn--bcher-kva.example", text));
    assert_string_equal(text, "joe@b\xc3\xbc"
                              "cher.example");
    assert_false(route_to_u_labels("joe@example.org", text));
    assert_false(route_to_u_labels("xn--bcher-kva", text));
    assert_false(route_to_u_labels("joe@xn--\x7f.example", text));
}

static void the_catch_all_is_for_mail_and_not_for_logins(void **state)
{
    struct route route = mail("nobody@catch.example");

    (void)state;
    assert_int_equal(route.outcome, ROUTE_FOUND);
    assert_string_equal(route.key, "@catch.example");
    assert_string_equal(route.recipient, "all@catch.example");
    assert_int_equal(mail("one@catch.example").rule, ROUTE_RULE_EXACT);
    assert_int_equal(login("nobody@catch.example", NULL).outcome, ROUTE_UNKNOWN);
    assert_int_equal(login("@catch.example", NULL).outcome, ROUTE_UNKNOWN);
    assert_int_equal(mail("@catch.example").outcome, ROUTE_UNKNOWN);
}

static void an_unknown_address_names_the_key_to_confirm(void **state)
{
    struct route route = mail("Nobody+x@Example.org");

    (void)state;
    assert_int_equal(route.outcome, ROUTE_UNKNOWN);
    assert_int_equal(route.rule, ROUTE_RULE_NONE);
    assert_string_equal(route.key, "nobody+x@example.org");
    assert_string_equal(route.host, "");
}

static void a_foreign_domain_is_not_ours_and_not_looked_up(void **state)
{
    (void)state;
    assert_int_equal(mail("ann@elsewhere.example").outcome, ROUTE_NOT_OURS);
    assert_int_equal(mail("ann@example.org@elsewhere.example").outcome, ROUTE_NOT_OURS);
    assert_string_equal(asked, "");
}

static void bare_postmaster_is_the_account_of_the_first_domain(void **state)
{
    struct route route = mail("PostMaster");

    (void)state;
    assert_int_equal(route.outcome, ROUTE_FOUND);
    assert_string_equal(route.key, "postmaster@example.org");
    assert_string_equal(route.account, "ann@example.org");
    assert_int_equal(mail("postmaster@MX1.example.net").outcome, ROUTE_FOUND);
    assert_int_equal(mail("postmaster@elsewhere.example").outcome, ROUTE_NOT_OURS);
    assert_int_equal(mail("postmasters").outcome, ROUTE_UNKNOWN);
}

static void bare_postmaster_without_account_is_never_unknown(void **state)
{
    struct route_rules lonely = rules;
    struct route route;

    (void)state;
    lonely.first_domain = "empty.example";
    route_address(&lonely, &source, SPAN_LITERAL("postmaster"), &route);
    assert_int_equal(route.outcome, ROUTE_MISCONFIGURED);
    assert_non_null(route.reason);
}

static void an_entry_that_cannot_be_used_is_misconfigured_with_a_reason(void **state)
{
    static const char *const addresses[] = { "nohost@example.org", "two@example.org",
                                             "twice@example.org" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct route route = mail(addresses[i]);

        assert_int_equal(route.outcome, ROUTE_MISCONFIGURED);
        assert_non_null(route.reason);
    }
    assert_int_equal(login("twice", NULL).outcome, ROUTE_MISCONFIGURED);
}

static void an_ambiguous_address_does_not_fall_through_to_the_catch_all(void **state)
{
    (void)state;
    assert_int_equal(mail("twice@example.org").outcome, ROUTE_MISCONFIGURED);
    assert_string_equal(asked, "twice@example.org ");
}

static void relay_entries_go_to_the_relay_host_unless_they_have_a_host(void **state)
{
    (void)state;
    assert_int_equal(mail("group@example.org").outcome, ROUTE_RELAY);
    assert_int_equal(mail("hosted@example.org").outcome, ROUTE_FOUND);
}

static void the_old_host_is_told(void **state)
{
    struct route route = mail("moved@example.org");

    (void)state;
    assert_string_equal(route.host, "sv2");
    assert_string_equal(route.old_host, "sv1");
}

static void a_source_that_fails_is_unavailable_and_never_unknown(void **state)
{
    struct route route = mail("broken@example.org");

    (void)state;
    assert_int_equal(route.outcome, ROUTE_UNAVAILABLE);
    assert_non_null(route.reason);
    assert_int_equal(mail("broken+x@example.org").outcome, ROUTE_UNAVAILABLE);
}

static void a_login_is_found_by_uid_or_by_address(void **state)
{
    (void)state;
    assert_string_equal(login("ANN", NULL).account, "ann@example.org");
    assert_string_equal(login("ann@example.org", NULL).host, "sv1");
    assert_int_equal(login("bob@example.org", NULL).outcome, ROUTE_UNKNOWN);
    assert_int_equal(login("ann+x@example.org", NULL).rule, ROUTE_RULE_DETAIL);
}

static void a_login_without_domain_gets_the_default_one_after_the_bare_name(void **state)
{
    struct route route = login("eve", "Other.example");

    (void)state;
    assert_int_equal(route.outcome, ROUTE_FOUND);
    assert_string_equal(route.key, "eve@other.example");
    assert_string_equal(asked, "eve eve@other.example ");
    assert_string_equal(login("ann", "other.example").key, "ann");
    assert_int_equal(login("eve", NULL).outcome, ROUTE_UNKNOWN);
    login("nobody+x", "other.example");
    assert_string_equal(asked, "nobody+x nobody+x@other.example nobody nobody@other.example ");
}

static void domains_compare_as_a_labels(void **state)
{
    char normal[ROUTE_ADDRESS_SIZE];

    (void)state;
    assert_int_equal(mail("joe@B\xc3\xbc"
                          "cher.example")
                         .outcome,
                     ROUTE_FOUND);
    assert_true(route_normalise(SPAN_LITERAL("J\xc3\xb6@B\xc3\x9c"
                                             "CHER.example"),
                                normal));
    assert_string_equal(normal, "j\xc3\xb6@xn--bcher-kva.example");
    assert_false(route_normalise(SPAN_LITERAL("a@b\xff.example"), normal));
    assert_true(route_normalise(SPAN_LITERAL("A_B@_under.Score"), normal));
    assert_string_equal(normal, "a_b@_under.score");
}

static void what_can_be_no_key_is_unknown_with_an_empty_key(void **state)
{
    char normal[ROUTE_ADDRESS_SIZE], text[ROUTE_ADDRESS_SIZE + 1];

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_false(route_normalise(span_of(text, ROUTE_ADDRESS_SIZE), normal));
    assert_string_equal(normal, "");
    assert_true(route_normalise(span_of(text, ROUTE_ADDRESS_SIZE - 1), normal));
    assert_int_equal(strlen(normal), ROUTE_ADDRESS_SIZE - 1);
    assert_false(route_normalise(SPAN_EMPTY, normal));
    assert_false(route_normalise(span_of("a\0b", 3), normal));
    assert_false(route_normalise(SPAN_LITERAL("a\r\nb"), normal));
    assert_false(route_normalise(SPAN_LITERAL("a\x7f"
                                              "b"),
                                 normal));
    assert_int_equal(mail("a\nb@example.org").outcome, ROUTE_UNKNOWN);
    assert_string_equal(mail("a\nb@example.org").key, "");
}

static void a_recipient_that_would_be_too_long_loses_its_detail(void **state)
{
    char address[ROUTE_ADDRESS_SIZE];
    struct route route;

    (void)state;
    memset(address, 'd', sizeof(address));
    memcpy(address, "store+", 6);
    memcpy(address + sizeof(address) - 13, "@example.org", 13);
    route = mail(address);
    assert_int_equal(route.outcome, ROUTE_FOUND);
    assert_int_equal(strlen(route.recipient), strlen(address) - strlen("@example.org"));
    memcpy(address, "bob+", 4);
    assert_int_equal(strlen(mail(address).recipient), strlen(address));
}

static void outcomes_and_rules_have_names(void **state)
{
    (void)state;
    assert_string_equal(route_outcome_name(ROUTE_FOUND), "found");
    assert_string_equal(route_outcome_name(ROUTE_UNAVAILABLE), "unavailable");
    assert_string_equal(route_rule_name(ROUTE_RULE_CATCH_ALL), "catch-all");
    assert_string_equal(route_rule_name(ROUTE_RULE_ALIAS), "domain-alias");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exact_address_is_found_without_further_lookups),
        cmocka_unit_test(the_order_is_exact_then_without_detail_then_catch_all),
        cmocka_unit_test(an_exact_address_with_a_delimiter_wins_over_its_base),
        cmocka_unit_test(a_detail_is_kept_as_written_in_the_recipient),
        cmocka_unit_test(a_canonical_name_without_domain_takes_the_detail_at_its_end),
        cmocka_unit_test(an_alias_domain_comes_after_the_address_itself_and_before_any_catch_all),
        cmocka_unit_test(a_detail_is_kept_under_an_alias_domain_unless_it_is_part_of_the_address),
        cmocka_unit_test(the_alias_domains_own_catch_all_comes_before_that_of_the_other),
        cmocka_unit_test(an_alias_domain_of_u_labels_is_one),
        cmocka_unit_test(a_login_goes_through_the_alias_domain_and_through_no_catch_all),
        cmocka_unit_test(quotes_that_are_not_needed_make_no_other_address),
        cmocka_unit_test(what_needs_quotes_keeps_them),
        cmocka_unit_test(a_dot_at_the_end_of_the_domain_is_no_part_of_it),
        cmocka_unit_test(a_name_with_a_labels_has_a_form_with_u_labels),
        cmocka_unit_test(a_leading_delimiter_and_a_quoted_local_part_have_no_detail),
        cmocka_unit_test(the_catch_all_is_for_mail_and_not_for_logins),
        cmocka_unit_test(an_unknown_address_names_the_key_to_confirm),
        cmocka_unit_test(a_foreign_domain_is_not_ours_and_not_looked_up),
        cmocka_unit_test(bare_postmaster_is_the_account_of_the_first_domain),
        cmocka_unit_test(bare_postmaster_without_account_is_never_unknown),
        cmocka_unit_test(an_entry_that_cannot_be_used_is_misconfigured_with_a_reason),
        cmocka_unit_test(an_ambiguous_address_does_not_fall_through_to_the_catch_all),
        cmocka_unit_test(relay_entries_go_to_the_relay_host_unless_they_have_a_host),
        cmocka_unit_test(the_old_host_is_told),
        cmocka_unit_test(a_source_that_fails_is_unavailable_and_never_unknown),
        cmocka_unit_test(a_login_is_found_by_uid_or_by_address),
        cmocka_unit_test(a_login_without_domain_gets_the_default_one_after_the_bare_name),
        cmocka_unit_test(domains_compare_as_a_labels),
        cmocka_unit_test(what_can_be_no_key_is_unknown_with_an_empty_key),
        cmocka_unit_test(a_recipient_that_would_be_too_long_loses_its_detail),
        cmocka_unit_test(outcomes_and_rules_have_names),
    };

    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
