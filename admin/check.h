/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead check: the configuration, as a daemon would read it, and what is doubtful in it. */
#ifndef MAILSTEAD_ADMIN_CHECK_H
#define MAILSTEAD_ADMIN_CHECK_H

#include "admin/command.h"
#include "common/service/backend_set.h"

enum command_status check_run(const struct arguments *arguments);

enum { CHECK_TEXT_SIZE = 512 };

/* Told for each thing that works but should perhaps not be so. */
typedef void check_warning(void *context, const char *text);

/*
 * Looks for what is doubtful in a configuration that is right (check_doubts.c); `backends` are
 * those that there are.
 */
void check_doubts(const struct config *config, enum config_program program,
                  const struct backend_set *backends, check_warning *warn, void *context);

/*
 * Asks the directory's servers, harmlessly, whether the identities may write what they should not,
 * or may not write what they should (check_rights.c).
 */
void check_rights(const struct config *config, check_warning *warn, void *context);

#endif
