/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead who, kick, drain: the sessions of the nodes, and how they are made to go. */
#ifndef MAILSTEAD_ADMIN_SESSIONS_H
#define MAILSTEAD_ADMIN_SESSIONS_H

#include "admin/command.h"

enum command_status who_run(const struct arguments *arguments);
enum command_status kick_run(const struct arguments *arguments);
enum command_status drain_run(const struct arguments *arguments);

#endif
