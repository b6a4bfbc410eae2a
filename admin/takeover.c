/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/takeover.h"

#include <limits.h>
#include <string.h>

size_t takeover_find(const struct takeover_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->backends[i].name, name) == 0)
            return i;
    return TAKEOVER_NOBODY;
}

static bool is_among(size_t index, const size_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == index)
            return true;
    return false;
}

/*
 * Who takes the accounts of backend `index` over when it and the `failed_count` backends of
 * `failed` are gone: an index, or TAKEOVER_NOBODY and the reason in `lack`.
 */
static size_t find_taker(const struct takeover_table *table, size_t index, const size_t *failed,
                         size_t failed_count, enum takeover_lack *lack)
{
    const struct string_list *siblings = table->backends[index].siblings;

    *lack = siblings && siblings->count > 0 ? TAKEOVER_UNKNOWN : TAKEOVER_NO_SIBLINGS;
    for (size_t i = 0; siblings && i < siblings->count; i++) {
        size_t sibling = takeover_find(table, siblings->items[i]);

        if (sibling == TAKEOVER_NOBODY || sibling == index)
            continue;
        if (is_among(sibling, failed, failed_count)) {
            *lack = TAKEOVER_LOOP;
        } else if (!table->backends[sibling].is_away) {
            *lack = TAKEOVER_FOUND;
            return sibling;
        } else if (*lack == TAKEOVER_UNKNOWN) {
            *lack = TAKEOVER_AWAY;
        }
    }
    return TAKEOVER_NOBODY;
}

/* `others` are the accounts that the taker has already. */
static void settle(const struct takeover_table *table, struct takeover_failure *failure,
                   uint64_t others)
{
    failure->carried = failure->accounts + others;
    failure->percent = takeover_percent(table, failure->to, failure->carried);
}

struct takeover_failure takeover_fail(const struct takeover_table *table, size_t index)
{
    struct takeover_failure failure = { .failed = index,
                                        .accounts = table->backends[index].accounts };

    failure.to = find_taker(table, index, NULL, 0, &failure.lack);
    if (failure.to != TAKEOVER_NOBODY)
        settle(table, &failure, table->backends[failure.to].accounts);
    return failure;
}

/* What backend `index` has once the first failure is dealt with. */
static uint64_t accounts_after(const struct takeover_table *table,
                               const struct takeover_failure *first, size_t index)
{
    return index == first->to ? first->carried : table->backends[index].accounts;
}

static struct takeover_failure fail_next(const struct takeover_table *table,
                                         const struct takeover_failure *first, size_t index)
{
    struct takeover_failure failure = { .failed = index,
                                        .accounts = accounts_after(table, first, index) };

    failure.to = find_taker(table, index, &first->failed, 1, &failure.lack);
    if (failure.to != TAKEOVER_NOBODY)
        settle(table, &failure, accounts_after(table, first, failure.to));
    return failure;
}

static uint64_t lost(const struct takeover_failure *failure)
{
    return failure->to == TAKEOVER_NOBODY ? failure->accounts : 0;
}

static bool is_worse(const struct takeover_failure *a, const struct takeover_failure *b)
{
    return lost(a) != lost(b) ? lost(a) > lost(b) : a->percent > b->percent;
}

struct takeover_failure takeover_fail_again(const struct takeover_table *table,
                                            const struct takeover_failure *first)
{
    struct takeover_failure worst = { .failed = TAKEOVER_NOBODY, .to = TAKEOVER_NOBODY };

    for (size_t i = 0; i < table->count; i++) {
        struct takeover_failure failure;

        if (i == first->failed)
            continue;
        failure = fail_next(table, first, i);
        if (worst.failed == TAKEOVER_NOBODY || is_worse(&failure, &worst))
            worst = failure;
    }
    return worst;
}

unsigned takeover_percent(const struct takeover_table *table, size_t index, uint64_t accounts)
{
    double all_accounts = 0, all_weight = 0, percent;

    for (size_t i = 0; i < table->count; i++) {
        all_accounts += (double)table->backends[i].accounts;
        all_weight += table->backends[i].weight;
    }
    if (accounts == 0 || all_accounts <= 0)
        return 0;
    if (table->backends[index].weight == 0)
        return UINT_MAX;
    percent = 100 * (double)accounts / all_accounts * all_weight / table->backends[index].weight;
    return percent < 1e9 ? (unsigned)(percent + 0.5) : UINT_MAX;
}

size_t takeover_first_choices(const struct takeover_table *table, size_t index)
{
    size_t count = 0;

    for (size_t i = 0; i < table->count; i++) {
        const struct string_list *siblings = table->backends[i].siblings;

        if (i != index && siblings && siblings->count > 0 &&
            strcmp(siblings->items[0], table->backends[index].name) == 0)
            count++;
    }
    return count;
}
