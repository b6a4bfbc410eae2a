/* SPDX-License-Identifier: Apache-2.0 */
/* The frontend's rule: an account's session goes to the backend that its hostServer names. */
#ifndef MAILSTEAD_FRONTEND_CHOOSE_H
#define MAILSTEAD_FRONTEND_CHOOSE_H

#include "common/session/service.h"

/* See session_choose in common/session/service.h. */
void frontend_choose(const struct session_service *service, enum protocol protocol,
                     const struct route *route, struct target *target);

#endif
