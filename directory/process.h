/* SPDX-License-Identifier: Apache-2.0 */
/* The role "directory" of both daemons: the only process with libldap and its password. */
#ifndef MAILSTEAD_DIRECTORY_PROCESS_H
#define MAILSTEAD_DIRECTORY_PROCESS_H

#include "common/service/child.h"

/*
 * Follows the directory, keeps the mirror, serves directory.sock (child->service_fd), and the
 * control commands "lookup" (lookup.h) and "directory-status".  False when the mirror cannot be
 * opened.
 */
bool directory_run(struct child *child);

#endif
