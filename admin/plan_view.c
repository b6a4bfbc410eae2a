/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "admin/output.h"
#include "admin/plan.h"

const char *plan_state(const struct plan *plan, size_t index, char text[PLAN_TEXT_SIZE])
{
    const struct backend *backend = backend_set_at(&plan->backends, index);
    const struct plan_health *health = &plan->health[index];

    if (backend->state != BACKEND_UP)
        snprintf(text, PLAN_TEXT_SIZE, "set %s", backend_state_names[backend->state]);
    else if (*health->node && strcmp(health->node, "serving") != 0)
        snprintf(text, PLAN_TEXT_SIZE, "%s", health->node);
    else if (health->up + health->down == 0)
        snprintf(text, PLAN_TEXT_SIZE, *health->node ? "up" : "not known");
    else if (health->down == 0)
        snprintf(text, PLAN_TEXT_SIZE, "up");
    else if (health->up == 0)
        snprintf(text, PLAN_TEXT_SIZE, "down");
    else
        snprintf(text, PLAN_TEXT_SIZE, "down for %u of %u", health->down,
                 health->up + health->down);
    return text;
}

const char *plan_lack(enum takeover_lack lack)
{
    static const char *const words[] = {
        [TAKEOVER_FOUND] = "",
        [TAKEOVER_NO_SIBLINGS] = "it has no siblings",
        [TAKEOVER_UNKNOWN] = "its siblings are no backends",
        [TAKEOVER_AWAY] = "none of its siblings serves",
        [TAKEOVER_LOOP] = "its siblings have failed before",
    };

    return words[lack];
}

/* --- JSON ------------------------------------------------------------------------------- */

static json_t *name_or_null(const struct plan *plan, size_t index)
{
    return index == TAKEOVER_NOBODY ? json_null() : json_any_text(plan->rows[index].name);
}

static json_t *failure_to_json(const struct plan *plan, const struct takeover_failure *failure)
{
    json_t *object =
        json_pack("{s:o, s:o, s:I}", "failed", name_or_null(plan, failure->failed), "to",
                  name_or_null(plan, failure->to), "accounts", (json_int_t)failure->accounts);

    if (failure->to == TAKEOVER_NOBODY) {
        json_object_set_new(object, "why", json_string(plan_lack(failure->lack)));
        return object;
    }
    json_object_set_new(object, "carried", json_integer((json_int_t)failure->carried));
    if (failure->percent != UINT_MAX)
        json_object_set_new(object, "percent_of_share", json_integer(failure->percent));
    return object;
}

static json_t *siblings_to_json(const struct string_list *siblings)
{
    json_t *list = json_array();

    for (size_t i = 0; siblings && i < siblings->count; i++)
        json_array_append_new(list, json_any_text(siblings->items[i]));
    return list;
}

static json_t *backend_to_json(const struct plan *plan, size_t index)
{
    const struct takeover_backend *row = &plan->rows[index];
    struct takeover_failure failure = takeover_fail(&plan->table, index);
    struct takeover_failure again = takeover_fail_again(&plan->table, &failure);
    char state[PLAN_TEXT_SIZE];
    json_t *object =
        json_pack("{s:o, s:s, s:i, s:i, s:i, s:I, s:o, s:o}", "backend", json_any_text(row->name),
                  "state", plan_state(plan, index, state), "seen_up", (int)plan->health[index].up,
                  "seen_down", (int)plan->health[index].down, "weight", (int)row->weight,
                  "accounts", (json_int_t)row->accounts, "siblings",
                  siblings_to_json(row->siblings), "if_it_fails", failure_to_json(plan, &failure));

    if (again.failed != TAKEOVER_NOBODY)
        json_object_set_new(object, "and_then", failure_to_json(plan, &again));
    return object;
}

static json_t *pair_to_json(const struct host_count *pair)
{
    return json_pack("{s:o, s:o, s:I}", "host", json_any_text(pair->host), "old_host",
                     json_any_text(pair->old_host), "accounts", (json_int_t)pair->accounts);
}

json_t *plan_to_json(const struct plan *plan, json_t *problems)
{
    json_t *backends = json_array(), *pairs = json_array();

    for (size_t i = 0; i < plan->table.count; i++)
        json_array_append_new(backends, backend_to_json(plan, i));
    for (size_t i = 0; i < plan->counts.count; i++)
        json_array_append_new(pairs, pair_to_json(&plan->counts.items[i]));
    return json_pack("{s:b, s:o, s:o, s:o, s:O}", "counted", plan->is_counted, "source",
                     json_any_text(plan->source), "backends", backends, "hosts", pairs, "problems",
                     problems);
}

/* --- for people --------------------------------------------------------------------------- */

static void add_accounts(struct table *table, const struct plan *plan, uint64_t accounts)
{
    if (plan->is_counted)
        table_add_format(table, "%" PRIu64, accounts);
    else
        table_add(table, "?");
}

static void add_percent(struct table *table, unsigned percent)
{
    if (percent == 0)
        table_add(table, "-");
    else if (percent == UINT_MAX)
        table_add(table, "weight 0");
    else
        table_add_format(table, "%u %%", percent);
}

static void add_siblings(struct table *table, const struct string_list *siblings)
{
    char text[PLAN_TEXT_SIZE * 4] = "";
    size_t length = 0;

    for (size_t i = 0; siblings && i < siblings->count && length < sizeof(text); i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i ? ", " : "",
                                   siblings->items[i]);
    table_add(table, text);
}

static void print_backends(const struct plan *plan)
{
    static const char *const titles[] = { "backend", "state",        "accounts",
                                          "weight",  "of its share", "siblings" };
    struct table table;
    char state[PLAN_TEXT_SIZE];

    table_init(&table, 6, 1U << 2 | 1U << 3 | 1U << 4);
    for (size_t i = 0; i < 6; i++)
        table_add(&table, titles[i]);
    for (size_t i = 0; i < plan->table.count; i++) {
        table_add(&table, plan->rows[i].name);
        table_add(&table, plan_state(plan, i, state));
        add_accounts(&table, plan, plan->rows[i].accounts);
        table_add_format(&table, "%u", plan->rows[i].weight);
        add_percent(&table, takeover_percent(&plan->table, i, plan->rows[i].accounts));
        add_siblings(&table, plan->rows[i].siblings);
    }
    table_print(&table, stdout, 0);
    table_fini(&table);
}

/* "sv2: nobody for 200: it has no siblings" */
static void add_second(struct table *table, const struct plan *plan,
                       const struct takeover_failure *again)
{
    if (again->failed == TAKEOVER_NOBODY)
        table_add(table, NULL);
    else if (again->to == TAKEOVER_NOBODY)
        table_add_format(table, "%s: nobody for %" PRIu64 ": %s", plan->rows[again->failed].name,
                         again->accounts, plan_lack(again->lack));
    else
        table_add_format(table, "%s: %s has %" PRIu64 ", %u %%", plan->rows[again->failed].name,
                         plan->rows[again->to].name, again->carried, again->percent);
}

static void add_failure(struct table *table, const struct plan *plan, size_t index)
{
    struct takeover_failure failure = takeover_fail(&plan->table, index);
    struct takeover_failure again = takeover_fail_again(&plan->table, &failure);

    table_add(table, plan->rows[index].name);
    if (failure.to == TAKEOVER_NOBODY) {
        table_add_format(table, "nobody: %s", plan_lack(failure.lack));
        table_add(table, NULL);
        table_add(table, NULL);
    } else {
        table_add(table, plan->rows[failure.to].name);
        add_accounts(table, plan, failure.carried);
        add_percent(table, failure.percent);
    }
    add_second(table, plan, &again);
}

static void print_failures(const struct plan *plan)
{
    static const char *const titles[] = { "if it fails", "goes to", "which has", "of its share",
                                          "and the worst second failure" };
    struct table table;

    table_init(&table, 5, 1U << 2 | 1U << 3);
    for (size_t i = 0; i < 5; i++)
        table_add(&table, titles[i]);
    for (size_t i = 0; i < plan->table.count; i++)
        add_failure(&table, plan, i);
    fputc('\n', stdout);
    table_print(&table, stdout, 0);
    table_fini(&table);
}

void plan_print(const struct plan *plan)
{
    print_backends(plan);
    print_failures(plan);
    if (plan->is_counted)
        printf("\nThe accounts are as %s has them.\n", plan->source);
}
