/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mail session with a user has that one with a mail server has not (RFC 6409): a login, a
 * sender who must be the user, and an allowance of recipients.
 *
 * The header of a message is not looked at: who may send as whom is about MAIL FROM alone.
 */
#ifndef MAILSTEAD_SESSION_MAIL_SUBMISSION_H
#define MAILSTEAD_SESSION_MAIL_SUBMISSION_H

#include "common/proto/smtp_server.h"
#include "common/session/service.h"

struct mail_session;
struct mail_submission;

/* For a session that begins.  On the heap. */
struct mail_submission *mail_submission_new(struct mail_session *session);

/* Wipes and frees it; NULL is allowed. */
void mail_submission_free(struct mail_submission *submission);

/* For the machine, until somebody has logged in. */
struct smtp_server_auth *mail_submission_auth(struct mail_submission *submission);

/* SMTP_SERVER_CREDENTIALS: finds out whether they are right, and answers. */
void mail_submission_verify(struct mail_submission *submission);

/*
 * SMTP_SERVER_MAIL, after a login: has the session begin its transaction when the reverse-path is
 * an address of the account, or null (RFC 8098 wants that of who confirms that he has read a
 * message), or refuses it.
 */
void mail_submission_mail(struct mail_submission *submission);

/*
 * Takes one recipient off the account's allowance; false when it is used up, and the event is
 * logged.  One who is refused then is given back.
 */
bool mail_submission_charge(struct mail_submission *submission) __attribute__((warn_unused_result));
void mail_submission_refund(struct mail_submission *submission);

#endif
