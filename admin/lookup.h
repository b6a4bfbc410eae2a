/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead lookup: where an address goes, and why. */
#ifndef MAILSTEAD_ADMIN_LOOKUP_H
#define MAILSTEAD_ADMIN_LOOKUP_H

#include "admin/command.h"

enum command_status lookup_run(const struct arguments *arguments);

#endif
