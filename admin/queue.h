/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead queue list, show, stat: what waits on this frontend. */
#ifndef MAILSTEAD_ADMIN_QUEUE_H
#define MAILSTEAD_ADMIN_QUEUE_H

#include <jansson.h>

#include "admin/command.h"

enum command_status queue_list_run(const struct arguments *arguments);
enum command_status queue_show_run(const struct arguments *arguments);
enum command_status queue_stat_run(const struct arguments *arguments);

/* The request `command` ("queue-list") with the messages and the filters of the command line. */
json_t *queue_request(const char *command, const struct arguments *arguments);

#endif
