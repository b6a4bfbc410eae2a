/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/reach.h"

#include <stdio.h>
#include <string.h>

#include "admin/daemon.h"

size_t reach_list(const struct config *config, struct reach_daemon *daemons)
{
    const struct cluster_config *cluster = &config->cluster;
    char own[CONFIG_ERROR_SIZE];
    bool has_own = false;
    size_t count = 0;

    daemon_socket(config, own);
    for (; count < cluster->frontend_count && count + 1 < REACH_MAX; count++) {
        const struct frontend_config *frontend = &cluster->frontends[count];
        struct reach_daemon *daemon = &daemons[count];

        *daemon = (struct reach_daemon){ .is_listed = true };
        snprintf(daemon->name, sizeof(daemon->name), "%s", frontend->name);
        if (frontend->control_socket)
            snprintf(daemon->path, sizeof(daemon->path), "%s", frontend->control_socket);
        has_own |= strcmp(daemon->path, own) == 0;
    }
    if (has_own)
        return count;
    daemons[count] = (struct reach_daemon){ .name = "this machine's daemon" };
    snprintf(daemons[count].path, sizeof(daemons[count].path), "%s", own);
    return count + 1;
}
