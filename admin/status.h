/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead status: what the daemon of this machine does, and what is wrong with it. */
#ifndef MAILSTEAD_ADMIN_STATUS_H
#define MAILSTEAD_ADMIN_STATUS_H

#include <jansson.h>

#include "admin/command.h"

enum command_status status_run(const struct arguments *arguments);

/*
 * What is wrong in an answer to "status" with the rows of "health" as "backends": an
 * array of texts that the caller owns, empty when all is well (status_problems.c).
 */
json_t *status_problems(const json_t *status);

/* Writes the answer for people (status_print.c). */
void status_print(const json_t *status, FILE *stream);

/* The protocols of a row of "health"; ended by NULL. */
extern const char *const status_protocols[];

#endif
