/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody should do something about before the next bad night. */
#include "admin/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "admin/output.h"

/* Twice its share is what one takeover among equals comes to. */
enum { PLAN_MUCH_PERCENT = 250 };

static void note(json_t *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(json_t *problems, const char *format, ...)
{
    char text[PLAN_SOURCE_SIZE + PLAN_TEXT_SIZE];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    json_array_append_new(problems, json_any_text(text));
}

/* --- what is so now --------------------------------------------------------------------- */

static void look_at_state(const struct plan *plan, size_t index, json_t *problems)
{
    const struct takeover_backend *row = &plan->rows[index];
    struct takeover_failure failure = takeover_fail(&plan->table, index);
    char state[PLAN_TEXT_SIZE], accounts[OUTPUT_TEXT_SIZE];

    if (!row->is_away || row->accounts == 0)
        return;
    note(problems, "%s is %s, with %s%s%s%s", row->name, plan_state(plan, index, state),
         format_count((int64_t)row->accounts, "account", accounts),
         failure.to == TAKEOVER_NOBODY ? "" : ": they can go to ",
         failure.to == TAKEOVER_NOBODY ? "" : plan->rows[failure.to].name,
         failure.to == TAKEOVER_NOBODY ? "" : " (mailstead failover)");
}

static void look_at_pair(const struct plan *plan, const struct host_count *pair, json_t *problems)
{
    bool is_known = takeover_find(&plan->table, pair->host) != TAKEOVER_NOBODY;
    char accounts[OUTPUT_TEXT_SIZE];

    format_count((int64_t)pair->accounts, "account", accounts);
    if (!*pair->host)
        note(problems, "%s without one usable hostServer: refused temporarily", accounts);
    else if (!is_known)
        note(problems, "%s on %s, which is no backend: refused temporarily", accounts, pair->host);
    else if (*pair->old_host && strcmp(pair->host, pair->old_host) != 0)
        note(problems, "%s of %s on %s, away from home (mailstead failback %s)", accounts,
             pair->old_host, pair->host, pair->old_host);
}

/* --- the table -------------------------------------------------------------------------- */

static void look_at_siblings(const struct plan *plan, size_t index, json_t *problems)
{
    const struct string_list *siblings = plan->rows[index].siblings;
    char state[PLAN_TEXT_SIZE];

    for (size_t i = 0; siblings && i < siblings->count; i++) {
        size_t sibling = takeover_find(&plan->table, siblings->items[i]);

        if (sibling == TAKEOVER_NOBODY)
            note(problems, "%s has the sibling %s, which is no backend", plan->rows[index].name,
                 siblings->items[i]);
        else if (plan->rows[sibling].is_away)
            note(problems, "%s has the sibling %s, which is %s", plan->rows[index].name,
                 siblings->items[i], plan_state(plan, sibling, state));
    }
}

static void look_at_load(const struct plan *plan, const struct takeover_failure *failure,
                         json_t *problems)
{
    const char *failed = plan->rows[failure->failed].name, *to = plan->rows[failure->to].name;

    if (plan->rows[failure->to].weight == 0)
        note(problems, "%s takes %s over, but its weight is 0", to, failed);
    else if (failure->percent > PLAN_MUCH_PERCENT)
        note(problems, "%s would carry %u %% of its share by weight if %s failed", to,
             failure->percent, failed);
}

static void look_at_failure(const struct plan *plan, size_t index, json_t *problems)
{
    struct takeover_failure failure = takeover_fail(&plan->table, index);
    struct takeover_failure again = takeover_fail_again(&plan->table, &failure);
    char accounts[OUTPUT_TEXT_SIZE];

    if (failure.to == TAKEOVER_NOBODY)
        note(problems, "nobody takes %s over: %s", plan->rows[index].name, plan_lack(failure.lack));
    else
        look_at_load(plan, &failure, problems);
    /* Of two, no table can do better. */
    if (plan->table.count > 2 && again.failed == failure.to && again.to == TAKEOVER_NOBODY &&
        again.lack == TAKEOVER_LOOP)
        note(problems, "if %s fails and then %s, nobody takes over %s: the table leads back to %s",
             plan->rows[index].name, plan->rows[again.failed].name,
             format_count((int64_t)again.accounts, "account", accounts), plan->rows[index].name);
}

static void look_at_choices(const struct plan *plan, json_t *problems)
{
    for (size_t i = 0; i < plan->table.count && plan->table.count > 2; i++)
        if (takeover_first_choices(&plan->table, i) == plan->table.count - 1)
            note(problems, "%s is the first sibling of all others: two failures meet there",
                 plan->rows[i].name);
}

json_t *plan_problems(const struct plan *plan)
{
    json_t *problems = json_array();

    if (!plan->is_counted)
        note(problems, "the accounts could not be counted: %s", plan->source);
    for (size_t i = 0; i < plan->counts.count; i++)
        look_at_pair(plan, &plan->counts.items[i], problems);
    for (size_t i = 0; i < plan->table.count; i++) {
        look_at_state(plan, i, problems);
        look_at_siblings(plan, i, problems);
        look_at_failure(plan, i, problems);
    }
    look_at_choices(plan, problems);
    return problems;
}
