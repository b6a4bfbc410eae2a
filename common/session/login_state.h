/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a login session, shared by its two halves: login_session.c (the
 * client's side, and the life of the session) and login_backend.c (the owner's side).
 */
#ifndef MAILSTEAD_SESSION_LOGIN_STATE_H
#define MAILSTEAD_SESSION_LOGIN_STATE_H

#include "common/base/state.h"
#include "common/io/connector.h"
#include "common/io/deadline.h"
#include "common/io/relay.h"
#include "common/proto/imap_client.h"
#include "common/proto/imap_server.h"
#include "common/proto/pop3_client.h"
#include "common/proto/pop3_server.h"
#include "common/session/intake.h"
#include "common/session/login_session.h"

enum login_state {
    LOGIN_STATE_SECURING,       /* TLS handshake with the client */
    LOGIN_STATE_TALKING,        /* with the client, until its credentials are known */
    LOGIN_STATE_RESOLVING,      /* a live search is under way */
    LOGIN_STATE_HELD,           /* the owner cannot take it now; will resolve again */
    LOGIN_STATE_CONNECTING,     /* to the owner */
    LOGIN_STATE_AUTHENTICATING, /* with the owner */
    LOGIN_STATE_DELAYED,        /* a refusal that must not come at once */
    LOGIN_STATE_RELAYING,
    LOGIN_STATE_ENDING
};

/* What only the login needs; freed when the relay starts. */
struct login {
    struct login_session *session;
    union {
        struct imap_server imap;
        struct pop3_server pop3;
    } server;
    union {
        struct imap_client imap;
        struct pop3_client pop3;
    } client;
    const struct login_server_ops *server_ops;
    const struct login_client_ops *client_ops;
    struct intake client_intake;
    struct intake backend_intake;
    struct resolver_request request;
    struct target target;
    struct forwarded forwarded;  /* what is passed on to the owner */
    struct connector *connector; /* while CONNECTING */
    uint64_t credentials_ms;     /* when the credentials were complete */
    unsigned refusals;
    bool client_machine_is_live;
    bool was_refused;              /* the backend has judged the credentials */
    char refusal[LOGIN_TEXT_SIZE]; /* DELAYED and HELD: the backend's words; empty: our own */
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
    bool is_secured; /* TLS with the client */
    unsigned open_handles;
};

/* Connects to login->target and replays the credentials there. */
void login_backend_start(struct login_session *session);

/* Gives up what login_backend_start began and has not ended. */
void login_backend_abandon(struct login_session *session);

/* The events by which the owner's side ends, handled by login_session.c. */
void login_session_accepted(struct login_session *session, struct span text);
void login_session_refused(struct login_session *session, struct span text, bool is_temporary);
void login_session_unreachable(struct login_session *session, const char *why);
void login_session_end(struct login_session *session, const char *reason);

/* To be called from the ready event of either transport while relaying. */
void login_relay_ready(struct login_session *session, struct transport *transport,
                       unsigned readiness);

/* To be called when a handle of the session has sent its last event. */
void login_session_handle_closed(struct login_session *session);

/* Sends what a machine wrote; ends the session and returns false when the client is gone. */
bool login_session_send(struct login_session *session, struct transport *transport,
                        struct buffer *out);

#endif
