/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a mail transaction share; mail_transaction.h is its interface. */
#ifndef MAILSTEAD_SESSION_MAIL_TRANSACTION_PRIVATE_H
#define MAILSTEAD_SESSION_MAIL_TRANSACTION_PRIVATE_H

#include "common/session/mail_transaction.h"

/* What its deliveries tell a transaction; the context of a delivery is its group. */
extern const struct delivery_events mail_transaction_delivery_events;

/* NULL: nothing can be queued here. */
const struct mail_fallback *mail_fallback_of(const struct mail_transaction *transaction);

void mail_recipient_fini(struct mail_recipient *recipient);
void mail_group_close(struct mail_group *group);
void mail_transaction_close_groups(struct mail_transaction *transaction);
void mail_transaction_drop_copy(struct mail_transaction *transaction);

/* Answers the RCPT in question; what is accepted becomes a recipient. */
void mail_rcpt_decide(struct mail_transaction *transaction, const struct mail_reply *reply);

/* Takes the recipient on the directory's word, if it can be queued. */
void mail_rcpt_accept_unverified(struct mail_transaction *transaction);

/* The content will only be kept, for the fallback. */
void mail_data_keep(struct mail_transaction *transaction);

/* Every result is known: applies the table. */
void mail_transaction_settle(struct mail_transaction *transaction);

/* The events of a delivery, but for its failure. */
void mail_delivery_rcpt(struct delivery *delivery, unsigned index, const struct mail_reply *reply);
void mail_delivery_data(struct delivery *delivery, const struct mail_reply *reply);
void mail_delivery_writable(struct delivery *delivery);
void mail_delivery_final(struct delivery *delivery, unsigned index, const struct mail_reply *reply);
void mail_delivery_done(struct delivery *delivery);

#endif
