/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing here answers the client; it says what the answer is.  Loss is impossible
 * after a 2xx: it is given only when a backend or the fallback's commit has the message.
 */
#include "common/session/mail_transaction_private.h"

#include <stdio.h>
#include <stdlib.h>

/* --- life ------------------------------------------------------------------------ */

struct mail_transaction *mail_transaction_new(struct session *session, const char *reverse_path,
                                              const struct mail_parameters *parameters,
                                              const struct mail_transaction_events *events)
{
    struct mail_transaction *transaction = memory_new(sizeof(*transaction));

    transaction->session = session;
    transaction->events = events;
    transaction->parameters = *parameters;
    snprintf(transaction->reverse_path, sizeof(transaction->reverse_path), "%s", reverse_path);
    header_scan_init(&transaction->scan);
    list_init(&transaction->node);
    if (session->service->peers_are_trusted)
        list_append(&session->service->transactions, &transaction->node);
    return transaction;
}

void mail_group_close(struct mail_group *group)
{
    if (group->transaction->cut == group->delivery)
        group->transaction->cut = NULL;
    list_remove(&group->asking_node);
    if (group->delivery)
        delivery_close(group->delivery);
    group->delivery = NULL;
}

void mail_transaction_close_groups(struct mail_transaction *transaction)
{
    for (unsigned i = 0; i < transaction->group_count; i++)
        mail_group_close(transaction->groups[i]);
}

void mail_recipient_fini(struct mail_recipient *recipient)
{
    free(recipient->path);
    free(recipient->recipient);
    free(recipient->account);
    free(recipient->orcpt);
    *recipient = (struct mail_recipient){ NULL };
}

const struct mail_fallback *mail_fallback_of(const struct mail_transaction *transaction)
{
    return transaction->session->service->fallback;
}

void mail_transaction_drop_copy(struct mail_transaction *transaction)
{
    if (transaction->copy)
        mail_fallback_of(transaction)->copy_free(transaction->copy);
    transaction->copy = NULL;
}

void mail_transaction_free(struct mail_transaction *transaction)
{
    list_remove(&transaction->node);
    mail_transaction_close_groups(transaction);
    if (transaction->is_storing) {
        transaction->is_abandoned = true;
        return;
    }
    mail_transaction_drop_copy(transaction);
    mail_recipient_fini(&transaction->pending);
    for (unsigned i = 0; i < transaction->recipient_count; i++)
        mail_recipient_fini(&transaction->recipients[i]);
    free(transaction->recipients);
    for (unsigned i = 0; i < transaction->group_count; i++)
        free(transaction->groups[i]);
    free(transaction->groups);
    free(transaction);
}

/* --- accounts that move ------------------------------------------------------------------------
 */

static bool mail_recipient_is_of(const struct mail_recipient *recipient, struct span account)
{
    return recipient->account && span_equals(span_from_string(recipient->account), account);
}

void mail_transaction_follow(struct mail_transaction *transaction, struct span account,
                             struct span host)
{
    const struct mail_group *pending = transaction->pending_group;
    bool has_moved = pending && mail_recipient_is_of(&transaction->pending, account) &&
                     !span_equals(host, span_from_string(pending->target.name));

    for (unsigned i = 0; i < transaction->recipient_count; i++) {
        const struct mail_recipient *recipient = &transaction->recipients[i];

        has_moved |= mail_recipient_is_of(recipient, account) &&
                     !span_equals(host, span_from_string(recipient->group->target.name));
    }
    if (has_moved)
        transaction->events->moved(transaction);
}

static bool mail_recipient_has_moved(const struct mail_transaction *transaction,
                                     const struct mail_recipient *recipient,
                                     const struct mail_group *group)
{
    struct route route;

    if (!recipient->account)
        return false;
    resolver_look_up(transaction->session->service->resolver, ROUTE_KEY_ADDRESS, recipient->path,
                     &route);
    return route.outcome == ROUTE_UNKNOWN ||
           (route.outcome == ROUTE_FOUND && strcmp(route.host, group->target.name) != 0);
}

void mail_transaction_follow_all(struct mail_transaction *transaction)
{
    const struct mail_group *pending = transaction->pending_group;
    bool has_moved =
        pending && mail_recipient_has_moved(transaction, &transaction->pending, pending);

    for (unsigned i = 0; !has_moved && i < transaction->recipient_count; i++)
        has_moved = mail_recipient_has_moved(transaction, &transaction->recipients[i],
                                             transaction->recipients[i].group);
    if (has_moved)
        transaction->events->moved(transaction);
}

/* --- a delivery that fails ------------------------------------------------------------------ */

static void mail_rcpt_delivery_failed(struct mail_transaction *transaction,
                                      enum delivery_stage stage, const struct mail_reply *reply)
{
    /* It refused this MAIL for good.  That it refuses us, in greeting or hello, is no answer. */
    if (stage == DELIVERY_ENVELOPE && mail_reply_is_permanent(reply))
        mail_rcpt_decide(transaction, reply);
    else
        mail_rcpt_accept_unverified(transaction);
}

static void mail_delivery_failed(struct delivery *delivery, enum delivery_stage stage,
                                 const struct mail_reply *reply, const char *why)
{
    struct mail_group *group = delivery_context(delivery);
    struct mail_transaction *transaction = group->transaction;
    bool was_cut = transaction->cut == delivery;

    (void)why;
    group->delivery = NULL;
    list_remove(&group->asking_node);
    if (was_cut)
        transaction->cut = NULL;
    if (transaction->pending_group == group)
        mail_rcpt_delivery_failed(transaction, stage, reply);
    else if (was_cut && stage <= DELIVERY_ENVELOPE)
        mail_data_keep(transaction);
    else if (was_cut && stage == DELIVERY_CONTENT)
        transaction->events->writable(transaction); /* what follows is only kept */
    else if (was_cut && stage == DELIVERY_ENDED)
        mail_transaction_settle(transaction);
}

const struct delivery_events mail_transaction_delivery_events = {
    .rcpt = mail_delivery_rcpt,
    .data = mail_delivery_data,
    .final = mail_delivery_final,
    .done = mail_delivery_done,
    .writable = mail_delivery_writable,
    .failed = mail_delivery_failed,
};
