/* SPDX-License-Identifier: Apache-2.0 */
/* `mailstead storage`: the storages of the backend node of this machine. */
#ifndef MAILSTEAD_ADMIN_STORAGE_H
#define MAILSTEAD_ADMIN_STORAGE_H

#include "admin/command.h"

enum command_status storage_attach_run(const struct arguments *arguments);
enum command_status storage_release_run(const struct arguments *arguments);
enum command_status storage_init_run(const struct arguments *arguments);
enum command_status storage_status_run(const struct arguments *arguments);

#endif
