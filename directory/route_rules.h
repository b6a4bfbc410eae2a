/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of route.h as a configuration has them. */
#ifndef MAILSTEAD_DIRECTORY_ROUTE_RULES_H
#define MAILSTEAD_DIRECTORY_ROUTE_RULES_H

#include "common/service/config.h"
#include "directory/route.h"

/* `config` is borrowed as long as the rules are used. */
struct route_rules route_rules_of(const struct config *config);

#endif
