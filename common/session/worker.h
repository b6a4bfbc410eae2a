/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker that both daemons have: listeners, sessions, the resolver, and an
 * orderly end.  What differs (the rule for targets, who may connect, what else
 * must be finished before the end) is in worker_options.
 */
#ifndef MAILSTEAD_SESSION_WORKER_H
#define MAILSTEAD_SESSION_WORKER_H

#include "common/io/listener.h"
#include "common/session/crowd.h"
#include "common/session/drain.h"
#include "common/session/mail_peers.h"
#include "common/session/mail_pool.h"
#include "common/session/prober.h"
#include "common/session/session_orders.h"
#include "common/session/storage_use.h"

struct worker;

struct worker_options {
    session_choose *choose;
    const struct mail_fallback *fallback; /* NULL: none */
    void *fallback_context;
    session_touched *touched; /* NULL: nobody wants to know */
    void *touched_context;
    bool peers_are_trusted;
    bool holds_logins;
    bool probes_backends;
    /* False refuses a connection at once; NULL: everybody may connect. */
    bool (*may_connect)(void *context, const struct sockaddr_storage *peer);
    /* The worker begins to drain: what is not a session's should take on nothing new.  NULL: none.
     */
    void (*draining)(void *context);
    /* Asks the owner's other activities to end; it calls worker_released when they have.  NULL:
     * none. */
    void (*release)(struct worker *worker, void *context);
    void *context;
};

struct worker {
    struct child *child;
    struct worker_options options;
    struct session_service service;
    struct crowd crowd;
    struct mail_pool mail_pool;
    struct mail_peers mail_peers;
    struct abuse abuse;
    struct session_orders orders;
    struct drain drain;
    struct storage_watch storages; /* of a node that has some; else zeroed */
    struct resolver resolver;
    struct prober *prober;
    struct listener *listeners;
    size_t listeners_open;
    unsigned stops_pending; /* parts that have not stopped yet; all sessions together are one */
    bool is_stopping, is_drained;
};

/* Prepares everything; false after one log line when the certificates are of no use. */
bool worker_start(struct worker *worker, struct child *child, const struct worker_options *options)
    __attribute__((warn_unused_result));

/* Runs until the worker has drained or was told to stop, and frees all. */
void worker_run_loop(struct worker *worker);

/* What worker_options.release was asked for is done. */
void worker_released(struct worker *worker);

#endif
