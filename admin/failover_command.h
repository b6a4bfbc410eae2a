/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead failover and mailstead failback. */
#ifndef MAILSTEAD_ADMIN_FAILOVER_COMMAND_H
#define MAILSTEAD_ADMIN_FAILOVER_COMMAND_H

#include "admin/command.h"

enum command_status failover_run_command(const struct arguments *arguments);
enum command_status failback_run_command(const struct arguments *arguments);

#endif
