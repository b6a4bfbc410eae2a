/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a message: the replies of its backend, the table of mail_outcome.h, the answer. */
#include "common/session/mail_transaction_private.h"

#include <stdlib.h>

#include "common/base/log.h"

static void mail_conclude(struct mail_transaction *transaction, const struct mail_reply *reply,
                          bool is_lost)
{
    mail_transaction_close_groups(transaction);
    mail_transaction_drop_copy(transaction);
    transaction->events->concluded(transaction, reply, is_lost);
}

/* Reports of success are not stored: the message is delivered all the same. */
static void mail_log_no_success(const struct mail_transaction *transaction)
{
    LOG_EVENT(LOG_LEVEL_INFO, transaction->session->id, "success_not_reported",
              LOG_TEXT("from", transaction->reverse_path));
}

static void mail_transaction_stored(void *context, bool is_stored)
{
    struct mail_transaction *transaction = context;
    struct mail_reply reply =
        is_stored ? mail_reply_of(250, "2.0.0", "Ok: queued") : mail_outcome_not_stored();

    transaction->is_storing = false;
    if (transaction->is_courtesy && !is_stored)
        mail_log_no_success(transaction);
    if (transaction->is_abandoned) { /* its session may be gone */
        mail_transaction_free(transaction);
        return;
    }
    if (transaction->is_courtesy) {
        mail_conclude(transaction, &transaction->answer, false);
        return;
    }
    board_count(transaction->session->service->slot,
                is_stored ? BOARD_MESSAGES_QUEUED : BOARD_MESSAGES_REFUSED, 1);
    for (unsigned i = 0; i < transaction->recipient_count; i++)
        if (transaction->recipients[i].result != MAIL_RESULT_ACCEPTED)
            transaction->recipients[i].reply = reply;
    mail_conclude(transaction, &reply, false);
}

static void mail_transaction_store(struct mail_transaction *transaction,
                                   const enum mail_fate *fates)
{
    const struct session_service *service = transaction->session->service;
    unsigned recipient_count = transaction->recipient_count;
    struct mail_stored_recipient *stored = memory_new(recipient_count * sizeof(*stored));
    char(*lines)[MAIL_REPLY_LINE_SIZE] = memory_new(recipient_count * sizeof(*lines));
    struct mail_stored_envelope envelope = {
        .session_id = transaction->session->id,
        .reverse_path = transaction->reverse_path,
        .parameters = &transaction->parameters,
        .may_relay = transaction->may_relay,
        .recipients = stored,
    };
    struct mail_copy *copy = transaction->copy;

    for (unsigned i = 0; i < recipient_count; i++) {
        const struct mail_recipient *recipient = &transaction->recipients[i];

        if (fates[i] == MAIL_FATE_NONE)
            continue;
        mail_reply_write_line(&recipient->reply, lines[i]);
        stored[envelope.count++] = (struct mail_stored_recipient){ .recipient = recipient->path,
                                                                   .fate = fates[i],
                                                                   .text = lines[i],
                                                                   .orcpt = recipient->orcpt,
                                                                   .notify = recipient->notify };
    }
    transaction->copy = NULL;
    transaction->is_storing = true;
    service->fallback->store(service->fallback_context, copy, &envelope, mail_transaction_stored,
                             transaction);
    free(stored);
    free(lines);
}

static bool mail_transaction_is_lost(const struct mail_transaction *transaction)
{
    if (mail_fallback_of(transaction))
        return false;
    for (unsigned i = 0; i < transaction->recipient_count; i++)
        if (transaction->recipients[i].result == MAIL_RESULT_UNANSWERED)
            return true;
    return false;
}

static void mail_transaction_count(const struct mail_transaction *transaction)
{
    struct board_slot *slot = transaction->session->service->slot;
    static const enum board_counter counters[] = {
        [MAIL_RESULT_NOT_SENT] = BOARD_RECIPIENTS_DEFERRED,
        [MAIL_RESULT_UNANSWERED] = BOARD_RECIPIENTS_DEFERRED,
        [MAIL_RESULT_ACCEPTED] = BOARD_RECIPIENTS_DELIVERED,
        [MAIL_RESULT_TEMPORARY] = BOARD_RECIPIENTS_DEFERRED,
        [MAIL_RESULT_PERMANENT] = BOARD_RECIPIENTS_FAILED,
    };

    for (unsigned i = 0; i < transaction->recipient_count; i++)
        board_count(slot, counters[transaction->recipients[i].result], 1);
}

/* Who has the message now, or may have it. */
static void mail_transaction_touch(const struct mail_transaction *transaction)
{
    const struct session_service *service = transaction->session->service;

    for (unsigned i = 0; service->touched && i < transaction->recipient_count; i++) {
        const struct mail_recipient *recipient = &transaction->recipients[i];

        if (recipient->group && (recipient->result == MAIL_RESULT_ACCEPTED ||
                                 recipient->result == MAIL_RESULT_UNANSWERED))
            service->touched(service->touched_context, recipient->group->target.name,
                             ROUTE_KEY_ADDRESS, recipient->recipient);
    }
}

/*
 * Those of whom the sender wants to hear that they have it, and whose backend does not say so
 * itself (RFC 3461 section 5.2.2): their fate is to be reported.  True when there are any.
 */
static bool mail_note_successes(const struct mail_transaction *transaction, enum mail_fate *fates)
{
    bool has_any = false;

    if (!mail_fallback_of(transaction) || transaction->reverse_path[0] == '\0')
        return false;
    for (unsigned i = 0; i < transaction->recipient_count; i++) {
        const struct mail_recipient *recipient = &transaction->recipients[i];

        if (recipient->result != MAIL_RESULT_ACCEPTED ||
            !(recipient->notify & MAIL_NOTIFY_SUCCESS) || recipient->group->peer_reports)
            continue;
        fates[i] = MAIL_FATE_DELIVERED;
        has_any = true;
    }
    return has_any;
}

/* All is delivered or refused.  Reports of success may be owed; whatever becomes of them. */
static void mail_transaction_close(struct mail_transaction *transaction,
                                   const struct mail_reply *reply, const enum mail_fate *fates,
                                   bool has_successes)
{
    bool can_store = transaction->copy && !transaction->copy_is_broken &&
                     transaction->events->is_awaited(transaction);

    board_count(transaction->session->service->slot,
                reply->code == 250 ? BOARD_MESSAGES_CUT_THROUGH : BOARD_MESSAGES_REFUSED, 1);
    if (has_successes && can_store) {
        transaction->is_courtesy = true;
        transaction->answer = *reply;
        mail_transaction_store(transaction, fates);
        return;
    }
    if (has_successes)
        mail_log_no_success(transaction);
    mail_conclude(transaction, reply, false);
}

void mail_transaction_settle(struct mail_transaction *transaction)
{
    unsigned count = transaction->recipient_count;
    enum mail_result *results = memory_new(count * sizeof(*results));
    enum mail_fate *fates = memory_new(count * sizeof(*fates));
    struct mail_reply *replies = memory_new(count * sizeof(*replies));
    struct mail_reply reply;
    bool must_store, has_successes;

    for (unsigned i = 0; i < count; i++) {
        results[i] = transaction->recipients[i].result;
        replies[i] = transaction->recipients[i].reply;
    }
    must_store = mail_outcome(results, replies, count, fates, &reply);
    has_successes = mail_note_successes(transaction, fates);
    mail_transaction_count(transaction);
    mail_transaction_touch(transaction);
    if (!must_store) {
        mail_transaction_close(transaction, &reply, fates, has_successes);
    } else if (!transaction->copy || transaction->copy_is_broken) {
        reply = mail_outcome_not_stored();
        board_count(transaction->session->service->slot, BOARD_MESSAGES_REFUSED, 1);
        mail_conclude(transaction, &reply, mail_transaction_is_lost(transaction));
    } else if (!transaction->events->is_awaited(transaction)) {
        reply = mail_outcome_not_stored();
        mail_conclude(transaction, &reply, true);
    } else {
        mail_transaction_store(transaction, fates);
    }
    free(results);
    free(fates);
    free(replies);
}

void mail_transaction_end(struct mail_transaction *transaction)
{
    if (transaction->refusal.code > 0) {
        const struct mail_reply reply = transaction->refusal;

        for (unsigned i = 0; i < transaction->recipient_count; i++)
            transaction->recipients[i].reply = reply;
        mail_conclude(transaction, &reply, false);
        return;
    }
    if (!transaction->cut) {
        mail_transaction_settle(transaction);
        return;
    }
    for (unsigned i = 0; i < transaction->recipient_count; i++)
        transaction->recipients[i].result = MAIL_RESULT_UNANSWERED;
    delivery_end(transaction->cut);
}

static struct mail_recipient *mail_recipient_at(struct mail_group *group, unsigned index)
{
    struct mail_transaction *transaction = group->transaction;

    for (unsigned i = 0; i < transaction->recipient_count; i++)
        if (transaction->recipients[i].group == group && transaction->recipients[i].index == index)
            return &transaction->recipients[i];
    return NULL;
}

void mail_delivery_final(struct delivery *delivery, unsigned index, const struct mail_reply *reply)
{
    struct mail_recipient *recipient = mail_recipient_at(delivery_context(delivery), index);

    if (!recipient)
        return;
    recipient->group->peer_reports = delivery_reports(delivery);
    recipient->reply = *reply;
    recipient->result = mail_reply_is_positive(reply)    ? MAIL_RESULT_ACCEPTED
                        : mail_reply_is_permanent(reply) ? MAIL_RESULT_PERMANENT
                                                         : MAIL_RESULT_TEMPORARY;
}

void mail_delivery_done(struct delivery *delivery)
{
    struct mail_group *group = delivery_context(delivery);

    mail_transaction_settle(group->transaction);
}

struct mail_reply mail_transaction_recipient_reply(const struct mail_transaction *transaction,
                                                   unsigned index)
{
    const struct mail_recipient *recipient = &transaction->recipients[index];

    return recipient->reply.code > 0 ? recipient->reply : mail_outcome_not_stored();
}

unsigned mail_transaction_known_replies(const struct mail_transaction *transaction)
{
    unsigned known = 0;

    while (known < transaction->recipient_count &&
           transaction->recipients[known].result != MAIL_RESULT_UNANSWERED)
        known++;
    return known;
}
