/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing here answers the client; it says what the answer is.  Loss is impossible
 * after a 2xx: it is given only when a backend or the fallback's commit has the message.
 */
#include "common/session/mail_transaction.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/proto/smtp_path.h"

enum { MAIL_OPEN_DELIVERIES_MAX = 4 }; /* verified at RCPT; others on the directory's word */

static const struct delivery_events mail_delivery_events;

/* --- life ------------------------------------------------------------------------ */

struct mail_transaction *mail_transaction_new(const struct session *session,
                                              const char *reverse_path,
                                              const struct mail_parameters *parameters,
                                              const struct mail_transaction_events *events)
{
    struct mail_transaction *transaction = memory_new(sizeof(*transaction));

    transaction->session = session;
    transaction->events = events;
    transaction->parameters = *parameters;
    snprintf(transaction->reverse_path, sizeof(transaction->reverse_path), "%s", reverse_path);
    header_scan_init(&transaction->scan);
    return transaction;
}

static void mail_group_close(struct mail_group *group)
{
    if (group->transaction->cut == group->delivery)
        group->transaction->cut = NULL;
    if (group->delivery)
        delivery_close(group->delivery);
    group->delivery = NULL;
}

static void mail_transaction_close_groups(struct mail_transaction *transaction)
{
    for (unsigned i = 0; i < transaction->group_count; i++)
        mail_group_close(transaction->groups[i]);
}

static void mail_recipient_fini(struct mail_recipient *recipient)
{
    free(recipient->path);
    free(recipient->recipient);
    *recipient = (struct mail_recipient){ NULL };
}

static const struct mail_fallback *mail_fallback_of(const struct mail_transaction *transaction)
{
    return transaction->session->service->fallback;
}

static void mail_transaction_drop_copy(struct mail_transaction *transaction)
{
    if (transaction->copy)
        mail_fallback_of(transaction)->copy_free(transaction->copy);
    transaction->copy = NULL;
}

void mail_transaction_free(struct mail_transaction *transaction)
{
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

/* --- RCPT ------------------------------------------------------------------------- */

static struct mail_group *mail_group_for(struct mail_transaction *transaction,
                                         const struct target *target)
{
    struct mail_group *group;

    for (unsigned i = 0; i < transaction->group_count; i++)
        if (transaction->groups[i]->target.kind == target->kind &&
            strcmp(transaction->groups[i]->target.name, target->name) == 0)
            return transaction->groups[i];
    group = memory_new(sizeof(*group));
    group->target = *target;
    group->transaction = transaction;
    transaction->groups = memory_resize(transaction->groups, (transaction->group_count + 1) *
                                                                 sizeof(*transaction->groups));
    transaction->groups[transaction->group_count++] = group;
    return group;
}

static unsigned mail_open_deliveries(const struct mail_transaction *transaction)
{
    unsigned open = 0;

    for (unsigned i = 0; i < transaction->group_count; i++)
        open += transaction->groups[i]->delivery != NULL;
    return open;
}

static void mail_rcpt_decide(struct mail_transaction *transaction, const struct mail_reply *reply)
{
    struct mail_group *group = transaction->pending_group;

    if (mail_reply_is_positive(reply)) {
        if (transaction->recipient_count == transaction->recipient_capacity) {
            transaction->recipient_capacity =
                transaction->recipient_capacity > 0 ? transaction->recipient_capacity * 2 : 1;
            transaction->recipients =
                memory_resize(transaction->recipients,
                              transaction->recipient_capacity * sizeof(*transaction->recipients));
        }
        transaction->pending.group = group;
        transaction->recipients[transaction->recipient_count++] = transaction->pending;
        group->recipient_count++;
        transaction->pending = (struct mail_recipient){ NULL };
    } else {
        mail_recipient_fini(&transaction->pending);
    }
    transaction->pending_group = NULL;
    transaction->events->rcpt_decided(transaction, reply);
}

static void mail_rcpt_refuse(struct mail_transaction *transaction, int code, const char *enhanced,
                             const char *text)
{
    const struct mail_reply reply = mail_reply_of(code, enhanced, text);

    mail_rcpt_decide(transaction, &reply);
}

/* Takes the recipient on the directory's word, if it can be queued. */
static void mail_rcpt_accept_unverified(struct mail_transaction *transaction)
{
    if (mail_fallback_of(transaction))
        mail_rcpt_refuse(transaction, 250, "2.1.5", "Ok");
    else
        mail_rcpt_refuse(transaction, 451, "4.4.1", "Mail store is not available");
}

static void mail_rcpt_verify(struct mail_transaction *transaction, struct mail_group *group)
{
    if (!group->delivery && group->recipient_count == 0 &&
        mail_open_deliveries(transaction) < MAIL_OPEN_DELIVERIES_MAX) {
        struct delivery_options options = {
            .flavor = MAIL_LMTP,
            .session_id = transaction->session->id,
            .reverse_path = transaction->reverse_path,
            .parameters = transaction->parameters,
        };

        group->delivery = delivery_new(transaction->session->service, &group->target, &options,
                                       &mail_delivery_events, group);
    }
    if (!group->delivery) {
        mail_rcpt_accept_unverified(transaction);
        return;
    }
    /* What the backend refuses is remembered too, until the transaction ends. */
    if (++group->asked_count > transaction->session->service->config->smtp.recipients_max)
        mail_rcpt_refuse(transaction, 452, "4.5.3", "Too many recipients");
    else
        delivery_rcpt(group->delivery, transaction->pending.recipient);
}

void mail_transaction_rcpt(struct mail_transaction *transaction, const char *path,
                           const struct route *route)
{
    const struct session_service *service = transaction->session->service;
    struct mail_recipient *pending = &transaction->pending;
    struct target target;

    service->choose(service, PROTOCOL_LMTP, route, &target);
    pending->path = memory_copy_string(path);
    pending->recipient = memory_copy_string(route->recipient[0] ? route->recipient : path);
    if (target.kind == TARGET_GO && !smtp_path_is_safe(pending->recipient)) {
        target.kind = TARGET_TEMPORARY;
        target.reason = "the account's name cannot be sent";
    }
    if (target.reason)
        LOG_EVENT(target.kind == TARGET_TEMPORARY ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
                  transaction->session->id, "rcpt_undelivered", LOG_TEXT("recipient", path),
                  LOG_TEXT("outcome", route_outcome_name(route->outcome)),
                  LOG_TEXT("why", target.reason));
    switch (target.kind) {
    case TARGET_GO:
    case TARGET_DOWN:
    case TARGET_RELAY:
        transaction->pending_group = mail_group_for(transaction, &target);
        if (target.kind == TARGET_GO)
            mail_rcpt_verify(transaction, transaction->pending_group);
        else
            mail_rcpt_accept_unverified(transaction);
        return;
    case TARGET_UNKNOWN:
        mail_rcpt_refuse(transaction, 550, "5.1.1", "No such user here");
        return;
    case TARGET_FOREIGN:
        mail_rcpt_refuse(transaction, 550, "5.7.1", "Relaying denied");
        return;
    case TARGET_TEMPORARY:
        mail_rcpt_refuse(transaction, 451, "4.3.0", "Recipient cannot be checked now");
        return;
    }
}

static void mail_delivery_rcpt(struct delivery *delivery, unsigned index,
                               const struct mail_reply *reply)
{
    struct mail_group *group = delivery_context(delivery);
    struct mail_transaction *transaction = group->transaction;

    transaction->pending.index = index;
    mail_rcpt_decide(transaction, reply);
}

/* --- DATA --------------------------------------------------------------------------- */

static void mail_data_decide(struct mail_transaction *transaction, int code, const char *enhanced,
                             const char *text)
{
    const struct mail_reply reply = mail_reply_of(code, enhanced, text);

    transaction->events->data_decided(transaction, &reply);
}

/* The content will only be kept, for the fallback. */
static void mail_data_keep(struct mail_transaction *transaction)
{
    mail_transaction_close_groups(transaction);
    if (mail_fallback_of(transaction))
        mail_data_decide(transaction, 354, "", "End data with <CR><LF>.<CR><LF>");
    else
        mail_data_decide(transaction, 451, "4.4.1", "Mail store is not available");
}

/* The only group that has recipients, when it can be cut through; else NULL. */
static struct mail_group *mail_only_group(const struct mail_transaction *transaction)
{
    struct mail_group *only = NULL;

    for (unsigned i = 0; i < transaction->group_count; i++) {
        struct mail_group *group = transaction->groups[i];

        if (group->recipient_count == 0)
            continue;
        if (only || !group->delivery)
            return NULL;
        only = group;
    }
    return only;
}

void mail_transaction_data(struct mail_transaction *transaction)
{
    const struct session_service *service = transaction->session->service;
    struct mail_group *only = mail_only_group(transaction);

    if (service->fallback)
        transaction->copy = service->fallback->copy_new(service->fallback_context);
    if (!only) {
        mail_data_keep(transaction);
        return;
    }
    for (unsigned i = 0; i < transaction->group_count; i++)
        if (transaction->groups[i] != only)
            mail_group_close(transaction->groups[i]);
    transaction->cut = only->delivery;
    delivery_data(transaction->cut);
}

static void mail_delivery_data(struct delivery *delivery, const struct mail_reply *reply)
{
    struct mail_group *group = delivery_context(delivery);
    struct mail_transaction *transaction = group->transaction;

    if (reply->code != 354) {
        mail_group_close(group);
        mail_transaction_drop_copy(transaction);
    }
    transaction->events->data_decided(transaction, reply);
}

/* --- content -------------------------------------------------------------------------- */

static void mail_transaction_keep(struct mail_transaction *transaction, struct span content)
{
    if (transaction->copy && !transaction->copy_is_broken &&
        !mail_fallback_of(transaction)->copy_append(transaction->copy, content))
        transaction->copy_is_broken = true;
}

void mail_transaction_trace(struct mail_transaction *transaction, struct span fields)
{
    mail_transaction_keep(transaction, fields);
    if (transaction->cut && transaction->recipient_count == 1 &&
        strcmp(transaction->recipients[0].path, transaction->recipients[0].recipient) != 0) {
        struct buffer out = io_loop_out(transaction->session->service->loop);

        trace_write_original_recipient(transaction->recipients[0].path, &out);
        delivery_content(transaction->cut, buffer_span(&out));
    }
    if (transaction->cut)
        delivery_content(transaction->cut, fields);
}

void mail_transaction_content(struct mail_transaction *transaction, struct span content)
{
    unsigned hops_max = transaction->session->service->config->smtp.hops_max;

    transaction->content_bytes += content.length;
    header_scan_feed(&transaction->scan, content);
    if (!transaction->is_looping && transaction->scan.received_count > hops_max) {
        transaction->is_looping = true;
        mail_transaction_close_groups(transaction);
        mail_transaction_drop_copy(transaction);
    }
    if (transaction->is_looping)
        return;
    mail_transaction_keep(transaction, content);
    if (transaction->cut)
        delivery_content(transaction->cut, content);
}

bool mail_transaction_is_full(const struct mail_transaction *transaction)
{
    return transaction->cut && delivery_is_full(transaction->cut);
}

static void mail_delivery_writable(struct delivery *delivery)
{
    struct mail_group *group = delivery_context(delivery);

    if (group->transaction->cut == delivery)
        group->transaction->events->writable(group->transaction);
}

/* --- the end of DATA -------------------------------------------------------------------- */

static void mail_conclude(struct mail_transaction *transaction, const struct mail_reply *reply,
                          bool is_lost)
{
    mail_transaction_close_groups(transaction);
    mail_transaction_drop_copy(transaction);
    transaction->events->concluded(transaction, reply, is_lost);
}

static void mail_transaction_stored(void *context, bool is_stored)
{
    struct mail_transaction *transaction = context;
    struct mail_reply reply =
        is_stored ? mail_reply_of(250, "2.0.0", "Ok: queued") : mail_outcome_not_stored();

    transaction->is_storing = false;
    if (transaction->is_abandoned) { /* its session may be gone */
        mail_transaction_free(transaction);
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
        .body_8bit = transaction->parameters.body_8bit,
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
                                                                   .text = lines[i] };
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

/* Every result is known: apply the table. */
static void mail_transaction_settle(struct mail_transaction *transaction)
{
    unsigned count = transaction->recipient_count;
    enum mail_result *results = memory_new(count * sizeof(*results));
    enum mail_fate *fates = memory_new(count * sizeof(*fates));
    struct mail_reply *replies = memory_new(count * sizeof(*replies));
    struct mail_reply reply;
    bool must_store;

    for (unsigned i = 0; i < count; i++) {
        results[i] = transaction->recipients[i].result;
        replies[i] = transaction->recipients[i].reply;
    }
    must_store = mail_outcome(results, replies, count, fates, &reply);
    mail_transaction_count(transaction);
    if (!must_store) {
        board_count(transaction->session->service->slot,
                    reply.code == 250 ? BOARD_MESSAGES_CUT_THROUGH : BOARD_MESSAGES_REFUSED, 1);
        mail_conclude(transaction, &reply, false);
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
    if (transaction->is_looping) {
        const struct mail_reply reply = mail_reply_of(554, "5.4.6", "Too many hops, mail loop");

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

static void mail_delivery_final(struct delivery *delivery, unsigned index,
                                const struct mail_reply *reply)
{
    struct mail_recipient *recipient = mail_recipient_at(delivery_context(delivery), index);

    if (!recipient)
        return;
    recipient->reply = *reply;
    recipient->result = mail_reply_is_positive(reply)    ? MAIL_RESULT_ACCEPTED
                        : mail_reply_is_permanent(reply) ? MAIL_RESULT_PERMANENT
                                                         : MAIL_RESULT_TEMPORARY;
}

static void mail_delivery_done(struct delivery *delivery)
{
    struct mail_group *group = delivery_context(delivery);

    mail_transaction_settle(group->transaction);
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

static const struct delivery_events mail_delivery_events = {
    .rcpt = mail_delivery_rcpt,
    .data = mail_delivery_data,
    .final = mail_delivery_final,
    .done = mail_delivery_done,
    .writable = mail_delivery_writable,
    .failed = mail_delivery_failed,
};

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
