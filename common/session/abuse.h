/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strangers may do: how many sessions they may have, and how many passwords they may try;
 * and how many logins may wait for one backend.  All is counted in the board's tally, for all
 * workers of both generations.  A trusted network (limits.trusted_networks), a peer on a unix
 * socket and, at the backend node, everybody are exempt; only the sessions of an account and the
 * logins that wait are counted for all.
 *
 * Failures are counted by account and network together, so that who guesses locks nobody out but
 * himself: not the owner of the account elsewhere, not others at his address.  The password
 * that was good there last is never refused.  What was wrong there just before counts a tenth: that
 * is a device with an old password.  Failures of one network with many accounts block
 * the network, but for accounts that have logged in from there.
 *
 * A login is charged before it is tried, so that a thousand at once are not a thousand guesses:
 * after abuse_login_allowed comes one of _failed, _succeeded and _undecided, or the end of a
 * session whose login is lost, which stays charged.  One that is held owes nothing meanwhile.
 */
#ifndef MAILSTEAD_SESSION_ABUSE_H
#define MAILSTEAD_SESSION_ABUSE_H

#include "common/io/network.h"
#include "common/service/board.h"
#include "common/service/config.h"

struct session;

struct abuse {
    struct board *board;
    const struct limits_config *limits;
    struct network *trusted;
    size_t trusted_count;
    uint32_t epoch;   /* of the tally, in which our sessions are counted */
    uint64_t told_ms; /* when a limit was last logged */
};

/* What is counted for one session; a member of each.  Zeroed: nothing. */
struct abuse_session {
    struct tally_open address, network, account;
    struct tally_open held; /* for the backend that its login waits for */
    uint16_t charge;        /* of the login that is being tried, in thousandths */
};

/* `board` and `limits` stay valid until fini. */
void abuse_init(struct abuse *abuse, struct board *board, const struct limits_config *limits);
void abuse_fini(struct abuse *abuse);

/*
 * Counts `session` for its peer_address; to be called again when that changes.  NULL, or why there
 * are too many: static words for the client.
 */
const char *abuse_session_admit(struct session *session) __attribute__((warn_unused_result));

/* Counts it for the account that it is logging in to; NULL, or why there are too many. */
const char *abuse_account_admit(struct session *session, const char *account)
    __attribute__((warn_unused_result));

/*
 * Counts its login as one that waits for `backend`, and no longer for another; again for the same
 * changes nothing.  False, and it is not counted, when limits.held_logins_per_backend wait already.
 */
bool abuse_hold_admit(struct session *session, const char *account, const char *backend)
    __attribute__((warn_unused_result));

/* Its login waits no longer; idempotent. */
void abuse_hold_release(struct session *session);

/* It has ended: takes back what was counted; idempotent. */
void abuse_session_release(struct session *session);

/*
 * Whether this password may be tried now.  `account` is the account's canonical name, or the name
 * as it was normalised when there is no such account.  False: refuse it temporarily, after
 * the time that a wrong password takes.
 */
bool abuse_login_allowed(struct session *session, const char *account, struct span secret)
    __attribute__((warn_unused_result));

/* The password was wrong, or there is no such account. */
void abuse_login_failed(struct session *session, const char *account, struct span secret);

/* The password was right. */
void abuse_login_succeeded(struct session *session, const char *account, struct span secret);

/* Nobody has judged it: the charge is taken back. */
void abuse_login_undecided(struct session *session, const char *account);

/* How much later than usual a refusal for `account` should come, in milliseconds. */
unsigned abuse_delay_ms(const struct session *session, const char *account);

#endif
