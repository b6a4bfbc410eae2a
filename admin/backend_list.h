/* SPDX-License-Identifier: Apache-2.0 */
/* The backends that a subcommand may name. */
#ifndef MAILSTEAD_ADMIN_BACKEND_LIST_H
#define MAILSTEAD_ADMIN_BACKEND_LIST_H

#include "common/service/backend_set.h"

/* Those that there are; `config` is borrowed, and the set is the caller's to fini. */
void backend_list_load(const struct config *config, struct backend_set *set);

/*
 * The backend called `name`, valid as long as the set; NULL after a line to standard error that
 * says which there are.
 */
const struct backend *backend_list_find(const struct backend_set *set, const char *name);

#endif
