/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead dovecot-config: the configuration of the Dovecot behind a backend node. */
#ifndef MAILSTEAD_ADMIN_DOVECOT_H
#define MAILSTEAD_ADMIN_DOVECOT_H

#include "admin/command.h"

enum command_status dovecot_config_run(const struct arguments *arguments);

#endif
