/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The definitions come as texts, "( 2.25.1.1 NAME 'hostServer' DESC ... )" or
 * "NAME ( 'mail' 'rfc822Mailbox' )".  Only the names behind NAME are looked for.  A directory that
 * does not answer is not this module's to tell.
 */
#include "directory/schema.h"

#include <stdio.h>
#include <string.h>

#include "directory/errand.h"

enum { NAMES_MAX = 32, DN_SIZE = 512 };

struct wanted {
    const char *names[NAMES_MAX];
    bool is_known[NAMES_MAX];
    size_t count;
    bool has_definitions;
    char dn[DN_SIZE]; /* of the subschema; empty: none is shown */
};

static void want(struct wanted *wanted, const char *name)
{
    if (name && *name && wanted->count < NAMES_MAX)
        wanted->names[wanted->count++] = name;
}

static void want_list(struct wanted *wanted, const struct string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        want(wanted, list->items[i]);
}

static void want_all(struct wanted *wanted, const struct directory_config *directory)
{
    want_list(wanted, &directory->address_attributes);
    want_list(wanted, &directory->login_attributes);
    want(wanted, directory->host_attribute);
    want(wanted, directory->old_host_attribute);
    want(wanted, directory->store_name_attribute);
    if (!directory->backend_base)
        return;
    want(wanted, directory->backend_name_attribute);
    want(wanted, directory->backend_address_attribute);
    want(wanted, directory->backend_state_attribute);
    want(wanted, directory->backend_weight_attribute);
}

static void keep_dn(void *context, const struct ldap_entry *entry)
{
    struct wanted *wanted = context;
    const struct ldap_attribute *attribute = ldap_entry_find(entry, "subschemaSubentry");

    if (attribute && attribute->value_count > 0 && !*wanted->dn &&
        !span_copy_string(attribute->values[0], wanted->dn, sizeof(wanted->dn)))
        *wanted->dn = '\0';
}

static void take_name(struct wanted *wanted, struct span name)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (span_equals_ignore_case(name, span_from_string(wanted->names[i])))
            wanted->is_known[i] = true;
}

/* The quoted words behind NAME, up to the next keyword. */
static void take_definition(struct wanted *wanted, struct span definition)
{
    struct span word;
    bool is_name = false;

    while (definition.length > 0) {
        word = span_split(&definition, ' ');
        if (span_equals(word, span_from_string("NAME")))
            is_name = true;
        else if (is_name && word.length > 2 && word.data[0] == '\'')
            take_name(wanted, span_take(span_drop(word, 1), word.length - 2));
        else if (is_name && word.length > 0 && word.data[0] != '(')
            return;
    }
}

static void take_definitions(void *context, const struct ldap_entry *entry)
{
    struct wanted *wanted = context;
    const struct ldap_attribute *attribute = ldap_entry_find(entry, "attributeTypes");

    for (size_t i = 0; attribute && i < attribute->value_count; i++) {
        wanted->has_definitions = true;
        take_definition(wanted, attribute->values[i]);
    }
}

static void read_schema(struct errand *errand, const struct config *config, struct wanted *wanted)
{
    static const char *const entry[] = { "subschemaSubentry", NULL };
    static const char *const types[] = { "attributeTypes", NULL };
    struct ldap_search search = { .base = config->directory.base,
                                  .scope = LDAP_SCOPE_OF_BASE,
                                  .filter = "(objectClass=*)",
                                  .attributes = entry };

    (void)errand_search(errand, &search, keep_dn, wanted);
    search.base = *wanted->dn ? wanted->dn : "cn=Subschema";
    search.filter = "(objectClass=subschema)";
    search.attributes = types;
    (void)errand_search(errand, &search, take_definitions, wanted);
}

void schema_examine(const struct config *config, schema_doubt *doubt, void *context)
{
    struct wanted wanted = { .count = 0 };
    char text[SCHEMA_TEXT_SIZE];
    struct errand errand;

    want_all(&wanted, &config->directory);
    if (errand_begin(&errand, config, ERRAND_READER))
        read_schema(&errand, config, &wanted);
    errand_end(&errand);
    for (size_t i = 0; wanted.has_definitions && i < wanted.count; i++)
        if (!wanted.is_known[i]) {
            snprintf(text, sizeof(text),
                     "directory: the server's schema has no attribute \"%.100s\"; "
                     "contrib/mailstead.schema has those of Mailstead",
                     wanted.names[i]);
            doubt(context, text);
        }
}
