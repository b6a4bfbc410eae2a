/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a login session, shared by its parts: login_session.c (its life),
 * login_client.c (the client's side), login_route.c (the way to the owner), login_backend.c
 * (the owner's side), login_refusal.c and login_relay.c.
 */
#ifndef MAILSTEAD_SESSION_LOGIN_STATE_H
#define MAILSTEAD_SESSION_LOGIN_STATE_H

#include "common/base/state.h"
#include "common/io/deadline.h"
#include "common/io/keepalive.h"
#include "common/io/relay.h"
#include "common/proto/imap_server.h"
#include "common/proto/pop3_server.h"
#include "common/proto/sieve_server.h"
#include "common/session/login_attempt.h"
#include "common/session/login_master.h"
#include "common/session/login_session.h"
#include "common/session/proxied.h"

enum login_state {
    LOGIN_STATE_PROXIED,        /* a balancer tells whose connection it is */
    LOGIN_STATE_SECURING,       /* TLS handshake with the client */
    LOGIN_STATE_TALKING,        /* with the client, until its credentials are known */
    LOGIN_STATE_RESOLVING,      /* a live search is under way */
    LOGIN_STATE_HELD,           /* the owner cannot take it now; will resolve again */
    LOGIN_STATE_CONNECTING,     /* to the owner */
    LOGIN_STATE_AUTHENTICATING, /* with the owner */
    LOGIN_STATE_DELAYED,        /* a refusal that must not come at once */
    LOGIN_STATE_RELAYING,
    LOGIN_STATE_PARTING, /* the client is gone; the owner may still write what it was told */
    LOGIN_STATE_ENDING
};

/* What only the login needs; freed when the relay starts. */
struct login {
    struct login_session *session;
    union {
        struct login_server head;
        struct imap_server imap;
        struct pop3_server pop3;
        struct sieve_server sieve;
    } server;
    const struct login_server_ops *server_ops;
    const struct login_client_ops *client_ops;
    struct bytes proxy_header;             /* PROXIED: what has come of it */
    char proxied_id[PROXY_HEADER_ID_SIZE]; /* what it called the connection; empty: nothing */
    struct intake client_intake;
    struct resolver_request request;
    struct target target;
    struct login_attempt attempt;
    struct keepalive_wait wait;     /* AUTHENTICATING: of the deadline */
    struct forwarded forwarded;     /* what is passed on to the owner */
    char name[LOGIN_NAME_SIZE];     /* by which the owner is asked to log it in */
    char identity[LOGIN_NAME_SIZE]; /* whom the client's certificate names; or empty */
    uint64_t credentials_ms;        /* when the credentials were complete */
    unsigned refusals;
    bool has_waited;                     /* it was held */
    bool is_elsewhere;                   /* another node has the account */
    unsigned elsewheres;                 /* how often a node has said so */
    bool is_allowed;                     /* abuse_login_allowed has said so of these credentials */
    bool is_blocked;                     /* it has not: DELAYED, a temporary refusal */
    bool was_refused;                    /* the backend has judged the credentials */
    enum credentials_kind kind;          /* of the credentials, which may be wiped already */
    char refusal[LOGIN_TEXT_SIZE];       /* DELAYED and HELD: the backend's words; empty: our own */
    char challenge[SASL_CHALLENGE_SIZE]; /* with `refusal`: how it told that it refuses a token */
};

struct login_session {
    struct session session;
    struct state state;
    struct transport client;
    struct transport backend;
    struct deadline deadline;
    struct relay relay;
    struct login *login; /* NULL once relaying */
    const char *end_reason;
    bool backend_is_open;
    bool is_secured;    /* TLS with the client */
    bool is_kept_alive; /* the kernel asks the backend whether it is there */
    unsigned open_handles;
};

/* --- its life --- */

/* Ends it, whatever it does; idempotent.  `reason` is static. */
void login_session_end(struct login_session *session, const char *reason);

/* Ends it with a goodbye in the client's protocol; not while securing or relaying. */
void login_session_goodbye(struct login_session *session, const char *text, const char *reason);

/* Frees and wipes what only the login needed. */
void login_session_forget_login(struct login_session *session);

/* Sends what a machine wrote; ends the session and returns false when the client is gone. */
bool login_session_send(struct login_session *session, struct transport *transport,
                        struct buffer *out);

/* How TLS comes to the client: the version, "balancer" when one does it, or "no". */
const char *login_session_tls(const struct login_session *session);

/* To be called when a handle of the session has sent its last event. */
void login_session_handle_closed(struct login_session *session);

/* --- the client's side --- */

extern const struct transport_events login_client_events;

/* The client itself begins: TLS at once, or the greeting. */
void login_client_begin(struct login_session *session);

/* Runs the machine over what has come, until it needs more or asks something. */
void login_client_pump(struct login_session *session);

/* --- the way to the owner --- */

/* What failures of this login are counted for: the account, or the name that is none. */
const char *login_route_name(const struct login *login);

/* Resolves the account and goes where the answer leads. */
void login_route_resolve(struct login_session *session);

/* The done event of login->request. */
void login_route_answered(struct resolver_request *request);

/* The time to resolve a held login again has come. */
void login_route_try_again(struct login_session *session);

/* The owner cannot take it now: it waits and is resolved again, or is refused temporarily. */
void login_route_hold(struct login_session *session, const char *why);

/* The owner has refused it with these words, and told so by this challenge or none. */
void login_route_refused(struct login_session *session, struct span text, struct span challenge,
                         enum login_denial denial);

/* --- the owner's side --- */

/* Connects to login->target and replays the credentials there. */
void login_backend_start(struct login_session *session);

/* The deadline of an attempt has come: the owner gets more time, or has not answered. */
void login_backend_expired(struct login_session *session);

/* Gives up what login_backend_start began and has not ended. */
void login_backend_abandon(struct login_session *session);

/* --- refusals --- */

void login_refusal_temporary(struct login_session *session, const char *why);

/* The credentials are refused, after the time that every such refusal takes. */
void login_refusal_delay(struct login_session *session);

/* They are not tried now, after too many failures: as much later, a temporary refusal. */
void login_refusal_block(struct login_session *session);

/* That time is over. */
void login_refusal_due(struct login_session *session);

/* --- the relay --- */

/* The owner has accepted the login with these words. */
void login_relay_accepted(struct login_session *session, struct span text);

/* To be called from the ready event of either transport while relaying. */
void login_relay_ready(struct login_session *session, struct transport *transport,
                       unsigned readiness);

/* Whether bytes have come just now, so that something may be under way. */
bool login_relay_is_busy(const struct login_session *session);

/* Lets the client go, and ends when the owner has closed its side, too. */
void login_relay_part(struct login_session *session, const char *reason);

/* To be called from the ready event of the owner's transport while parting. */
void login_relay_parting_ready(struct login_session *session);

/* The deadline of a session that relays: ends one that was idle for too long. */
void login_relay_idle(struct login_session *session);

#endif
