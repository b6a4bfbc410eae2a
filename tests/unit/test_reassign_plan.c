/* SPDX-License-Identifier: Apache-2.0 */
/* What a reassignment asks the directory for, and what it changes in an entry. */
#include "tests/unit/unit.h"

#include "directory/filter_syntax.h"
#include "directory/reassign/pace.h"
#include "directory/reassign/plan.h"

static char *text(const char *string)
{
    return (char *)(uintptr_t)string;
}

static struct directory_config make_names(void)
{
    static char *attributes[] = { NULL, NULL };

    attributes[0] = text("mail");
    attributes[1] = text("mailAlternateAddress");
    return (struct directory_config){ .filter = text("(objectClass=mailsteadAccount)"),
                                      .host_attribute = text("hostServer"),
                                      .old_host_attribute = text("oldHostServer"),
                                      .address_attributes = { attributes, 2 } };
}

static const struct reassign_plan to_sv2 = { .kind = REASSIGN_MOVE, .from = "sv1", .to = "sv2" };
static const struct reassign_plan back_to_sv1 = { .kind = REASSIGN_RESTORE, .from = "sv1" };

static const struct reassign_plan for_good = {
    .kind = REASSIGN_MOVE, .from = "sv1", .to = "sv2", .is_permanent = true
};

/* "delete hostServer sv1, add hostServer sv2 if FILTER", or why not. */
static const char *plan_text(const struct reassign_plan *plan, const char *host,
                             const char *second_host, const char *old_host)
{
    static const char *const kinds[] = { "add", "delete", "replace" };
    static char result[4096];
    struct directory_config names = make_names();
    struct span hosts[2] = { span_from_string(host), span_from_string(second_host) };
    struct span old_hosts[1] = { span_from_string(old_host) };
    struct ldap_attribute attributes[] = {
        { SPAN_LITERAL("hostserver"), hosts, (host != NULL) + (second_host != NULL) },
        { SPAN_LITERAL("OLDHOSTSERVER"), old_hosts, old_host != NULL },
    };
    struct ldap_entry entry = { "uid=a,dc=b", NULL, attributes, 2 };
    struct plan_change change;
    const char *why;
    struct plan_item *item = plan_judge(plan, &names, &entry, &why);

    result[0] = '\0';
    if (!item)
        return why;
    plan_write_change(plan, &names, item, &change);
    assert_string_equal(change.modify.dn, "uid=a,dc=b");
    for (size_t i = 0; i < change.modify.change_count; i++)
        snprintf(result + strlen(result), sizeof(result) - strlen(result), "%s %s %s, ",
                 kinds[change.changes[i].kind], change.changes[i].attribute,
                 change.changes[i].value);
    strcat(result, change.assertion);
    free(item);
    return result;
}

static void a_move_keeps_the_old_host_unless_the_account_comes_home(void **state)
{
    (void)state;
    assert_string_equal(plan_text(&to_sv2, "sv1", NULL, NULL),
                        "delete hostServer sv1, add hostServer sv2, add oldHostServer sv1, "
                        "(&(hostServer=sv1)(!(oldHostServer=*)))");
    assert_string_equal(plan_text(&to_sv2, "SV1", NULL, "sv3"),
                        "delete hostServer SV1, add hostServer sv2, "
                        "(&(hostServer=SV1)(oldHostServer=sv3))");
    assert_string_equal(plan_text(&to_sv2, "sv1", NULL, "sv2"),
                        "delete hostServer sv1, add hostServer sv2, delete oldHostServer sv2, "
                        "(&(hostServer=sv1)(oldHostServer=sv2))");
}

static void a_restore_removes_the_old_host(void **state)
{
    (void)state;
    assert_string_equal(plan_text(&back_to_sv1, "sv2", NULL, "sv1"),
                        "delete hostServer sv2, add hostServer sv1, delete oldHostServer sv1, "
                        "(&(hostServer=sv2)(oldHostServer=sv1))");
    assert_string_equal(plan_text(&back_to_sv1, "sv1", NULL, "sv1"),
                        "delete oldHostServer sv1, (&(hostServer=sv1)(oldHostServer=sv1))");
    assert_string_equal(plan_text(&back_to_sv1, NULL, NULL, "sv1"),
                        "add hostServer sv1, delete oldHostServer sv1, "
                        "(&(!(hostServer=*))(oldHostServer=sv1))");
}

static void an_entry_that_is_not_as_it_should_be_is_left_alone(void **state)
{
    char host[200];

    (void)state;
    assert_string_equal(plan_text(&to_sv2, "sv1", "sv9", NULL), "its entry names several hosts");
    assert_string_equal(plan_text(&back_to_sv1, "sv1", "sv9", "sv1"),
                        "its entry names several hosts");
    memset(host, 'x', sizeof(host));
    host[sizeof(host) - 1] = '\0';
    assert_string_equal(plan_text(&back_to_sv1, host, NULL, "sv1"), "its host's name is none");
}

static void a_permanent_move_leaves_no_old_host(void **state)
{
    (void)state;
    assert_string_equal(plan_text(&for_good, "sv1", NULL, NULL),
                        "delete hostServer sv1, add hostServer sv2, "
                        "(&(hostServer=sv1)(!(oldHostServer=*)))");
    assert_string_equal(plan_text(&for_good, "sv1", NULL, "sv3"),
                        "delete hostServer sv1, add hostServer sv2, delete oldHostServer sv3, "
                        "(&(hostServer=sv1)(oldHostServer=sv3))");
    assert_string_equal(plan_text(&for_good, "sv2", NULL, "sv1"),
                        "delete oldHostServer sv1, (&(hostServer=sv2)(oldHostServer=sv1))");
}

/* --- what is asked for ------------------------------------------------------------------ */

static const char *filter_text(const struct reassign_plan *plan)
{
    static char filter[PLAN_FILTER_SIZE];
    struct directory_config names = make_names();

    assert_true(plan_write_filter(plan, &names, filter));
    assert_null(filter_syntax_trouble(span_from_string(filter)));
    return filter;
}

static void names_in_filters_are_escaped(void **state)
{
    static const char *const domains[] = { "*)(uid=*" };
    struct reassign_plan plan = {
        .kind = REASSIGN_MOVE, .from = "s*(v", .to = "b", .domains = domains, .domain_count = 1
    };

    (void)state;
    assert_string_equal(filter_text(&plan),
                        "(&(objectClass=mailsteadAccount)(hostServer=s\\2a\\28v)"
                        "(|(mail=*@\\2a\\29\\28uid=\\2a)"
                        "(mailAlternateAddress=*@\\2a\\29\\28uid=\\2a)))");
    assert_string_equal(filter_text(&back_to_sv1),
                        "(&(objectClass=mailsteadAccount)(oldHostServer=sv1))");
}

static void a_permanent_move_takes_what_an_earlier_one_left(void **state)
{
    (void)state;
    assert_string_equal(filter_text(&for_good),
                        "(&(objectClass=mailsteadAccount)"
                        "(|(hostServer=sv1)(&(hostServer=sv2)(oldHostServer=sv1))))");
}

static void domains_and_a_filter_narrow_the_list(void **state)
{
    static const char *const domains[] = { "example.org", "example.net" };
    struct reassign_plan plan = back_to_sv1;

    (void)state;
    plan.domains = domains;
    plan.domain_count = 2;
    plan.filter = "(|(uid=a)(uid=b))";
    assert_string_equal(filter_text(&plan),
                        "(&(objectClass=mailsteadAccount)(oldHostServer=sv1)"
                        "(|(mail=*@example.org)(mailAlternateAddress=*@example.org)"
                        "(mail=*@example.net)(mailAlternateAddress=*@example.net))"
                        "(|(uid=a)(uid=b)))");
}

static void a_filter_that_does_not_fit_is_refused(void **state)
{
    static char long_text[PLAN_FILTER_SIZE];
    struct directory_config names = make_names();
    struct reassign_plan plan = to_sv2;
    char filter[PLAN_FILTER_SIZE];

    (void)state;
    memset(long_text, 'x', sizeof(long_text) - 1);
    plan.filter = long_text;
    assert_false(plan_write_filter(&plan, &names, filter));
}

static void a_filter_is_one_filter_or_is_refused(void **state)
{
    static const char *const good[] = {
        "(uid=a)",
        "(uid=*)",
        "(uid=a*b*)",
        "(uid=)",
        "(&(a=b)(!(c=d)))",
        "(& (a=b) (c=d) )",
        "(&)",
        "(cn:caseExactMatch:=x)",
        "(:dn:2.4.6.8.10:=x)",
        "(a>=b)",
        "(a<=b)",
        "(a~=b)",
        "(mail=a\\28b\\29@x)",
        "(cn;lang-de=M\xc3\xbcller)",
        "(a=b=c)",
    };
    static const char *const bad[] = {
        "",      "uid=a",         "(uid=a",      "(uid=a))",  "(uid=a)(b=c)", "((uid=a))",
        "(uid)", "(=a)",          "(u d=a)",     "(uid=a(b)", "(uid=\\2)",    "(uid=\\zz)",
        "(!)",   "(!(a=b)(c=d))", "(&(a=b)c=d)", "(uid=a) ",
    };
    static char deep[200];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (filter_syntax_trouble(span_from_string(good[i])))
            fail_msg("%s: %s", good[i], filter_syntax_trouble(span_from_string(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (!filter_syntax_trouble(span_from_string(bad[i])))
            fail_msg("%s is taken for a filter", bad[i]);
    for (size_t i = 0; i < 60; i++)
        strcat(deep, "(!");
    assert_non_null(filter_syntax_trouble(span_from_string(deep)));
}

/* --- how fast --------------------------------------------------------------------------- */

/* How many start in `seconds` when each step takes no time, and the largest step. */
static size_t paced_count(unsigned rate, unsigned seconds, size_t *largest)
{
    struct pace pace = { .rate = rate };
    uint64_t now_ms = 1000000, end_ms = now_ms + seconds * 1000;
    size_t total = 0;

    *largest = 0;
    while (now_ms < end_ms) {
        unsigned wait_ms;
        size_t count = pace_take(&pace, now_ms, 500, &wait_ms);

        assert_true(count > 0 || wait_ms > 0);
        *largest = count > *largest ? count : *largest;
        total += count;
        now_ms += wait_ms;
    }
    return total;
}

static void a_rate_is_kept_in_steps_that_fit_it(void **state)
{
    static const struct {
        unsigned rate;
        size_t step;
    } cases[] = { { 1, 1 }, { 3, 1 }, { 20, 4 }, { 1000, 200 }, { 2500, 500 }, { 40000, 500 } };
    size_t largest;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t count = paced_count(cases[i].rate, 10, &largest);

        assert_in_range(count, cases[i].rate * 99UL / 10, cases[i].rate * 102UL / 10 + 2);
        assert_int_equal(largest, cases[i].step);
    }
}

static void what_a_slow_server_did_not_use_is_not_made_up_for_at_once(void **state)
{
    struct pace pace = { .rate = 100 };
    size_t count, total = 0;
    unsigned wait_ms;

    (void)state;
    assert_int_equal(pace_take(&pace, 1000, 500, &wait_ms), 20);
    assert_int_equal(pace_take(&pace, 1000, 500, &wait_ms), 0);
    assert_int_equal(wait_ms, 200);
    while ((count = pace_take(&pace, 61000, 500, &wait_ms)) > 0)
        total += count;
    assert_in_range(total, 20, 40);
}

static void without_a_rate_everything_may_go_at_once(void **state)
{
    struct pace pace = { .rate = 0 };
    unsigned wait_ms;

    (void)state;
    assert_int_equal(pace_take(&pace, 1, 500, &wait_ms), 500);
    assert_int_equal(wait_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_move_keeps_the_old_host_unless_the_account_comes_home),
        cmocka_unit_test(a_restore_removes_the_old_host),
        cmocka_unit_test(an_entry_that_is_not_as_it_should_be_is_left_alone),
        cmocka_unit_test(a_permanent_move_leaves_no_old_host),
        cmocka_unit_test(names_in_filters_are_escaped),
        cmocka_unit_test(a_permanent_move_takes_what_an_earlier_one_left),
        cmocka_unit_test(domains_and_a_filter_narrow_the_list),
        cmocka_unit_test(a_filter_that_does_not_fit_is_refused),
        cmocka_unit_test(a_filter_is_one_filter_or_is_refused),
        cmocka_unit_test(a_rate_is_kept_in_steps_that_fit_it),
        cmocka_unit_test(what_a_slow_server_did_not_use_is_not_made_up_for_at_once),
        cmocka_unit_test(without_a_rate_everything_may_go_at_once),
    };

    return cmocka_run_group_tests_name("reassign plan", tests, NULL, NULL);
}
