/* SPDX-License-Identifier: Apache-2.0 */
/* How the copies of a backend's accounts stand, and orders to make them. */
#ifndef MAILSTEAD_ADMIN_REPLICA_H
#define MAILSTEAD_ADMIN_REPLICA_H

#include "admin/command.h"

enum command_status replica_status_run(const struct arguments *arguments);
enum command_status replica_sync_run(const struct arguments *arguments);

#endif
