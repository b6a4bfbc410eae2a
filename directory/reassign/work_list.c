/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/reassign/work_list.h"

#include <stdlib.h>

#include "common/base/memory.h"

enum { WORK_LIST_SEARCH_MS = 120000, WORK_LIST_PAGE_SIZE = 5000 };

static void work_list_ask(struct work_list *list);

bool work_list_init(struct work_list *list, const struct reassign_plan *plan,
                    const struct directory_config *names)
{
    *list = (struct work_list){ .plan = plan, .names = names, .page_size = WORK_LIST_PAGE_SIZE };
    return plan_write_filter(plan, names, list->filter);
}

void work_list_fini(struct work_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

static void work_list_keep(struct work_list *list, struct plan_item *item)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 1024;
        list->items = memory_resize(list->items, list->capacity * sizeof(struct plan_item *));
    }
    list->items[list->count++] = item;
}

static void work_list_on_entry(void *context, const struct ldap_entry *entry)
{
    struct work_list *list = context;
    const char *why;
    struct plan_item *item = plan_judge(list->plan, list->names, entry, &why);

    if (item) {
        work_list_keep(list, item);
        list->events->kept(list->context, item);
    } else {
        list->events->passed_over(list->context, entry->dn, why);
    }
}

static void work_list_on_reference(void *context, const char *uri)
{
    struct work_list *list = context;

    list->events->elsewhere(list->context, uri);
}

/* Nothing was listed: a smaller page, or none, may be allowed.  False when it is not about that. */
static bool work_list_try_smaller(struct work_list *list, const struct ldap_answer *answer)
{
    if (list->page_size == 0 || list->count > 0 || list->page_length > 0)
        return false;
    if (answer->code == LDAP_CODE_NO_PAGES)
        list->page_size = 0;
    else if (answer->code == LDAP_CODE_UNWILLING || answer->code == LDAP_CODE_ADMIN_LIMIT)
        list->page_size /= 10;
    else
        return false;
    work_list_ask(list);
    return true;
}

static bool work_list_is_enough(const struct work_list *list, const struct ldap_answer *answer)
{
    return (answer->code == LDAP_CODE_SIZE_LIMIT || answer->code == LDAP_CODE_ADMIN_LIMIT) &&
           list->plan->limit > 0 && list->count >= list->plan->limit;
}

static void work_list_on_page(void *context, const struct ldap_answer *answer)
{
    struct work_list *list = context;

    if (answer->code == LDAP_CODE_LOST)
        return; /* the link's end follows */
    if (answer->code != LDAP_CODE_SUCCESS) {
        if (work_list_is_enough(list, answer))
            list->events->complete(list->context, true);
        else if (!work_list_try_smaller(list, answer))
            list->events->failed(list->context, answer);
    } else if (answer->page.length > 0) {
        memcpy(list->page, answer->page.data, answer->page.length);
        list->page_length = answer->page.length;
        work_list_ask(list);
    } else {
        list->events->complete(list->context, false);
    }
}

/* Asks for the next page. */
static void work_list_ask(struct work_list *list)
{
    static const struct ldap_search_events events = { .entry = work_list_on_entry,
                                                      .reference = work_list_on_reference,
                                                      .done = work_list_on_page };
    const char *attributes[] = { list->names->host_attribute, list->names->old_host_attribute,
                                 NULL };
    struct ldap_search search = { .base = list->names->base,
                                  .scope = LDAP_SCOPE_OF_SUBTREE,
                                  .filter = list->filter,
                                  .attributes = attributes,
                                  .timeout_ms = WORK_LIST_SEARCH_MS,
                                  .page_size = list->page_size,
                                  .page = span_of(list->page, list->page_length) };

    (void)ldap_link_search(list->link, &search, &events, list);
}

static void work_list_on_settled(void *context, const struct ldap_answer *answer)
{
    if (answer->code != LDAP_CODE_LOST)
        work_list_ask(context);
}

/*
 * A run that was killed may have its last transaction still under way, and its entries would be
 * listed as they were.  A server has one writer at a time: a change that waits for it
 * comes after that transaction.  This one has an assertion that holds for no entry.
 */
static void work_list_settle(struct work_list *list)
{
    struct ldap_change change = { LDAP_CHANGE_ADD, list->names->host_attribute, list->plan->from };
    struct ldap_modify modify = { .dn = list->names->base,
                                  .changes = &change,
                                  .change_count = 1,
                                  .assertion = "(&(objectClass=*)(!(objectClass=*)))",
                                  .timeout_ms = WORK_LIST_SEARCH_MS };

    (void)ldap_link_modify(list->link, &modify, work_list_on_settled, list);
}

void work_list_fill(struct work_list *list, struct ldap_link *link, bool has_assertions,
                    const struct work_list_events *events, void *context)
{
    list->link = link;
    list->events = events;
    list->context = context;
    if (has_assertions && !list->plan->is_dry_run)
        work_list_settle(list);
    else
        work_list_ask(list);
}
