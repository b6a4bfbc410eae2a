/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon of this machine is asked first: what it knows outlives the directory, and is what it
 * routes by.  Where none runs, the directory itself is read.
 */
#include "admin/backend_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "common/base/memory.h"
#include "directory/backend_read.h"
#include "directory/backend_status.h"

static void take_answer(const json_t *lines, struct backend_set *set)
{
    struct backend *backends = memory_new(BACKENDS_MAX * sizeof(*backends));
    size_t count = 0, i;
    json_t *line;

    json_array_foreach (lines, i, line)
        if (count < BACKENDS_MAX && backend_from_status(line, &backends[count]) &&
            backends[count].is_from_directory)
            count++;
    backend_set_update(set, backends, count);
    free(backends);
}

void backend_list_load(const struct config *config, struct backend_set *set)
{
    char error[CONFIG_ERROR_SIZE];
    json_t *lines;

    backend_set_init(set, config);
    if (!config->directory.backend_base)
        return;
    lines = daemon_ask(config, json_pack("{s:s}", "command", "backends"), DAEMON_TIMEOUT_MS, error);
    if (lines)
        take_answer(lines, set);
    else if (!backend_read_directory(set, error)) {
        fputs("mailstead: the directory's backends cannot be read: ", stderr);
        print_harmless(stderr, error);
        fputc('\n', stderr);
    }
    json_decref(lines);
}

const struct backend *backend_list_find(const struct backend_set *set, const char *name)
{
    const struct backend *backend = backend_set_find(set, name);

    if (backend)
        return backend;
    fputs("mailstead: \"", stderr);
    print_harmless(stderr, name);
    fprintf(stderr, "\" is no backend of %s%s; there are:", set->config->file,
            set->config->directory.backend_base ? " or of the directory" : "");
    for (size_t i = 0; i < set->count; i++)
        fprintf(stderr, " %s", backend_set_at(set, i)->name);
    fputc('\n', stderr);
    return NULL;
}
