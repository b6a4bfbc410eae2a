/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what over the admin port: one table of the commands, and the names of certificates. */
#ifndef MAILSTEAD_SERVICE_ADMIN_ROLES_H
#define MAILSTEAD_SERVICE_ADMIN_ROLES_H

#include "common/service/config.h"

enum admin_role {
    ADMIN_ROLE_NONE,
    ADMIN_ROLE_READ,   /* may ask */
    ADMIN_ROLE_OPERATE /* may change something, too */
};
extern const char *const admin_role_names[3]; /* "none", "read", "operate" */

/* The least role that may give this command; ADMIN_ROLE_NONE: no process has such a command. */
enum admin_role admin_role_for(const char *command);

/* The role that the configuration gives to the name of a certificate. */
enum admin_role admin_role_of(const struct admin_port_config *config, const char *name);

#endif
