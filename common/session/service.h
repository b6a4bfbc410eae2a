/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all sessions of one worker share, and the head that each of them has.
 */
#ifndef MAILSTEAD_SESSION_SERVICE_H
#define MAILSTEAD_SESSION_SERVICE_H

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/random.h"
#include "common/proto/sasl.h"
#include "common/service/child.h"
#include "common/session/abuse.h"
#include "common/session/alarms.h"
#include "common/session/backends.h"
#include "common/session/departures.h"
#include "common/session/resolver.h"
#include "common/session/target.h"

struct session_service;
struct mail_fallback; /* mail_session.h */
struct mail_peers;
struct mail_pool;

/* The rule by which a route becomes a target; the frontend and the backend node each have theirs.
 */
typedef void session_choose(const struct session_service *service, enum protocol protocol,
                            const struct route *route, struct target *target);

/* The mail of an account at `backend` may have changed: a delivery, or the end of its session. */
typedef void session_touched(void *context, const char *backend, enum route_key key,
                             const char *name);

struct session_service {
    struct io_loop *loop;
    const struct config *config;
    struct board_slot *slot;
    struct resolver *resolver;
    struct backends backends; /* follows the directory while the worker runs */
    session_choose *choose;
    const struct mail_fallback *fallback; /* NULL: nothing can be queued here */
    void *fallback_context;
    session_touched *touched; /* NULL: nobody wants to know */
    void *touched_context;
    struct mail_pool *mail_pool;   /* NULL: connections for mail are not used again */
    struct mail_peers *mail_peers; /* NULL: sessions are not counted by address */
    struct abuse *abuse;           /* NULL: nobody is limited */
    SSL_CTX *tls_server;           /* NULL: no certificate configured */
    SSL_CTX *tls_backend;          /* NULL: TLS towards backends is off */
    bool peers_are_trusted;        /* only frontends connect: what they forward is believed */
    bool holds_logins;             /* a login waits for a backend that is down */
    struct list sessions;          /* of struct session */
    struct list strangers;         /* of them: who has told no credentials, the oldest first */
    size_t session_count;
    size_t sessions_max;      /* crowd.h */
    struct list registry;     /* of all sessions, in the order in which they began */
    struct list walks;        /* of struct session_walk, over the registry */
    struct map accounts;      /* the sessions that are logged in, by account */
    struct list transactions; /* a node's: of struct mail_transaction, all that are open */
    struct departures departures;
    struct alarms alarms;
    struct {
        uint64_t bits;     /* backends_common_offers, not older than a second */
        uint64_t until_ms; /* 0: never asked */
    } offers[PROTOCOL_COUNT];
    /* How a backend last told that it refuses a token, in base64; by kind of credentials. */
    char token_challenges[CREDENTIALS_EXTERNAL + 1][SASL_CHALLENGE_SIZE];
    bool is_draining;
    void (*emptied)(struct session_service *service); /* draining, and the last session is gone */
};

/* What a session tells of itself. */
struct session_view {
    const char *tls;   /* the version, "balancer", or "no" */
    bool is_busy;      /* it would lose something if it ended now */
    uint64_t bytes_in; /* that were relayed from the client */
};

/* The common head of a session. */
struct session {
    struct list node;
    struct list stranger_node; /* in service->strangers */
    struct list registry_node;
    struct session_service *service;
    const struct listener_config *listener;
    char id[RANDOM_ID_SIZE];
    char peer_address[46];
    uint16_t peer_port;
    uint64_t started_ms;
    struct map_node account_node;  /* in service->accounts while logged in at `backend` */
    char *account;                 /* canonical name once it is known whose it is; NULL before */
    char *login_key;               /* the key by which it was found then */
    char backend[ROUTE_HOST_SIZE]; /* where it is logged in; empty: nowhere */
    struct list departure_node;    /* in service->departures while it waits to go */
    uint64_t revision;             /* resolver_revision before it was found to be there */
    struct abuse_session abuse;    /* what is counted for it */
    bool was_relayed;              /* by a node, to us: we relay it no further */
    bool has_asked;                /* it told credentials, or began a message */
    bool ended_itself;             /* by a command of its protocol */
    uint64_t touched_bytes;        /* bytes_in when somebody last looked for changes */
    const char *abandoned;         /* its backend has ended it: why; NULL: it has not */
    uint64_t storages;             /* those that it uses (storage_use.h); bit 0 is number 1 */
    bool is_parted;                /* it was asked to go because of one of them */
    void (*end)(struct session *session, const char *reason); /* asks it to go; idempotent */
    /* The same, for a storage that is given up: it goes when the store has done with it.  May be
     * NULL, then `end` is. */
    void (*part)(struct session *session, const char *reason);
    /* May be NULL, then it has nothing to tell. */
    void (*view)(const struct session *session, struct session_view *view);
};

/* Registers a new session; `end` is kept. */
void session_start(struct session *session, struct session_service *service,
                   const struct listener_config *listener, const struct sockaddr_storage *peer,
                   void (*end)(struct session *session, const char *reason));

/*
 * It is logged in at `backend` as the account that `route` found from now on: a change of the
 * account's owner ends it.
 */
void session_log_in(struct session *session, const struct route *route, const char *backend);

/*
 * It acts for `account` from now on, and is logged in at no backend: a change of the account's
 * owner is nothing to it.
 */
void session_act_for(struct session *session, const char *account);

/* Where a connection to a target goes out from; to a node's own store, from wherever the kernel
 * says. */
const struct endpoint_sources *session_sources(const struct session_service *service,
                                               const struct target *target);

/*
 * Where `route` leads this session: by service->choose; but what a node has relayed to us goes to
 * our own store or nowhere, so that two nodes that disagree never send it to and fro.
 */
void session_choose_target(struct session *session, enum protocol protocol,
                           const struct route *route, struct target *target);

/*
 * Makes a target of the backend called `name`: GO, DOWN, or TEMPORARY and misconfigured when there
 * is none.
 */
void session_target_backend(const struct session_service *service, enum protocol protocol,
                            const char *name, struct target *target);

/*
 * `target`, made from `route`, is refused temporarily: raises the alarm when somebody has to
 * correct something.  The level for the session's own line about it.
 */
enum log_level session_alarm(const struct session *session, const struct route *route,
                             const struct target *target);

/*
 * To be asked by a session whose peer has begun TLS by `ssl`, NULL: it has not.  Why a node does
 * not serve it, which is logged: it has not shown a frontend's certificate; NULL: it is served.
 */
const char *session_why_not_served(const struct session *session, const SSL *ssl);

/*
 * The level of the line about its end.  At a node, whose frontends look every few seconds whether
 * it greets, one that ends itself and has asked for nothing is of interest to nobody.
 */
enum log_level session_end_level(const struct session *session);

/* It waits for credentials: a worker that is full may ask it to end for another. */
void session_is_stranger(struct session *session);

/* It does not any more; idempotent. */
void session_is_known(struct session *session);

/* Takes it out of the registry of accounts; idempotent. */
void session_log_out(struct session *session);

/*
 * The directory says that `account` is owned by `host` now (empty: it is gone): its sessions
 * that are logged in elsewhere depart, those that are logged in there stay.  At a node the mail for
 * it that is under way is given up, unless it is complete; who sends it keeps it.
 */
void session_service_account_changed(struct session_service *service, struct span account,
                                     struct span host);

/* The directory says that many changed: looks each logged in account up, soon, and does the same.
 */
void session_service_many_changed(struct session_service *service);

/* Takes it out; to be called once, from its last close event. */
void session_finish(struct session *session);

/*
 * Prepares a service whose other members are set.  It is stopped when no session is left, and may
 * be freed by the fini when `stopped` was called, from the loop.
 */
void session_service_init(struct session_service *service);
void session_service_stop(struct session_service *service,
                          void (*stopped)(struct session_service *service));
void session_service_fini(struct session_service *service);

/* Calls `emptied` once no session is left; no new session may start. */
void session_service_drain(struct session_service *service);

/* Asks the oldest stranger to end, which closes its descriptors now; false when there is none. */
bool session_service_make_room(struct session_service *service) __attribute__((warn_unused_result));

/* What there is behind a protocol (backends_common_offers); looked up once a second at most. */
uint64_t session_service_offers(struct session_service *service, enum protocol protocol);

/* Asks every session to end. */
void session_service_end_all(struct session_service *service, const char *reason);

#endif
