/* SPDX-License-Identifier: Apache-2.0 */
/* The phases of a failover and a failback, with scripted nodes that fail at each step. */
#include "tests/unit/unit.h"

#include "admin/failover.h"

#include <stdio.h>

#include "common/base/memory.h"

#define NAMES(...)                                                                                 \
    {                                                                                              \
        (const char *const[]){ __VA_ARGS__ },                                                      \
            sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)                          \
    }

enum { TRACE_SIZE = 2048, STEPS_MAX = 60 };

static const char *const action_names[] = {
    [FAILOVER_ASK_TAKER] = "ask",
    [FAILOVER_ASK_BACKEND] = "ask",
    [FAILOVER_ORDER_LEAVE] = "leave",
    [FAILOVER_PROBE] = "probe",
    [FAILOVER_FENCE] = "fence",
    [FAILOVER_ORDER_RELEASE] = "release",
    [FAILOVER_ORDER_ATTACH] = "attach",
    [FAILOVER_ORDER_RETURN] = "return",
    [FAILOVER_AWAIT_READY] = "ready",
    [FAILOVER_ASK_BEHIND] = "behind",
    [FAILOVER_SYNCHRONISE] = "synchronise",
    [FAILOVER_DO_REWRITE] = "rewrite",
    [FAILOVER_SHOW_FOLLOWERS] = "follow",
};

/* What does not go well; all else does. */
struct trouble {
    const char *step; /* "leave sv1", "attach sv2 sv1"; "leave sv1 #2": the second time alone */
    enum failover_result result;
};

static struct failover failover;
static char trace[TRACE_SIZE]; /* the steps, separated by ", " */

/* How often this is in the trace. */
static unsigned times(const char *step)
{
    unsigned count = 0;

    for (const char *at = trace; (at = strstr(at, step)); at++)
        count++;
    return count;
}

static enum failover_result judge(const char *step, const struct trouble *troubles)
{
    char numbered[160];

    snprintf(numbered, sizeof(numbered), "%s #%u", step, times(step));
    for (; troubles && troubles->step; troubles++)
        if (strcmp(troubles->step, step) == 0 || strcmp(troubles->step, numbered) == 0)
            return troubles->result;
    return FAILOVER_DONE;
}

static void walk(const struct failover_order *order, const struct trouble *troubles)
{
    enum failover_action action;
    size_t length = 0;
    unsigned steps = 0;

    trace[0] = '\0';
    failover_init(&failover, order);
    while ((action = failover_next(&failover)) != FAILOVER_END) {
        char step[128];
        bool has_server = action == FAILOVER_ORDER_ATTACH || action == FAILOVER_ORDER_RELEASE;

        assert_true(++steps < STEPS_MAX);
        snprintf(step, sizeof(step), "%s %s%s%s%s", action_names[action], failover.node,
                 has_server ? " " : "", has_server ? failover.server : "",
                 action == FAILOVER_ORDER_ATTACH && failover.was_fenced ? " fenced" : "");
        length += (size_t)snprintf(trace + length, sizeof(trace) - length, "%s%s",
                                   length ? ", " : "", step);
        assert_true(length < sizeof(trace));
        failover_answer(&failover, judge(step, troubles), "so it is");
    }
}

#define TROUBLES(...) ((const struct trouble[]){ __VA_ARGS__, { NULL, FAILOVER_DONE } })

static struct failover_order away(void)
{
    static const char *const siblings[] = { "sv2", "sv3" }, *const storages[] = { "sv1" };

    return (struct failover_order){ .kind = FAILOVER_AWAY,
                                    .backend = "sv1",
                                    .siblings = { siblings, 2 },
                                    .storages = { storages, 1 } };
}

static struct failover_order home(void)
{
    static const char *const holders[] = { "sv2" };

    return (struct failover_order){ .kind = FAILOVER_HOME,
                                    .backend = "sv1",
                                    .holders = { holders, 1 } };
}

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))

static void assert_ended(enum command_status status, const char *steps)
{
    assert_string_equal(trace, steps);
    assert_int_equal(failover.status, status);
    assert_int_equal(*failover.why == '\0', status == COMMAND_OK);
}

/* Nothing was attached or moved, and the node was not turned off. */
static void assert_untouched(void)
{
    assert_null(strstr(trace, "attach"));
    assert_null(strstr(trace, "rewrite"));
    assert_int_equal(failover.status, COMMAND_REFUSED);
}

/* --- away ------------------------------------------------------------------------------- */

static void a_backend_that_answers_lets_go_and_its_sibling_takes_over(void **state)
{
    struct failover_order order = away();

    (void)state;
    walk(&order, NULL);
    assert_ended(COMMAND_OK, "ask sv2, leave sv1, attach sv2 sv1, ready sv2, behind sv2, "
                             "rewrite sv2, follow sv2");
    assert_int_equal(failover.manner, FAILOVER_ACKNOWLEDGED);
}

static void a_silent_backend_is_fenced_before_anything_is_attached(void **state)
{
    struct failover_order order = away();

    (void)state;
    order.has_fence = true;
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_SILENT }));
    assert_ended(COMMAND_OK, "ask sv2, leave sv1, fence sv1, attach sv2 sv1 fenced, ready sv2, "
                             "behind sv2, rewrite sv2, follow sv2");
    assert_int_equal(failover.manner, FAILOVER_FENCED);
}

static void one_that_answers_and_does_not_let_go_is_fenced_too(void **state)
{
    struct failover_order order = away();

    (void)state;
    order.has_fence = true;
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_REFUSED }));
    assert_contains(trace, "leave sv1, fence sv1, attach sv2 sv1 fenced");
}

static void without_fence_or_word_nothing_moves(void **state)
{
    struct failover_order order = away();

    (void)state;
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_SILENT }));
    assert_untouched();
    assert_contains(failover.why, "--is-off sv1");
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_REFUSED }));
    assert_untouched();
}

static void with_fencing_refused_nothing_moves(void **state)
{
    struct failover_order order = away();

    (void)state;
    order.has_fence = true;
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_SILENT }, { "fence sv1", FAILOVER_REFUSED }));
    assert_untouched();
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_SILENT }, { "fence sv1", FAILOVER_SILENT }));
    assert_untouched();
}

static void a_word_counts_only_for_a_node_of_which_nothing_answers(void **state)
{
    struct failover_order order = away();
    struct failover_names off = NAMES("sv1"), other = NAMES("sv2");

    (void)state;
    order.off = off;
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_SILENT }));
    assert_ended(COMMAND_OK, "ask sv2, leave sv1, probe sv1, attach sv2 sv1 fenced, ready sv2, "
                             "behind sv2, rewrite sv2, follow sv2");
    assert_int_equal(failover.manner, FAILOVER_WORD);
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_SILENT }, { "probe sv1", FAILOVER_REFUSED }));
    assert_untouched();
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_REFUSED }));
    assert_untouched();
    order.off = other;
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_SILENT }));
    assert_untouched();
}

static void a_planned_one_is_never_fenced_and_takes_no_word(void **state)
{
    struct failover_order order = away();
    struct failover_names off = NAMES("sv1");

    (void)state;
    order.is_planned = order.has_fence = true;
    order.off = off;
    walk(&order, NULL);
    assert_ended(COMMAND_OK,
                 "ask sv2, synchronise sv1, leave sv1, synchronise sv1, attach sv2 sv1, ready sv2, "
                 "behind sv2, rewrite sv2, follow sv2");
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_SILENT }));
    assert_untouched();
    walk(&order, TROUBLES({ "leave sv1", FAILOVER_REFUSED }));
    assert_untouched();
    walk(&order, TROUBLES({ "synchronise sv1", FAILOVER_SILENT }));
    assert_untouched();
}

static void a_sibling_that_does_not_serve_is_passed_over_before_anybody_is_fenced(void **state)
{
    struct failover_order order = away();

    (void)state;
    walk(&order, TROUBLES({ "ask sv2", FAILOVER_SILENT }));
    assert_ended(COMMAND_OK, "ask sv2, ask sv3, leave sv1, attach sv3 sv1, ready sv3, behind sv3, "
                             "rewrite sv3, follow sv3");
    walk(&order, TROUBLES({ "ask sv2", FAILOVER_SILENT }, { "ask sv3", FAILOVER_REFUSED }));
    assert_ended(COMMAND_REFUSED, "ask sv2, ask sv3");
}

static void a_named_sibling_that_does_not_serve_is_refused_and_the_next_named(void **state)
{
    struct failover_order order = away();

    (void)state;
    order.to = "sv2";
    walk(&order, TROUBLES({ "ask sv2", FAILOVER_SILENT }));
    assert_ended(COMMAND_REFUSED, "ask sv2");
    assert_contains(failover.why, "--to sv3");
}

static void a_backend_without_siblings_needs_a_name(void **state)
{
    struct failover_order order = away();

    (void)state;
    order.siblings.count = 0;
    walk(&order, NULL);
    assert_ended(COMMAND_REFUSED, "");
    order.to = "sv7";
    walk(&order, NULL);
    assert_int_equal(failover.status, COMMAND_OK);
}

static void storages_that_the_backend_had_adopted_go_with_it(void **state)
{
    struct failover_order order = away();
    struct failover_names storages = NAMES("sv1", "sv8", "sv9");

    (void)state;
    order.storages = storages;
    walk(&order, NULL);
    assert_contains(trace, "attach sv2 sv1, attach sv2 sv8, attach sv2 sv9, ready sv2");
}

static void a_sibling_that_cannot_attach_gives_back_what_it_has_and_the_next_is_asked(void **state)
{
    struct failover_order order = away();
    struct failover_names storages = NAMES("sv1", "sv8");

    (void)state;
    order.storages = storages;
    walk(&order, TROUBLES({ "attach sv2 sv8", FAILOVER_REFUSED }));
    assert_ended(COMMAND_OK, "ask sv2, leave sv1, attach sv2 sv1, attach sv2 sv8, "
                             "release sv2 sv8, release sv2 sv1, ask sv3, attach sv3 sv1, "
                             "attach sv3 sv8, ready sv3, behind sv3, rewrite sv3, follow sv3");
    walk(&order, TROUBLES({ "ready sv2", FAILOVER_REFUSED }));
    assert_contains(trace, "ready sv2, release sv2 sv8, release sv2 sv1, ask sv3");
    assert_int_equal(failover.status, COMMAND_OK);
}

static void what_it_does_not_give_back_goes_to_nobody_else(void **state)
{
    struct failover_order order = away();

    (void)state;
    walk(&order,
         TROUBLES({ "attach sv2 sv1", FAILOVER_REFUSED }, { "release sv2 sv1", FAILOVER_SILENT }));
    assert_ended(COMMAND_PARTLY, "ask sv2, leave sv1, attach sv2 sv1, release sv2 sv1");
    walk(&order, TROUBLES({ "attach sv2 sv1", FAILOVER_SILENT }));
    assert_ended(COMMAND_PARTLY, "ask sv2, leave sv1, attach sv2 sv1");
    walk(&order, TROUBLES({ "ready sv2", FAILOVER_SILENT }));
    assert_ended(COMMAND_PARTLY, "ask sv2, leave sv1, attach sv2 sv1, ready sv2");
    order.to = "sv2";
    walk(&order, TROUBLES({ "attach sv2 sv1", FAILOVER_REFUSED }));
    assert_ended(COMMAND_PARTLY, "ask sv2, leave sv1, attach sv2 sv1");
}

static void copies_that_are_behind_need_a_word(void **state)
{
    struct failover_order order = away();

    (void)state;
    walk(&order, TROUBLES({ "behind sv2", FAILOVER_REFUSED }));
    assert_int_equal(failover.status, COMMAND_PARTLY);
    assert_null(strstr(trace, "rewrite"));
    order.accepts_behind = true;
    walk(&order, TROUBLES({ "behind sv2", FAILOVER_REFUSED }));
    assert_int_equal(failover.status, COMMAND_OK);
}

static void a_rewrite_that_stops_is_told_and_nobody_is_shown_to_follow(void **state)
{
    struct failover_order order = away();

    (void)state;
    walk(&order, TROUBLES({ "rewrite sv2", FAILOVER_REFUSED }));
    assert_int_equal(failover.status, COMMAND_PARTLY);
    assert_null(strstr(trace, "follow"));
    failover_init(&failover, &order);
    while (failover_next(&failover) != FAILOVER_DO_REWRITE)
        failover_answer(&failover, FAILOVER_DONE, "");
    failover_stop(&failover, COMMAND_CONTENDED, "somebody else is at it");
    assert_int_equal(failover.status, COMMAND_CONTENDED);
    assert_int_equal(failover_next(&failover), FAILOVER_END);
}

static void who_follows_late_is_no_failure(void **state)
{
    struct failover_order order = away();

    (void)state;
    walk(&order, TROUBLES({ "follow sv2", FAILOVER_SILENT }));
    assert_int_equal(failover.status, COMMAND_OK);
}

/* --- away, after an earlier run ------------------------------------------------------------- */

static void an_interrupted_run_goes_on_with_its_taker(void **state)
{
    struct failover_order order = away();

    (void)state;
    order.prior = "sv3";
    walk(&order, NULL);
    assert_contains(trace, "ask sv3, leave sv1, attach sv3 sv1");
    walk(&order, TROUBLES({ "ask sv3", FAILOVER_SILENT }));
    assert_ended(COMMAND_REFUSED, "ask sv3");
    assert_contains(failover.why, "--is-off sv3");
}

static void another_taker_waits_until_the_first_has_released(void **state)
{
    struct failover_order order = away();
    struct failover_names off = NAMES("sv3");

    (void)state;
    order.prior = "sv3";
    order.to = "sv2";
    walk(&order, NULL);
    assert_contains(trace, "ask sv2, release sv3 sv1, leave sv1, attach sv2 sv1, ready");
    walk(&order, TROUBLES({ "release sv3 sv1", FAILOVER_SILENT }));
    assert_untouched();
    walk(&order, TROUBLES({ "release sv3 sv1", FAILOVER_REFUSED }));
    assert_untouched();
    order.off = off;
    walk(&order, TROUBLES({ "release sv3 sv1", FAILOVER_SILENT }));
    assert_contains(trace, "release sv3 sv1, probe sv3, leave sv1, attach sv2 sv1 fenced");
    walk(&order,
         TROUBLES({ "release sv3 sv1", FAILOVER_SILENT }, { "probe sv3", FAILOVER_REFUSED }));
    assert_untouched();
}

static void accounts_follow_those_that_are_away_already(void **state)
{
    struct failover_order order = away();
    struct failover_names one = NAMES("sv3"), two = NAMES("sv2", "sv3");

    (void)state;
    order.holders = one;
    order.prior = "sv2"; /* what it had went on with the accounts */
    walk(&order, NULL);
    assert_contains(trace, "ask sv3, leave sv1, attach sv3 sv1");
    walk(&order, TROUBLES({ "ask sv3", FAILOVER_SILENT }));
    assert_ended(COMMAND_REFUSED, "ask sv3");
    assert_contains(failover.why, "mailstead failover sv3");
    order.to = "sv2";
    walk(&order, NULL);
    assert_ended(COMMAND_REFUSED, "");
    order.to = NULL;
    order.holders = two;
    walk(&order, NULL);
    assert_ended(COMMAND_REFUSED, "");
}

/* --- home ----------------------------------------------------------------------------------- */

static void a_backend_returns_when_its_storage_is_released(void **state)
{
    struct failover_order order = home();

    (void)state;
    walk(&order, NULL);
    assert_ended(COMMAND_OK, "ask sv1, synchronise sv2, release sv2 sv1, return sv1, "
                             "attach sv1 sv1, ready sv1, synchronise sv2, rewrite sv1, follow sv1, "
                             "synchronise sv2");
}

static void one_that_does_not_answer_or_follow_stays_away(void **state)
{
    struct failover_order order = home();

    (void)state;
    walk(&order, TROUBLES({ "ask sv1", FAILOVER_SILENT }));
    assert_ended(COMMAND_REFUSED, "ask sv1");
    walk(&order, TROUBLES({ "ask sv1", FAILOVER_REFUSED }));
    assert_ended(COMMAND_REFUSED, "ask sv1");
    walk(&order, TROUBLES({ "synchronise sv2", FAILOVER_REFUSED }));
    assert_ended(COMMAND_REFUSED, "ask sv1, synchronise sv2");
}

static void accounts_that_cannot_be_synchronised_go_home_only_by_a_word(void **state)
{
    struct failover_order order = home();

    (void)state;
    order.accepts_behind = true;
    walk(&order, TROUBLES({ "synchronise sv2", FAILOVER_REFUSED }));
    assert_int_equal(failover.status, COMMAND_OK);
    order = away();
    order.is_planned = order.accepts_behind = true;
    walk(&order, TROUBLES({ "synchronise sv1", FAILOVER_REFUSED }));
    assert_int_equal(failover.status, COMMAND_OK);
}

static void nothing_returns_to_a_storage_that_another_may_have(void **state)
{
    struct failover_order order = home();
    struct failover_names off = NAMES("sv2");

    (void)state;
    walk(&order, TROUBLES({ "release sv2 sv1", FAILOVER_REFUSED }));
    assert_ended(COMMAND_REFUSED, "ask sv1, synchronise sv2, release sv2 sv1");
    walk(&order, TROUBLES({ "release sv2 sv1", FAILOVER_SILENT }));
    assert_ended(COMMAND_REFUSED, "ask sv1, synchronise sv2, release sv2 sv1");
    order.off = off;
    walk(&order,
         TROUBLES({ "synchronise sv2", FAILOVER_SILENT }, { "release sv2 sv1", FAILOVER_SILENT },
                  { "return sv1", FAILOVER_REFUSED }));
    assert_ended(COMMAND_OK,
                 "ask sv1, synchronise sv2, release sv2 sv1, probe sv2, return sv1, "
                 "attach sv1 sv1 fenced, ready sv1, synchronise sv2, rewrite sv1, follow sv1, "
                 "synchronise sv2");
}

static void a_backend_that_cannot_return_leaves_its_accounts_where_they_were(void **state)
{
    static const char *const steps[] = { "return sv1", "attach sv1 sv1", "ready sv1" };
    struct failover_order order = home();

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(steps); i++) {
        walk(&order, TROUBLES({ steps[i], FAILOVER_REFUSED }));
        assert_contains(trace, "leave sv1, attach sv2 sv1");
        assert_null(strstr(trace, "rewrite"));
        assert_int_equal(failover.status, COMMAND_PARTLY);
        walk(&order, TROUBLES({ steps[i], FAILOVER_REFUSED }, { "leave sv1", FAILOVER_SILENT }));
        assert_null(strstr(trace, "attach sv2"));
        walk(&order, TROUBLES({ steps[i], FAILOVER_SILENT }));
        assert_null(strstr(trace, "attach sv2"));
        assert_null(strstr(trace, "rewrite"));
    }
}

static void what_came_last_goes_home_before_the_accounts_do(void **state)
{
    struct failover_order order = home();
    struct failover_names off = NAMES("sv2");

    (void)state;
    walk(&order, TROUBLES({ "synchronise sv2 #2", FAILOVER_REFUSED }));
    assert_ended(COMMAND_PARTLY, "ask sv1, synchronise sv2, release sv2 sv1, return sv1, "
                                 "attach sv1 sv1, ready sv1, synchronise sv2, leave sv1, "
                                 "attach sv2 sv1");
    walk(&order, TROUBLES({ "synchronise sv2 #2", FAILOVER_SILENT }));
    assert_int_equal(failover.status, COMMAND_PARTLY);
    assert_null(strstr(trace, "rewrite"));
    assert_null(strstr(trace, "attach sv2"));
    order.accepts_behind = true;
    walk(&order, TROUBLES({ "synchronise sv2 #2", FAILOVER_REFUSED }));
    assert_int_equal(failover.status, COMMAND_OK);
    order.accepts_behind = false;
    order.off = off;
    walk(&order, TROUBLES({ "synchronise sv2 #2", FAILOVER_SILENT }));
    assert_int_equal(failover.status, COMMAND_OK);
}

static void what_is_not_known_to_be_home_at_the_end_is_a_status_of_its_own(void **state)
{
    struct failover_order order = home();
    struct failover_names two = NAMES("sv2", "sv3");

    (void)state;
    order.holders = two;
    for (enum failover_result result = FAILOVER_REFUSED; result <= FAILOVER_SILENT; result++) {
        walk(&order, TROUBLES({ "synchronise sv2 #3", result }));
        assert_int_equal(failover.status, COMMAND_UNPROVEN);
        assert_contains(failover.why, "--backend sv2");
        assert_contains(trace, "follow sv1, synchronise sv2, synchronise sv3");
    }
    order.accepts_behind = true;
    walk(&order, TROUBLES({ "synchronise sv2 #3", FAILOVER_REFUSED }));
    assert_int_equal(failover.status, COMMAND_OK);
}

static void without_accounts_away_it_just_returns(void **state)
{
    struct failover_order order = home();

    (void)state;
    order.holders.count = 0;
    walk(&order, NULL);
    assert_ended(COMMAND_OK, "ask sv1, return sv1, attach sv1 sv1, ready sv1, rewrite sv1, "
                             "follow sv1");
    walk(&order, TROUBLES({ "return sv1", FAILOVER_REFUSED }));
    assert_ended(COMMAND_FAILED, "ask sv1, return sv1");
}

/* --- both: whatever fails, one owner at most
 * ------------------------------------------------------ */

/* Each single step of a good run fails in each way: nothing follows that needs it. */
static void assert_order_is_kept(const struct failover_order *order)
{
    const char *attach = strstr(trace, "attach sv2 sv1"), *leave = strstr(trace, "leave sv1");
    const char *rewrite = strstr(trace, "rewrite"), *ready = strstr(trace, "ready");
    const char *give = strstr(trace, "return sv1"), *release = strstr(trace, "release sv2 sv1");

    assert_true(!rewrite || (ready && ready < rewrite));
    if (order->kind == FAILOVER_AWAY)
        assert_true(!attach || (leave && leave < attach));
    else
        assert_true(!give || (release && release < give));
}

static void no_single_failure_changes_the_order_of_things(void **state)
{
    struct failover_order orders[] = { away(), home() };
    struct failover_names off = NAMES("sv1", "sv2", "sv3");

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (unsigned variant = 0; variant < 4; variant++) {
            char good[TRACE_SIZE];
            struct span rest;

            orders[i].has_fence = variant & 1;
            orders[i].off = variant & 2 ? off : (struct failover_names){ .count = 0 };
            walk(&orders[i], NULL);
            strcpy(good, trace);
            rest = span_from_string(good);
            while (rest.length > 0) {
                struct span part = span_trim(span_split(&rest, ','));
                char step[128];

                assert_true(span_copy_string(part, step, sizeof(step)));
                for (enum failover_result result = FAILOVER_REFUSED; result <= FAILOVER_SILENT;
                     result++) {
                    walk(&orders[i], TROUBLES({ step, result }));
                    assert_order_is_kept(&orders[i]);
                }
            }
        }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backend_that_answers_lets_go_and_its_sibling_takes_over),
        cmocka_unit_test(a_silent_backend_is_fenced_before_anything_is_attached),
        cmocka_unit_test(one_that_answers_and_does_not_let_go_is_fenced_too),
        cmocka_unit_test(without_fence_or_word_nothing_moves),
        cmocka_unit_test(with_fencing_refused_nothing_moves),
        cmocka_unit_test(a_word_counts_only_for_a_node_of_which_nothing_answers),
        cmocka_unit_test(a_planned_one_is_never_fenced_and_takes_no_word),
        cmocka_unit_test(a_sibling_that_does_not_serve_is_passed_over_before_anybody_is_fenced),
        cmocka_unit_test(a_named_sibling_that_does_not_serve_is_refused_and_the_next_named),
        cmocka_unit_test(a_backend_without_siblings_needs_a_name),
        cmocka_unit_test(storages_that_the_backend_had_adopted_go_with_it),
        cmocka_unit_test(a_sibling_that_cannot_attach_gives_back_what_it_has_and_the_next_is_asked),
        cmocka_unit_test(what_it_does_not_give_back_goes_to_nobody_else),
        cmocka_unit_test(copies_that_are_behind_need_a_word),
        cmocka_unit_test(a_rewrite_that_stops_is_told_and_nobody_is_shown_to_follow),
        cmocka_unit_test(who_follows_late_is_no_failure),
        cmocka_unit_test(an_interrupted_run_goes_on_with_its_taker),
        cmocka_unit_test(another_taker_waits_until_the_first_has_released),
        cmocka_unit_test(accounts_follow_those_that_are_away_already),
        cmocka_unit_test(a_backend_returns_when_its_storage_is_released),
        cmocka_unit_test(one_that_does_not_answer_or_follow_stays_away),
        cmocka_unit_test(accounts_that_cannot_be_synchronised_go_home_only_by_a_word),
        cmocka_unit_test(nothing_returns_to_a_storage_that_another_may_have),
        cmocka_unit_test(a_backend_that_cannot_return_leaves_its_accounts_where_they_were),
        cmocka_unit_test(what_came_last_goes_home_before_the_accounts_do),
        cmocka_unit_test(what_is_not_known_to_be_home_at_the_end_is_a_status_of_its_own),
        cmocka_unit_test(without_accounts_away_it_just_returns),
        cmocka_unit_test(no_single_failure_changes_the_order_of_things),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
