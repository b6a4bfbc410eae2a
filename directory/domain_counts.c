/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/domain_counts.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/memory.h"

enum { COUNTS_WALK = 1000, COUNTS_LOGGED_MAX = 20 };

struct domain_count {
    struct map_node node;
    uint64_t accounts, missing;
    bool is_doubtful;
    char name[]; /* with its NUL: there may be a million */
};

struct domain_counts {
    struct map domains;
    uint64_t accounts, missing;
    bool is_all_doubtful;
    struct mirror_writer *writer; /* while counting */
    const struct row_set *shown;
    int64_t last;
    const struct directory_config *config; /* while judging */
};

/* The domain of a name in lower case; "" when it has none. */
static struct span domain_of(struct span account, char name[ROUTE_ADDRESS_SIZE])
{
    size_t at = span_find_last(account, '@');
    struct span domain = at < account.length ? span_drop(account, at + 1) : SPAN_EMPTY;

    if (!span_copy_string(domain, name, ROUTE_ADDRESS_SIZE))
        name[0] = '\0';
    string_to_lower(name);
    return span_from_string(name);
}

static struct domain_count *domain_find(const struct domain_counts *counts, struct span account)
{
    char name[ROUTE_ADDRESS_SIZE];
    struct map_node *node = map_find(&counts->domains, domain_of(account, name));

    return node ? CONTAINER_OF(node, struct domain_count, node) : NULL;
}

static struct domain_count *domain_make(struct domain_counts *counts, struct span account)
{
    struct domain_count *domain = domain_find(counts, account);
    char memory[ROUTE_ADDRESS_SIZE];
    struct span name;

    if (domain)
        return domain;
    name = domain_of(account, memory);
    domain = memory_new(sizeof(*domain) + name.length + 1);
    memcpy(domain->name, name.data, name.length);
    map_insert(&counts->domains, &domain->node, span_of(domain->name, name.length));
    return domain;
}

static void counts_take_row(void *context, const struct mirror_row *row)
{
    struct domain_counts *counts = context;
    struct domain_count *domain = domain_make(counts, row->account);
    bool is_missing = counts->shown ? !row_set_has(counts->shown, row->id) : row->is_held;

    domain->accounts++;
    counts->accounts++;
    domain->missing += is_missing;
    counts->missing += is_missing;
}

struct domain_counts *domain_counts_new(struct mirror_writer *writer, const struct row_set *shown)
{
    struct domain_counts *counts = memory_new(sizeof(*counts));

    map_init(&counts->domains);
    counts->writer = writer;
    counts->shown = shown;
    return counts;
}

bool domain_counts_step(struct domain_counts *counts)
{
    counts->last =
        mirror_writer_walk(counts->writer, counts->last, COUNTS_WALK, counts_take_row, counts);
    return counts->last == 0;
}

static void domain_free(struct map_node *node, void *context)
{
    struct domain_counts *counts = context;

    map_remove(&counts->domains, node);
    free(CONTAINER_OF(node, struct domain_count, node));
}

void domain_counts_free(struct domain_counts *counts)
{
    if (!counts)
        return;
    map_each(&counts->domains, domain_free, counts);
    map_fini(&counts->domains);
    free(counts);
}

static bool counts_are_unusual(const struct directory_config *config, uint64_t missing,
                               uint64_t accounts)
{
    return missing > config->hold_accounts && missing * 100 > accounts * config->hold_percent;
}

static void domain_judge(struct map_node *node, void *context)
{
    struct domain_counts *counts = context;
    struct domain_count *domain = CONTAINER_OF(node, struct domain_count, node);

    domain->is_doubtful = counts_are_unusual(counts->config, domain->missing, domain->accounts);
}

void domain_counts_judge(struct domain_counts *counts, const struct directory_config *config)
{
    counts->config = config;
    counts->is_all_doubtful = counts_are_unusual(config, counts->missing, counts->accounts);
    map_each(&counts->domains, domain_judge, counts);
}

bool domain_counts_is_doubtful(void *context, struct span account)
{
    const struct domain_counts *counts = context;
    const struct domain_count *domain = domain_find(counts, account);

    return counts->is_all_doubtful || (domain && domain->is_doubtful);
}

bool domain_counts_is_all_doubtful(const struct domain_counts *counts)
{
    return counts->is_all_doubtful;
}

/* --- listing ---------------------------------------------------------------------- */

struct domain_list {
    const struct domain_count **domains; /* owned */
    size_t count;
    bool is_all; /* else the doubtful ones */
    uint64_t missing;
};

static void domain_collect(struct map_node *node, void *context)
{
    struct domain_list *list = context;
    const struct domain_count *domain = CONTAINER_OF(node, struct domain_count, node);

    if (domain->missing == 0 || (!list->is_all && !domain->is_doubtful))
        return;
    list->domains[list->count++] = domain;
    list->missing += domain->missing;
}

static int domain_compare(const void *first, const void *second)
{
    const struct domain_count *a = *(const struct domain_count *const *)first;
    const struct domain_count *b = *(const struct domain_count *const *)second;

    return a->missing != b->missing ? (a->missing < b->missing) - (a->missing > b->missing)
                                    : strcmp(a->name, b->name);
}

static struct domain_list counts_list(struct domain_counts *counts, bool all)
{
    struct domain_list list = { .is_all = all || counts->is_all_doubtful };

    list.domains = memory_new((counts->domains.count + 1) * sizeof(*list.domains));
    map_each(&counts->domains, domain_collect, &list);
    qsort(list.domains, list.count, sizeof(*list.domains), domain_compare);
    return list;
}

uint64_t domain_counts_doubtful(struct domain_counts *counts)
{
    struct domain_list list = counts_list(counts, false);

    free(list.domains);
    return list.missing;
}

void domain_counts_each(struct domain_counts *counts, bool all, size_t limit,
                        void (*visit)(void *context, const char *domain, uint64_t missing,
                                      uint64_t accounts),
                        void *context)
{
    struct domain_list list = counts_list(counts, all);

    for (size_t i = 0; i < list.count && i < limit; i++)
        visit(context, list.domains[i]->name, list.domains[i]->missing, list.domains[i]->accounts);
    free(list.domains);
}

/* --- the alarm ---------------------------------------------------------------------- */

static void domain_log(void *context, const char *domain, uint64_t missing, uint64_t accounts)
{
    const char *action = context;

    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "refresh_doubtful", LOG_TEXT("action", action),
              LOG_TEXT("domain", domain), LOG_INTEGER("would_remove", missing),
              LOG_INTEGER("accounts", accounts));
}

void domain_counts_log(struct domain_counts *counts, const char *action)
{
    if (counts->is_all_doubtful)
        domain_log((void *)(uintptr_t)action, "*", counts->missing, counts->accounts);
    else
        domain_counts_each(counts, false, COUNTS_LOGGED_MAX, domain_log, (void *)(uintptr_t)action);
}
