/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out whether credentials are right, for a session that relays nothing: as section
 * "submission" says, by an IMAP login at the account's own backend, which is left at once, or by
 * a bind at the LDAP server, which the directory process makes.
 *
 * It waits and answers as a login does: an account whose backend is down is held, what is in
 * doubt is temporary, an unknown account and a wrong password take the same time.
 */
#ifndef MAILSTEAD_SESSION_VERIFIER_H
#define MAILSTEAD_SESSION_VERIFIER_H

#include "common/proto/login.h"
#include "common/session/service.h"

enum verdict {
    VERDICT_ACCEPTED, /* and the session counts as one of the account's */
    VERDICT_REFUSED,  /* wrong password or no such account */
    VERDICT_TEMPORARY /* nobody can say now, or the account has too many sessions */
};

struct verifier;

/*
 * The end; `account` is the canonical name, for ACCEPTED.  Called once, later or from inside
 * verifier_run; the verifier is of no use any more, and frees itself.
 */
typedef void verifier_done(void *context, enum verdict verdict, const char *account);

/* On the heap.  Both stay the caller's, up to the end or verifier_cancel. */
struct verifier *verifier_new(struct session *session, const struct credentials *credentials,
                              verifier_done *done, void *context);

void verifier_run(struct verifier *verifier);

/* Nobody wants to know any more: `done` is not called. */
void verifier_cancel(struct verifier *verifier);

#endif
