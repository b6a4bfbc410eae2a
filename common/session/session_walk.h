/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going through all sessions of a service in slices, while sessions start and end in between.
 * Each that was there at the begin and is still there is met once.
 */
#ifndef MAILSTEAD_SESSION_SESSION_WALK_H
#define MAILSTEAD_SESSION_SESSION_WALK_H

#include "common/session/service.h"

struct session_walk {
    struct list node;  /* in service->walks */
    struct list *next; /* of service->registry: the session that comes next, or its head */
    size_t left;       /* sessions at most */
    struct session_service *service;
};

/* To be ended by session_walk_end. */
void session_walk_begin(struct session_walk *walk, struct session_service *service);

/* The next session, or NULL when all were met.  It may be ended at once. */
struct session *session_walk_next(struct session_walk *walk);

/* Idempotent. */
void session_walk_end(struct session_walk *walk);

/* For service.c: `session` leaves the registry. */
void session_walk_pass_over(struct session *session);

#endif
