/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this daemon can serve, for /health: what the board shows.  Nobody is asked, so that it is
 * known at once.
 */
#ifndef MAILSTEAD_SERVICE_ADMIN_HEALTH_H
#define MAILSTEAD_SERVICE_ADMIN_HEALTH_H

#include <jansson.h>

#include "common/service/child.h"

/* The reasons why not, an array of strings that the caller owns; empty: it can. */
json_t *admin_health_reasons(const struct child *child);

#endif
