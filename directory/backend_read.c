/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/backend_read.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "directory/backend_entry.h"
#include "directory/errand.h"

struct backend_reading {
    const struct directory_config *config;
    struct backend *backends; /* BACKENDS_MAX */
    size_t count;
};

static void reading_take(void *context, const struct ldap_entry *entry)
{
    struct backend_reading *reading = context;
    char why[BACKEND_WHY_SIZE];

    if (reading->count < BACKENDS_MAX &&
        backend_entry_read(reading->config, entry, &reading->backends[reading->count], why))
        reading->count++;
}

static int reading_run(struct backend_reading *reading, struct errand *errand)
{
    const char *attributes[BACKEND_ATTRIBUTES_MAX];
    const struct ldap_search search = { .base = reading->config->backend_base,
                                        .scope = LDAP_SCOPE_OF_SUBTREE,
                                        .filter = reading->config->backend_filter,
                                        .attributes = attributes };

    backend_entry_attributes(reading->config, attributes);
    return errand_search(errand, &search, reading_take, reading);
}

bool backend_read_directory(struct backend_set *set, char error[BACKEND_READ_ERROR_SIZE])
{
    struct backend_reading reading = { .config = &set->config->directory };
    struct errand errand;
    bool is_read;

    reading.backends = memory_new(BACKENDS_MAX * sizeof(*reading.backends));
    is_read = errand_begin(&errand, set->config, ERRAND_READER) &&
              reading_run(&reading, &errand) == LDAP_CODE_SUCCESS;
    if (is_read)
        backend_set_update(set, reading.backends, reading.count);
    else
        snprintf(error, BACKEND_READ_ERROR_SIZE, "%s: %s", set->config->directory.backend_base,
                 errand.error);
    errand_end(&errand);
    free(reading.backends);
    return is_read;
}
