/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/host_counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "directory/errand.h"

enum { COUNTS_PAGE_SIZE = 5000, COUNTS_FILTER_SIZE = 4096 };

void host_counts_fini(struct host_counts *counts)
{
    free(counts->items);
    *counts = (struct host_counts){ .items = NULL };
}

static struct host_count *counts_find(const struct host_counts *counts, const char *host,
                                      const char *old_host)
{
    for (size_t i = 0; i < counts->count; i++)
        if (strcmp(counts->items[i].host, host) == 0 &&
            strcmp(counts->items[i].old_host, old_host) == 0)
            return &counts->items[i];
    return NULL;
}

/* No backend is called what is no text. */
static const char *counts_name(const char *name)
{
    return span_is_utf8(span_from_string(name)) ? name : "";
}

bool host_counts_add(struct host_counts *counts, const char *host, const char *old_host,
                     uint64_t accounts)
{
    struct host_count *item;

    host = counts_name(host);
    old_host = counts_name(old_host);
    item = counts_find(counts, host, old_host);
    if (!item) {
        if (counts->count == HOST_COUNTS_MAX)
            return false;
        counts->items = memory_resize(counts->items, (counts->count + 1) * sizeof(*counts->items));
        item = &counts->items[counts->count++];
        *item = (struct host_count){ .accounts = 0 };
        snprintf(item->host, sizeof(item->host), "%s", host);
        snprintf(item->old_host, sizeof(item->old_host), "%s", old_host);
    }
    item->accounts += accounts;
    return true;
}

uint64_t host_counts_sum(const struct host_counts *counts, const char *host, const char *old_host)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < counts->count; i++)
        if ((!host || strcmp(counts->items[i].host, host) == 0) &&
            (!old_host || strcmp(counts->items[i].old_host, old_host) == 0))
            sum += counts->items[i].accounts;
    return sum;
}

/* --- from the directory ----------------------------------------------------------------- */

struct reading {
    const struct directory_config *names;
    struct host_counts *counts;
    bool is_too_much;
};

/* The one value that makes a backend's name, else "". */
static void reading_take_value(const struct ldap_entry *entry, const char *attribute,
                               char name[BACKEND_NAME_SIZE])
{
    const struct ldap_attribute *found = ldap_entry_find(entry, attribute);

    *name = '\0';
    if (found && found->value_count == 1)
        (void)!span_copy_string(found->values[0], name, BACKEND_NAME_SIZE);
}

static void reading_on_entry(void *context, const struct ldap_entry *entry)
{
    struct reading *reading = context;
    char host[BACKEND_NAME_SIZE], old_host[BACKEND_NAME_SIZE];

    reading_take_value(entry, reading->names->host_attribute, host);
    reading_take_value(entry, reading->names->old_host_attribute, old_host);
    if (!host_counts_add(reading->counts, host, old_host, 1))
        reading->is_too_much = true;
}

static int reading_run(struct reading *reading, struct errand *errand, const char *filter)
{
    const char *attributes[] = { reading->names->host_attribute, reading->names->old_host_attribute,
                                 NULL };
    struct ldap_search search = { .base = reading->names->base,
                                  .scope = LDAP_SCOPE_OF_SUBTREE,
                                  .filter = filter,
                                  .attributes = attributes,
                                  .page_size = COUNTS_PAGE_SIZE };
    int code = errand_search(errand, &search, reading_on_entry, reading);

    if (code == LDAP_CODE_NO_PAGES && reading->counts->count == 0) {
        search.page_size = 0;
        code = errand_search(errand, &search, reading_on_entry, reading);
    }
    return code;
}

bool host_counts_read_directory(const struct config *config, const char *filter,
                                struct host_counts *counts, char error[HOST_COUNTS_ERROR_SIZE])
{
    struct reading reading = { .names = &config->directory, .counts = counts };
    char all[COUNTS_FILTER_SIZE];
    struct errand errand;
    bool is_read;

    *counts = (struct host_counts){ .items = NULL };
    snprintf(all, sizeof(all), "(&%s%s)", config->directory.filter, filter ? filter : "");
    is_read =
        errand_begin(&errand, config, config->admin.write_uri ? ERRAND_WRITER : ERRAND_READER) &&
        reading_run(&reading, &errand, all) == LDAP_CODE_SUCCESS;
    snprintf(error, HOST_COUNTS_ERROR_SIZE, "%s",
             reading.is_too_much ? "there are too many different values" : errand.error);
    errand_end(&errand);
    return is_read && !reading.is_too_much;
}
