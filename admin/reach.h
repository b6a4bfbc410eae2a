/* SPDX-License-Identifier: Apache-2.0 */
/* The daemons that this command can ask, and how. */
#ifndef MAILSTEAD_ADMIN_REACH_H
#define MAILSTEAD_ADMIN_REACH_H

#include "common/service/config.h"

enum { REACH_MAX = 256, REACH_NAME_SIZE = 128 };

struct reach_daemon {
    char name[REACH_NAME_SIZE];   /* of cluster.frontend, or "this machine's daemon" */
    char path[CONFIG_ERROR_SIZE]; /* its control socket; empty: it is on another machine */
    bool is_listed;               /* in the configuration: it ought to answer */
};

/*
 * Lists the frontends of the configuration in their order, and the daemon of its run_directory when
 * that is none of them: their count.  `daemons` has room for REACH_MAX.
 */
size_t reach_list(const struct config *config, struct reach_daemon *daemons);

#endif
