/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of lookups and what each answer means.  It holds no state, waits for
 * nothing and never says UNKNOWN of what it could not look up: a source that
 * fails is UNAVAILABLE, an entry that cannot be used is MISCONFIGURED.
 */
#include "directory/route.h"

#include <stdio.h>

#include "common/base/buffer.h"

/*
 * Where the detail of an address begins (its delimiter), or the length of its local part
 * when it has none.  A quoted local part is opaque.
 */
static size_t route_find_detail(const struct route_rules *rules, struct span address)
{
    struct span local = span_take(address, span_find_last(address, '@'));
    size_t start;

    if (!rules->recipient_delimiter || !*rules->recipient_delimiter || local.length == 0 ||
        local.data[0] == '"')
        return local.length;
    start = span_find(local, *rules->recipient_delimiter);
    return start == 0 ? local.length : start;
}

/* The detail of an address with its delimiter, or the empty span. */
static struct span route_detail(const struct route_rules *rules, struct span address)
{
    size_t start = route_find_detail(rules, address);

    return span_drop(span_take(address, span_find_last(address, '@')), start);
}

struct route_step_list {
    struct route_step *steps;
    size_t count;
};

static void route_add_step(struct route_step_list *list, enum route_rule rule, struct span local,
                           struct span domain, bool without_detail)
{
    struct route_step *step = &list->steps[list->count];
    struct buffer value = buffer_over(step->value, sizeof(step->value));

    buffer_append(&value, local);
    buffer_append(&value, domain);
    if (!buffer_append_byte(&value, '\0'))
        return;
    step->rule = rule;
    step->without_detail = without_detail;
    list->count++;
}

/* The name itself and, when it has no domain, under the default one (may be empty). */
static void route_add_name(struct route_step_list *list, enum route_rule rule, struct span local,
                           struct span domain, struct span default_domain, bool without_detail)
{
    route_add_step(list, rule, local, domain, without_detail);
    if (default_domain.length > 0)
        route_add_step(list, rule, local, default_domain, without_detail);
}

/* The domain that `domain` (with its "@", perhaps empty) is an alias of, in the same form. */
static struct span route_find_alias(const struct route_rules *rules, struct span domain,
                                    char memory[ROUTE_ADDRESS_SIZE])
{
    char name[ROUTE_ADDRESS_SIZE];
    const char *of;

    if (!rules->alias_of || !span_copy_string(span_drop(domain, 1), name, sizeof(name)))
        return SPAN_EMPTY;
    of = rules->alias_of(rules->context, name);
    if (!of)
        return SPAN_EMPTY;
    snprintf(memory, ROUTE_ADDRESS_SIZE, "@%s", of);
    return span_from_string(memory);
}

size_t route_steps(const struct route_rules *rules, enum route_key key, const char *normal,
                   const char *default_domain, struct route_step steps[ROUTE_STEPS_MAX])
{
    struct route_step_list list = { steps, 0 };
    struct span name = span_from_string(normal);
    struct span local = span_take(name, span_find_last(name, '@'));
    struct span domain = span_drop(name, local.length); /* with its "@" */
    struct span base = span_take(local, route_find_detail(rules, name));
    bool has_default = key == ROUTE_KEY_LOGIN && domain.length == 0 && default_domain;
    char suffix_memory[ROUTE_ADDRESS_SIZE] = "", alias_memory[ROUTE_ADDRESS_SIZE];
    struct span suffix, alias;

    if (local.length == 0) /* "@domain" is the catch-all's own key, and no address */
        return 0;
    if (has_default)
        snprintf(suffix_memory, sizeof(suffix_memory), "@%s", default_domain);
    string_to_lower(suffix_memory);
    suffix = span_from_string(suffix_memory);
    alias = route_find_alias(rules, has_default ? suffix : domain, alias_memory);
    route_add_name(&list, ROUTE_RULE_EXACT, local, domain, suffix, false);
    if (base.length < local.length)
        route_add_name(&list, ROUTE_RULE_DETAIL, base, domain, suffix, true);
    if (alias.length > 0)
        route_add_step(&list, ROUTE_RULE_ALIAS, local, alias, false);
    if (alias.length > 0 && base.length < local.length)
        route_add_step(&list, ROUTE_RULE_ALIAS, base, alias, true);
    if (key == ROUTE_KEY_ADDRESS && domain.length > 1)
        route_add_name(&list, ROUTE_RULE_CATCH_ALL, SPAN_EMPTY, domain, alias, false);
    return list.count;
}

static void route_refuse(struct route *route, enum route_outcome outcome, const char *reason)
{
    route->outcome = outcome;
    route->reason = reason;
}

/* The account with the detail put back before its domain; without it when that does not fit. */
static void route_set_recipient(struct route *route, struct span detail)
{
    struct span account = span_from_string(route->account);
    struct span local = span_take(account, span_find_last(account, '@'));
    struct buffer recipient = buffer_over(route->recipient, sizeof(route->recipient));

    buffer_append(&recipient, local);
    buffer_append(&recipient, detail);
    buffer_append(&recipient, span_drop(account, local.length));
    if (!buffer_append_byte(&recipient, '\0'))
        memcpy(route->recipient, route->account, sizeof(route->recipient));
}

static void route_take_entry(struct route *route, const struct route_entry *entry,
                             struct span detail)
{
    memcpy(route->account, entry->account, sizeof(route->account));
    memcpy(route->host, entry->host, sizeof(route->host));
    memcpy(route->old_host, entry->old_host, sizeof(route->old_host));
    route_set_recipient(route, detail);
    if (entry->has_several_hosts)
        route_refuse(route, ROUTE_MISCONFIGURED, "the account's entry names several hosts");
    else if (entry->host[0])
        route->outcome = ROUTE_FOUND;
    else if (entry->is_relayed)
        route->outcome = ROUTE_RELAY;
    else
        route_refuse(route, ROUTE_MISCONFIGURED, "the account's entry names no host");
}

/* Looks one step up; true when that decides the outcome. */
static bool route_try_step(const struct route_source *source, enum route_key key,
                           const struct route_step *step, struct span detail, struct route *route)
{
    struct route_entry entry;
    enum route_found found =
        source->find(source->context, key, span_from_string(step->value), &entry);

    if (found == ROUTE_FIND_NONE)
        return false;
    route->rule = step->rule;
    memcpy(route->key, step->value, sizeof(route->key));
    switch (found) {
    case ROUTE_FIND_ONE:
        route_take_entry(route, &entry, step->without_detail ? detail : SPAN_EMPTY);
        break;
    case ROUTE_FIND_SEVERAL:
        route_refuse(route, ROUTE_MISCONFIGURED, "several entries have this address");
        break;
    default:
        route_refuse(route, ROUTE_UNAVAILABLE, "the mirror cannot be read");
    }
    return true;
}

static void route_walk(const struct route_rules *rules, const struct route_source *source,
                       enum route_key key, const char *default_domain, struct span detail,
                       struct route *route)
{
    struct route_step steps[ROUTE_STEPS_MAX];
    size_t count = route_steps(rules, key, route->key, default_domain, steps);

    for (size_t i = 0; i < count; i++)
        if (route_try_step(source, key, &steps[i], detail, route))
            return;
    route->outcome = ROUTE_UNKNOWN;
}

static void route_clear(struct route *route)
{
    *route = (struct route){ .outcome = ROUTE_UNKNOWN, .rule = ROUTE_RULE_NONE };
}

/* <postmaster>, and <postmaster@hostname> when the host name is no domain of the cluster. */
static bool route_is_bare_postmaster(const struct route_rules *rules, const char *normal)
{
    const struct span name = SPAN_LITERAL("postmaster");
    struct span given = span_from_string(normal);
    struct span domain = span_drop(given, name.length);

    if (!span_equals(span_take(given, name.length), name))
        return false;
    if (domain.length == 0)
        return true;
    return domain.data[0] == '@' && rules->hostname &&
           span_equals_ignore_case(span_drop(domain, 1), span_from_string(rules->hostname)) &&
           !rules->has_domain(rules->context, domain.data + 1);
}

static void route_postmaster(const struct route_rules *rules, const struct route_source *source,
                             struct route *route)
{
    snprintf(route->key, sizeof(route->key), "postmaster@%s",
             rules->first_domain ? rules->first_domain : "");
    string_to_lower(route->key);
    route_walk(rules, source, ROUTE_KEY_ADDRESS, NULL, SPAN_EMPTY, route);
    if (route->outcome == ROUTE_UNKNOWN)
        route_refuse(route, ROUTE_MISCONFIGURED, "no account has the postmaster's address");
}

void route_address(const struct route_rules *rules, const struct route_source *source,
                   struct span address, struct route *route)
{
    char tidy[ROUTE_ADDRESS_SIZE];
    const char *at;

    route_clear(route);
    if (!route_tidy(address, tidy))
        return;
    memcpy(route->key, tidy, sizeof(tidy));
    string_to_lower(route->key);
    if (route_is_bare_postmaster(rules, route->key)) {
        route_postmaster(rules, source, route);
        return;
    }
    at = strrchr(route->key, '@');
    if (at && !rules->has_domain(rules->context, at + 1)) {
        route->outcome = ROUTE_NOT_OURS;
        return;
    }
    route_walk(rules, source, ROUTE_KEY_ADDRESS, NULL, route_detail(rules, span_from_string(tidy)),
               route);
}

void route_login(const struct route_rules *rules, const struct route_source *source,
                 struct span name, const char *default_domain, struct route *route)
{
    route_clear(route);
    if (!route_normalise(name, route->key))
        return;
    route_walk(rules, source, ROUTE_KEY_LOGIN, default_domain, SPAN_EMPTY, route);
}

const char *route_outcome_name(enum route_outcome outcome)
{
    static const char *const names[] = { "found",    "relay",         "unknown",
                                         "not-ours", "misconfigured", "unavailable" };

    return names[outcome];
}

const char *route_rule_name(enum route_rule rule)
{
    static const char *const names[] = { "none", "exact", "detail", "domain-alias", "catch-all" };

    return names[rule];
}
