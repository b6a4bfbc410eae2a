/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control command "lookup": routes an address as a session would, and tells each step.
 *
 *     -> {"command":"lookup","address":"a+b@example.org","login":false}
 *     <- {"step":"a+b@example.org","rule":"exact","found":"none"}
 *     <- {"step":"a@example.org","rule":"detail","found":"one"}
 *     <- {"outcome":"found","rule":"detail","key":"a@example.org","account":"a@example.org",
 *         "recipient":"a+b@example.org","host":"sv1","old_host":"","revision":17}
 *
 * "found" is none, one, several or failed; what follows the deciding step is not looked up and not
 * told.  The last line also has "reason" for misconfigured and unavailable, and for unknown
 * "confirmed": absent, present or unsure, as a live search says.
 */
#ifndef MAILSTEAD_DIRECTORY_LOOKUP_H
#define MAILSTEAD_DIRECTORY_LOOKUP_H

#include "common/service/backend_set.h"
#include "common/service/control.h"
#include "directory/confirm.h"
#include "directory/mirror.h"

/* What a lookup uses; everything is borrowed. */
struct lookup_sources {
    const struct config *config;
    struct mirror *mirror;
    struct confirm *confirm;
    const struct backend_set *backends; /* that there are; NULL: they are nobody's business here */
};

/* Answers `request` by `arguments`, perhaps later (after the live search). */
void lookup_answer(const struct lookup_sources *sources, struct control_request *request,
                   json_t *arguments);

#endif
