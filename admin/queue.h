/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead queue: what waits on this frontend, and trying it now. */
#ifndef MAILSTEAD_ADMIN_QUEUE_H
#define MAILSTEAD_ADMIN_QUEUE_H

#include <jansson.h>

#include "admin/command.h"

enum command_status queue_list_run(const struct arguments *arguments);
enum command_status queue_show_run(const struct arguments *arguments);
enum command_status queue_flush_run(const struct arguments *arguments);

#endif
