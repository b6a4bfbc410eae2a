/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer at the end of DATA, and what is left to do: the table of ARCHITECTURE
 * ("The path of a message"), as a pure function.
 *
 *     all permanent refusals                      5xx  nothing
 *     answered; none accepted, some temporary     451  nothing
 *     backend not reached before the end was sent 250  queue all
 *     any accepted                                250  queue the temporary, report the permanent
 *     the reply was lost                          250  queue the unanswered, not before 10 minutes
 */
#ifndef MAILSTEAD_SESSION_MAIL_OUTCOME_H
#define MAILSTEAD_SESSION_MAIL_OUTCOME_H

#include "common/proto/mail.h"

/* How far one recipient came. */
enum mail_result {
    MAIL_RESULT_NOT_SENT,   /* its backend did not get the whole message */
    MAIL_RESULT_UNANSWERED, /* the whole message was sent, no reply came */
    MAIL_RESULT_ACCEPTED,
    MAIL_RESULT_TEMPORARY,
    MAIL_RESULT_PERMANENT
};

/* What is to be done for one recipient before the sender may be answered with 250. */
enum mail_fate {
    MAIL_FATE_NONE,     /* delivered, or the sender is told */
    MAIL_FATE_PENDING,  /* queue it */
    MAIL_FATE_FAILED,   /* queue a failure report for it (never to <>) */
    MAIL_FATE_UNKNOWN,  /* queue it, not to be tried before queue.unknown_delay_s */
    MAIL_FATE_DELIVERED /* queue a report of its success; never one of mail_outcome's */
};

/*
 * Decides for `count` (above 0) recipients: `results` and, for refused ones, `replies`
 * in, `fates` and the reply to the sender out.  True when a fate other than NONE
 * must be stored first; when that fails, the reply is mail_outcome_not_stored.
 */
bool mail_outcome(const enum mail_result *results, const struct mail_reply *replies, unsigned count,
                  enum mail_fate *fates, struct mail_reply *reply);

/* 451: the message could not be stored and is still the sender's. */
struct mail_reply mail_outcome_not_stored(void);

#endif
