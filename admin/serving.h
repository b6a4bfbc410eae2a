/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead probe: whether the daemon of this machine serves, as its clients would find it. */
#ifndef MAILSTEAD_ADMIN_SERVING_H
#define MAILSTEAD_ADMIN_SERVING_H

#include "admin/command.h"

/*
 * Asks the daemon on its control socket and reads the greeting of each listener of its
 * configuration, all of it within three seconds.  COMMAND_OK when each of them answered; else
 * COMMAND_FAILED, and a line for each that did not.
 */
enum command_status serving_run(const struct arguments *arguments);

#endif
