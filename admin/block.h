/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead block: who is refused logins after too many failures. */
#ifndef MAILSTEAD_ADMIN_BLOCK_H
#define MAILSTEAD_ADMIN_BLOCK_H

#include "admin/command.h"

enum command_status block_list_run(const struct arguments *arguments);
enum command_status block_clear_run(const struct arguments *arguments);

#endif
