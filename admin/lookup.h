/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead lookup: where an address goes, and why. */
#ifndef MAILSTEAD_ADMIN_LOOKUP_H
#define MAILSTEAD_ADMIN_LOOKUP_H

#include <jansson.h>

#include "admin/command.h"

enum command_status lookup_run(const struct arguments *arguments);

/* Writes the daemon's answer for people. */
void lookup_print(const json_t *answer, const char *address, bool is_login, bool wants_why,
                  FILE *stream);

#endif
