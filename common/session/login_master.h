/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By which name and with which secret an account is logged in at its owner.  That is its canonical
 * name and what the client presented; but for EXTERNAL, where there is nothing to replay, it is
 * the configured master user: NAME, separator, MASTER.  A backend node takes such a name from a
 * frontend, looks NAME up, and says it to its store as it came.
 */
#ifndef MAILSTEAD_SESSION_LOGIN_MASTER_H
#define MAILSTEAD_SESSION_LOGIN_MASTER_H

#include "common/session/service.h"

/* The account's part of a name that a client gave: all of it, unless a node's peer says more. */
struct span login_master_account(const struct session_service *service, const char *name);

/*
 * Writes the name under which `account` is logged in.  Credentials that came by EXTERNAL become the
 * master user's: `is_external` says so, also when they were prepared before.  False when the name
 * cannot be sent, or there is no master user though one is needed.
 */
bool login_master_prepare(const struct session_service *service, bool is_external,
                          struct credentials *credentials, const char *account,
                          char name[LOGIN_NAME_SIZE]) __attribute__((warn_unused_result));

#endif
