/* SPDX-License-Identifier: Apache-2.0 */
/* The directory's backends for who does not follow them: the administrator's command. */
#ifndef MAILSTEAD_DIRECTORY_BACKEND_READ_H
#define MAILSTEAD_DIRECTORY_BACKEND_READ_H

#include "common/service/backend_set.h"

enum { BACKEND_READ_ERROR_SIZE = 320 };

/*
 * Reads the entries once, as the identity that follows (its password is in the set's
 * configuration), and updates the set; what is wrong with an entry leaves it out.  Waits for the
 * server.  False, with the reason, when it cannot be asked.
 */
bool backend_read_directory(struct backend_set *set, char error[BACKEND_READ_ERROR_SIZE])
    __attribute__((warn_unused_result));

#endif
