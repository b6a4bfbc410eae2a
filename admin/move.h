/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead reassign and mailstead restore: moving all accounts of a backend. */
#ifndef MAILSTEAD_ADMIN_MOVE_H
#define MAILSTEAD_ADMIN_MOVE_H

#include "admin/command.h"
#include "common/service/backend.h"
#include "directory/reassign/reassign.h"

enum command_status reassign_run_command(const struct arguments *arguments);
enum command_status restore_run_command(const struct arguments *arguments);

/*
 * Runs `plan`, of which all but its functions is set, and shows its progress and its result.
 * Interrupts are caught by the caller (interrupt.h): one stops it behind what is in flight.
 */
void move_run(const struct config *config, struct reassign_plan *plan, bool is_json,
              struct reassign_result *result);

/* The exit status that stands for the end of a run: what was changed counts, too. */
enum command_status move_status(const struct reassign_result *result);

/*
 * What makes a move look unsafe, one line each to standard error: a backend that is left still
 * answers, or may, since its name cannot be resolved; or the one that is gone to does not answer,
 * or is not to be up.  `from` NULL: only `to` is looked at.  True when there is nothing.
 */
bool move_is_safe(const struct backend *from, const struct backend *to);

#endif
