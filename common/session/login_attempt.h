/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One login at the owner of an account: connect, TLS, replay of the credentials, answer.  The
 * connection is its user's, who may keep it behind an acceptance.
 *
 * It ends in one of three events: accepted, refused (by the store, with its words), or failed
 * (nothing is known about the credentials).  Its user calls login_attempt_end then, or earlier,
 * and closes the connection or keeps it.
 */
#ifndef MAILSTEAD_SESSION_LOGIN_ATTEMPT_H
#define MAILSTEAD_SESSION_LOGIN_ATTEMPT_H

#include "common/io/connector.h"
#include "common/proto/imap_client.h"
#include "common/proto/pop3_client.h"
#include "common/proto/sieve_client.h"
#include "common/session/intake.h"
#include "common/session/service.h"

struct login_attempt;

struct login_attempt_events {
    /*
     * The owner has taken the connection: the user makes the attempt's transport from `watch`,
     * hands its ready events to login_attempt_ready, and gives it a deadline
     * (login_attempt_expired).
     */
    void (*connected)(struct login_attempt *attempt, struct io_watch *watch);
    /* What came behind the acceptance is in attempt->intake.input. */
    void (*accepted)(struct login_attempt *attempt, struct span text);
    void (*refused)(struct login_attempt *attempt, struct span text, struct span challenge,
                    enum login_denial denial);
    void (*failed)(struct login_attempt *attempt, const char *why);
};

struct login_attempt {
    /* Set by its user, whose memory they stay: */
    const struct login_attempt_events *events;
    const struct session *session; /* for which the login is */
    const struct login_client_ops *ops;
    enum protocol protocol; /* of `ops`, for the backend's health */
    const struct target *target;
    struct transport *transport; /* of no use before `connected` */
    const char *name;            /* the account's canonical name */
    const struct credentials *credentials;
    const struct forwarded *forwarded; /* what is passed on to the owner */
    /* Its own: */
    union {
        struct login_client head;
        struct imap_client imap;
        struct pop3_client pop3;
        struct sieve_client sieve;
    } machine;
    struct intake intake;
    struct connector *connector; /* while it connects */
};

/* What is passed on of a client that `session` knows by itself. */
void login_attempt_forward(const struct session *session, struct forwarded *forwarded);

/*
 * To be called from `connected` where target->pass_client is PASS_CLIENT_PROXY: before the first
 * byte, and before TLS, the owner learns whose login it is.  `client_fd` says where the client
 * connected to; -1: it is left out.  `has_tls`: the client's connection is encrypted.
 */
void login_attempt_introduce(struct login_attempt *attempt, const struct forwarded *forwarded,
                             int client_fd, bool has_tls);

/* Connects to attempt->target, whose kind is GO; zeroed memory but for what its user sets. */
void login_attempt_start(struct login_attempt *attempt);

/* The transport is ready. */
void login_attempt_ready(struct login_attempt *attempt, unsigned readiness);

/* The owner has not answered in time: `failed`. */
void login_attempt_expired(struct login_attempt *attempt);

/* Gives up what has not ended, and frees what it has; idempotent, also before a start. */
void login_attempt_end(struct login_attempt *attempt);

#endif
