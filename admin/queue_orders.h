/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead queue hold, release, flush, delete, bounce, adopt: what is done to what waits. */
#ifndef MAILSTEAD_ADMIN_QUEUE_ORDERS_H
#define MAILSTEAD_ADMIN_QUEUE_ORDERS_H

#include "admin/command.h"

enum command_status queue_hold_run(const struct arguments *arguments);
enum command_status queue_release_run(const struct arguments *arguments);
enum command_status queue_flush_run(const struct arguments *arguments);
enum command_status queue_delete_run(const struct arguments *arguments);
enum command_status queue_bounce_run(const struct arguments *arguments);
enum command_status queue_adopt_run(const struct arguments *arguments);

#endif
