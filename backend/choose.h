/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate's rule: an account goes to the store of this node if its hostServer is this
 * node's name, and this node has seen the directory since it started, or was ordered to serve
 * before that.  All else is refused temporarily; another node's account in words by which
 * the frontend resolves again at once.
 */
#ifndef MAILSTEAD_BACKEND_CHOOSE_H
#define MAILSTEAD_BACKEND_CHOOSE_H

#include "common/session/service.h"

/* See session_choose in common/session/service.h. */
void backend_choose(const struct session_service *service, enum protocol protocol,
                    const struct route *route, struct target *target);

#endif
