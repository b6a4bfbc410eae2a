/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many sessions a worker takes: as many as its descriptors serve, two for each.  A full one
 * goes on accepting: who has not yet told his credentials makes room, the one that came first
 * before the others; when there is no such session, the new client is refused in its own protocol.
 */
#ifndef MAILSTEAD_SESSION_CROWD_H
#define MAILSTEAD_SESSION_CROWD_H

#include "common/session/service.h"

struct crowd {
    struct session_service *service;
    uint64_t told_ms; /* when the log was last told that it is full; 0: never */
};

/* Sets service->sessions_max from the limit of descriptors. */
void crowd_init(struct crowd *crowd, struct session_service *service);

/*
 * Whether a session may start on the connection `fd` of `listener`; another may have been asked to
 * end for it.  False: the client was told, as far as it could be, and `fd` is closed.
 */
bool crowd_admits(struct crowd *crowd, const struct listener_config *listener, int fd)
    __attribute__((warn_unused_result));

#endif
