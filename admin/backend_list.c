/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/backend_list.h"

#include <stdio.h>

#include "admin/output.h"

void backend_list_load(const struct config *config, struct backend_set *set)
{
    backend_set_init(set, config);
}

const struct backend *backend_list_find(const struct backend_set *set, const char *name)
{
    const struct backend *backend = backend_set_find(set, name);

    if (backend)
        return backend;
    fputs("mailstead: \"", stderr);
    print_harmless(stderr, name);
    fprintf(stderr, "\" is no backend of %s; there are:", set->config->file);
    for (size_t i = 0; i < set->count; i++)
        fprintf(stderr, " %s", backend_set_at(set, i)->name);
    fputc('\n', stderr);
    return NULL;
}
