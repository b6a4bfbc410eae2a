/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead mirror: the copy of the directory that this machine's daemon routes by. */
#ifndef MAILSTEAD_ADMIN_MIRROR_H
#define MAILSTEAD_ADMIN_MIRROR_H

#include "admin/command.h"

enum command_status mirror_status_run(const struct arguments *arguments);
enum command_status mirror_accept_run(const struct arguments *arguments);
enum command_status mirror_discard_run(const struct arguments *arguments);
enum command_status mirror_verify_run(const struct arguments *arguments);

#endif
