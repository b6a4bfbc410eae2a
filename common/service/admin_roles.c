/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command that is not in the table is refused over the admin port, whoever asks: tests/orders.sh
 * compares it with what the processes answer.
 */
#include "common/service/admin_roles.h"

#include <string.h>

#include "common/base/memory.h"

const char *const admin_role_names[3] = { "none", "read", "operate" };

static const struct {
    const char *command;
    enum admin_role role;
} commands[] = {
    { "backends", ADMIN_ROLE_READ },
    { "block-clear", ADMIN_ROLE_OPERATE },
    { "block-list", ADMIN_ROLE_READ },
    { "directory-status", ADMIN_ROLE_READ },
    { "drain", ADMIN_ROLE_OPERATE },
    { "kick", ADMIN_ROLE_OPERATE },
    { "lookup", ADMIN_ROLE_READ },
    { "metrics", ADMIN_ROLE_READ },
    { "mirror-accept", ADMIN_ROLE_OPERATE },
    { "mirror-discard", ADMIN_ROLE_OPERATE },
    { "mirror-held", ADMIN_ROLE_READ },
    { "mirror-hosts", ADMIN_ROLE_READ },
    { "mirror-verify", ADMIN_ROLE_OPERATE }, /* reads the whole directory */
    { "node-leave", ADMIN_ROLE_OPERATE },
    { "node-override", ADMIN_ROLE_OPERATE },
    { "node-return", ADMIN_ROLE_OPERATE },
    { "node-status", ADMIN_ROLE_READ },
    { "ping", ADMIN_ROLE_READ },
    { "queue-adopt", ADMIN_ROLE_OPERATE },
    { "queue-bounce", ADMIN_ROLE_OPERATE },
    { "queue-delete", ADMIN_ROLE_OPERATE },
    { "queue-flush", ADMIN_ROLE_OPERATE },
    { "queue-hold", ADMIN_ROLE_OPERATE },
    { "queue-list", ADMIN_ROLE_READ },
    { "queue-release", ADMIN_ROLE_OPERATE },
    { "queue-show", ADMIN_ROLE_READ },
    { "queue-stat", ADMIN_ROLE_READ },
    { "replica-status", ADMIN_ROLE_READ },
    { "replica-sync", ADMIN_ROLE_OPERATE },
    { "status", ADMIN_ROLE_READ },
    { "storage-attach", ADMIN_ROLE_OPERATE },
    { "storage-init", ADMIN_ROLE_OPERATE },
    { "storage-release", ADMIN_ROLE_OPERATE },
    { "who", ADMIN_ROLE_READ },
};

enum admin_role admin_role_for(const char *command)
{
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (strcmp(commands[i].command, command) == 0)
            return commands[i].role;
    return ADMIN_ROLE_NONE;
}

static bool list_has(const struct string_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return false;
}

enum admin_role admin_role_of(const struct admin_port_config *config, const char *name)
{
    if (list_has(&config->operate, name))
        return ADMIN_ROLE_OPERATE;
    return list_has(&config->read, name) ? ADMIN_ROLE_READ : ADMIN_ROLE_NONE;
}
