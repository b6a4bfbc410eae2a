/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenLDAP works on half as many operations of one connection as it has threads, and each of the
 * two persistent searches of a follower (the accounts, the backends) is one for ever.
 */
#include "directory/server_threads.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "directory/errand.h"

enum { SERVER_THREADS_MIN = 8, NUMBER_SIZE = 16 };

struct shown {
    const char *base, *attribute;
    unsigned long count; /* 0: not shown */
};

static void keep_count(void *context, const struct ldap_entry *entry)
{
    struct shown *shown = context;
    const struct ldap_attribute *attribute = ldap_entry_find(entry, shown->attribute);
    char number[NUMBER_SIZE];

    if (attribute && attribute->value_count == 1 &&
        span_copy_string(attribute->values[0], number, sizeof(number)))
        shown->count = strtoul(number, NULL, 10);
}

static void ask(struct errand *errand, struct shown *shown)
{
    const char *const attributes[] = { shown->attribute, NULL };
    const struct ldap_search search = { .base = shown->base,
                                        .scope = LDAP_SCOPE_OF_BASE,
                                        .filter = "(objectClass=*)",
                                        .attributes = attributes };

    (void)errand_search(errand, &search, keep_count, shown);
}

void server_threads_examine(const struct config *config, server_threads_doubt *doubt, void *context)
{
    struct shown places[] = { { "cn=config", "olcThreads", 0 },
                              { "cn=Max,cn=Threads,cn=Monitor", "monitoredInfo", 0 } };
    char text[SERVER_THREADS_TEXT_SIZE];
    unsigned long count = 0;
    struct errand errand;

    if (!config->directory.backend_base)
        return;
    if (errand_begin(&errand, config, ERRAND_READER))
        for (size_t i = 0; i < ARRAY_LENGTH(places) && count == 0; i++) {
            ask(&errand, &places[i]);
            count = places[i].count;
        }
    errand_end(&errand);
    if (count == 0 || count >= SERVER_THREADS_MIN)
        return;
    snprintf(
        text, sizeof(text),
        "directory.backend_base: slapd has %lu threads (olcThreads); with fewer than %d it works "
        "off nothing but the two searches of each connection that follows",
        count, SERVER_THREADS_MIN);
    doubt(context, text);
}
