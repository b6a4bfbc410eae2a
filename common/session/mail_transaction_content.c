/* SPDX-License-Identifier: Apache-2.0 */
/* DATA and the content of a mail transaction: to the one backend as it comes, and kept. */
#include "common/session/mail_transaction_private.h"

static void mail_data_decide(struct mail_transaction *transaction, int code, const char *enhanced,
                             const char *text)
{
    const struct mail_reply reply = mail_reply_of(code, enhanced, text);

    transaction->events->data_decided(transaction, &reply);
}

void mail_data_keep(struct mail_transaction *transaction)
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
    list_remove(&only->asking_node);
    transaction->cut = only->delivery;
    delivery_data(transaction->cut);
}

void mail_delivery_data(struct delivery *delivery, const struct mail_reply *reply)
{
    struct mail_group *group = delivery_context(delivery);
    struct mail_transaction *transaction = group->transaction;

    if (reply->code != 354) {
        mail_group_close(group);
        mail_transaction_drop_copy(transaction);
    }
    transaction->events->data_decided(transaction, reply);
}

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

        trace_write_original_recipient(transaction->recipients[0].path,
                                       transaction->parameters.is_utf8, &out);
        delivery_content(transaction->cut, buffer_span(&out), false);
    }
    if (transaction->cut)
        delivery_content(transaction->cut, fields, false);
}

/* The message is refused at its end; nobody gets it. */
static void mail_transaction_refuse(struct mail_transaction *transaction, int code,
                                    const char *enhanced, const char *text)
{
    transaction->refusal = mail_reply_of(code, enhanced, text);
    mail_transaction_close_groups(transaction);
    mail_transaction_drop_copy(transaction);
}

static void mail_transaction_look(struct mail_transaction *transaction, struct span content)
{
    const struct smtp_config *limits = &transaction->session->service->config->smtp;

    header_scan_feed(&transaction->scan, content);
    if (transaction->refusal.code > 0)
        return;
    if (transaction->scan.received_count > limits->hops_max)
        mail_transaction_refuse(transaction, 554, "5.4.6", "Too many hops, mail loop");
    else if (transaction->scan.bytes > limits->header_size_max)
        mail_transaction_refuse(transaction, 552, "5.3.4", "The header is too large");
}

void mail_transaction_content(struct mail_transaction *transaction, struct span content,
                              bool is_scanned)
{
    transaction->content_bytes += content.length;
    mail_transaction_look(transaction, content);
    if (transaction->refusal.code > 0)
        return;
    mail_transaction_keep(transaction, content);
    if (transaction->cut)
        delivery_content(transaction->cut, content, is_scanned);
}

void mail_transaction_flush(struct mail_transaction *transaction)
{
    if (transaction->cut)
        delivery_flush(transaction->cut);
}

bool mail_transaction_is_full(const struct mail_transaction *transaction)
{
    return transaction->cut && delivery_is_full(transaction->cut);
}

void mail_delivery_writable(struct delivery *delivery)
{
    struct mail_group *group = delivery_context(delivery);

    if (group->transaction->cut == delivery)
        group->transaction->events->writable(group->transaction);
}
