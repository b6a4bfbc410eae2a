/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values are deleted by name, so that a server without RFC 4528 too refuses an entry whose
 * hostServer is another by now.
 */
#include "directory/reassign/plan.h"

#include <stdlib.h>

#include "common/base/memory.h"
#include "directory/route.h"

static struct span plan_value(const struct ldap_attribute *attribute)
{
    return attribute && attribute->value_count > 0 ? attribute->values[0] : SPAN_EMPTY;
}

static size_t plan_count(const struct ldap_attribute *attribute)
{
    return attribute ? attribute->value_count : 0;
}

static bool plan_is_usable(struct span value)
{
    return value.length < ROUTE_HOST_SIZE && !span_has_line_break_or_nul(value);
}

/* Why the entry is to be left alone, or NULL. */
static const char *plan_object(const struct reassign_plan *plan, const struct ldap_attribute *host,
                               const struct ldap_attribute *old_host)
{
    if (plan_count(host) > 1)
        return "its entry names several hosts";
    if (plan_count(old_host) > 1)
        return "its entry names several old hosts";
    if (!plan_is_usable(plan_value(host)) || !plan_is_usable(plan_value(old_host)))
        return "its host's name is none";
    if (plan->kind == REASSIGN_MOVE && plan_count(host) == 0)
        return "its entry names no host";
    return NULL;
}

/* Copies `value` behind `*end` with a NUL and moves that on; NULL for the empty span. */
static char *plan_copy(char **end, struct span value)
{
    char *copy = *end;

    if (value.length == 0)
        return NULL;
    memcpy(copy, value.data, value.length);
    *end += value.length + 1; /* the memory is zeroed */
    return copy;
}

struct plan_item *plan_judge(const struct reassign_plan *plan, const struct directory_config *names,
                             const struct ldap_entry *entry, const char **why)
{
    const struct ldap_attribute *host = ldap_entry_find(entry, names->host_attribute);
    const struct ldap_attribute *old_host = ldap_entry_find(entry, names->old_host_attribute);
    struct plan_item *item;
    char *end;

    *why = plan_object(plan, host, old_host);
    if (*why)
        return NULL;
    item = memory_new(sizeof(*item) + strlen(entry->dn) + plan_value(host).length +
                      plan_value(old_host).length + 3);
    end = (char *)(item + 1);
    item->dn = plan_copy(&end, span_from_string(entry->dn));
    item->host = plan_copy(&end, plan_value(host));
    item->old_host = plan_copy(&end, plan_value(old_host));
    return item;
}

static void plan_append_equals(struct buffer *filter, const char *attribute, const char *value)
{
    buffer_append_format(filter, "(%s=", attribute);
    ldap_escape(filter, span_from_string(value));
    buffer_append_byte(filter, ')');
}

/* The entries that are to change by their hosts. */
static void plan_append_hosts(struct buffer *filter, const struct reassign_plan *plan,
                              const struct directory_config *names)
{
    if (plan->kind == REASSIGN_RESTORE) {
        plan_append_equals(filter, names->old_host_attribute, plan->from);
        return;
    }
    if (plan->is_permanent)
        buffer_append_string(filter, "(|");
    plan_append_equals(filter, names->host_attribute, plan->from);
    if (!plan->is_permanent)
        return;
    buffer_append_string(filter, "(&");
    plan_append_equals(filter, names->host_attribute, plan->to);
    plan_append_equals(filter, names->old_host_attribute, plan->from);
    buffer_append_string(filter, "))");
}

/* Those with an address in one of the domains, whichever attribute it is in. */
static void plan_append_domains(struct buffer *filter, const struct reassign_plan *plan,
                                const struct directory_config *names)
{
    if (plan->domain_count == 0)
        return;
    buffer_append_string(filter, "(|");
    for (size_t i = 0; i < plan->domain_count; i++)
        for (size_t k = 0; k < names->address_attributes.count; k++) {
            buffer_append_format(filter, "(%s=*@", names->address_attributes.items[k]);
            ldap_escape(filter, span_from_string(plan->domains[i]));
            buffer_append_byte(filter, ')');
        }
    buffer_append_byte(filter, ')');
}

bool plan_write_filter(const struct reassign_plan *plan, const struct directory_config *names,
                       char filter[PLAN_FILTER_SIZE])
{
    struct buffer buffer = buffer_over(filter, PLAN_FILTER_SIZE);

    buffer_append_format(&buffer, "(&%s", names->filter);
    plan_append_hosts(&buffer, plan, names);
    plan_append_domains(&buffer, plan, names);
    if (plan->filter)
        buffer_append_string(&buffer, plan->filter);
    buffer_append_byte(&buffer, ')');
    return buffer_append_byte(&buffer, '\0');
}

static void plan_assert(struct buffer *assertion, const char *attribute, const char *value)
{
    if (value)
        plan_append_equals(assertion, attribute, value);
    else
        buffer_append_format(assertion, "(!(%s=*))", attribute);
}

static void plan_add(struct plan_change *change, enum ldap_change_kind kind, const char *attribute,
                     const char *value)
{
    change->changes[change->modify.change_count++] = (struct ldap_change){ kind, attribute, value };
}

static bool plan_is_same(const char *a, const char *b)
{
    return a && b && span_equals_ignore_case(span_from_string(a), span_from_string(b));
}

const char *plan_host_after(const struct reassign_plan *plan)
{
    return plan->kind == REASSIGN_MOVE ? plan->to : plan->from;
}

/* An oldHostServer is kept, unless the mail is on the new host now. */
const char *plan_old_host_after(const struct reassign_plan *plan, const struct plan_item *item)
{
    if (plan->is_permanent)
        return NULL;
    if (!item->old_host)
        return item->host;
    return plan_is_same(item->old_host, plan_host_after(plan)) ? NULL : item->old_host;
}

/* Deletes the value before and adds the value after, where they differ. */
static void plan_add_step(struct plan_change *change, const char *attribute, const char *before,
                          const char *after)
{
    if (before == after || plan_is_same(before, after))
        return;
    if (before)
        plan_add(change, LDAP_CHANGE_DELETE, attribute, before);
    if (after)
        plan_add(change, LDAP_CHANGE_ADD, attribute, after);
}

void plan_write_change(const struct reassign_plan *plan, const struct directory_config *names,
                       const struct plan_item *item, struct plan_change *change)
{
    struct buffer assertion = buffer_over(change->assertion, sizeof(change->assertion));

    change->modify = (struct ldap_modify){ .dn = item->dn,
                                           .changes = change->changes,
                                           .assertion = change->assertion };
    plan_add_step(change, names->host_attribute, item->host, plan_host_after(plan));
    plan_add_step(change, names->old_host_attribute, item->old_host,
                  plan_old_host_after(plan, item));
    buffer_append_string(&assertion, "(&");
    plan_assert(&assertion, names->host_attribute, item->host);
    plan_assert(&assertion, names->old_host_attribute, item->old_host);
    buffer_append_string(&assertion, ")");
    if (!buffer_append_byte(&assertion, '\0'))
        abort(); /* plan_judge bounds the names */
}
