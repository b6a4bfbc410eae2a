/* SPDX-License-Identifier: Apache-2.0 */
/* Recipients of a mail transaction: where each goes, and what its backend says of it. */
#include "common/session/mail_transaction_private.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/proto/smtp_path.h"
#include "common/session/mail_pool.h"

enum {
    MAIL_OPEN_DELIVERIES_MAX = 4, /* verified at RCPT; others on the directory's word */
    MAIL_MOVES_MAX = 3 /* owners that one recipient has while it is asked about: then, later */
};

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
    list_init(&group->asking_node);
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

void mail_rcpt_decide(struct mail_transaction *transaction, const struct mail_reply *reply)
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

/* Answers the RCPT, for what only the fallback could take, when that cannot; else false. */
static bool mail_rcpt_refuse_storing(struct mail_transaction *transaction)
{
    const struct mail_fallback *fallback = mail_fallback_of(transaction);

    switch (fallback->state(transaction->session->service->fallback_context)) {
    case MAIL_FALLBACK_READY:
        return false;
    case MAIL_FALLBACK_AWAY:
        mail_rcpt_refuse(transaction, 451, "4.3.0", "Mail cannot be queued now");
        return true;
    case MAIL_FALLBACK_FULL:
        mail_rcpt_refuse(transaction, 452, "4.3.1", "Insufficient system storage");
        return true;
    }
    abort();
}

void mail_rcpt_accept_unverified(struct mail_transaction *transaction)
{
    if (!mail_fallback_of(transaction))
        mail_rcpt_refuse(transaction, 451, "4.4.1", "Mail store is not available");
    else if (!mail_rcpt_refuse_storing(transaction))
        mail_rcpt_refuse(transaction, 250, "2.1.5", "Ok");
}

/* Whether a recipient in `group` makes it a message for several backends, which is not cut through.
 */
static bool mail_rcpt_is_for_another(const struct mail_transaction *transaction,
                                     const struct mail_group *group)
{
    return transaction->recipient_count > group->recipient_count;
}

/* Whether its backend has not too many transactions open that may never become a message, and is
 * not one that has just returned and to which enough goes. */
static bool mail_may_ask(const struct mail_group *group)
{
    const struct session_service *service = group->transaction->session->service;
    unsigned asking = 0;

    if (!service->mail_pool || !service->fallback)
        return true;
    LIST_EACH (node, &service->mail_pool->asking)
        asking += strcmp(LIST_ELEMENT(node, struct mail_group, asking_node)->target.name,
                         group->target.name) == 0;
    return asking < service->config->smtp.verified_at_a_time &&
           backends_may_begin(&service->backends, group->target.backend, PROTOCOL_LMTP, false);
}

static void mail_count_asking(struct mail_group *group)
{
    struct mail_pool *pool = group->transaction->session->service->mail_pool;

    if (pool)
        list_append(&pool->asking, &group->asking_node);
}

static void mail_rcpt_verify(struct mail_transaction *transaction, struct mail_group *group)
{
    if (!group->delivery && group->recipient_count == 0 &&
        mail_open_deliveries(transaction) < MAIL_OPEN_DELIVERIES_MAX && mail_may_ask(group)) {
        struct delivery_options options = {
            .flavor = MAIL_LMTP,
            .session_id = transaction->session->id,
            .reverse_path = transaction->reverse_path,
            .parameters = transaction->parameters,
            .forwarded = transaction->forwarded,
        };

        if (group->target.is_foreign)
            options.forwarded.ttl = FORWARDED_TTL_LAST;

        group->delivery = delivery_new(transaction->session->service, &group->target, &options,
                                       &mail_transaction_delivery_events, group);
        mail_count_asking(group);
    }
    if (!group->delivery) {
        mail_rcpt_accept_unverified(transaction);
        return;
    }
    /* What the backend refuses is remembered too, until the transaction ends. */
    if (++group->asked_count > transaction->session->service->config->smtp.recipients_max) {
        mail_rcpt_refuse(transaction, 452, "4.5.3", "Too many recipients");
        return;
    }
    delivery_rcpt(group->delivery, transaction->pending.recipient, transaction->pending.path,
                  transaction->pending.notify, transaction->pending.orcpt);
    delivery_advance(group->delivery);
}

static void mail_rcpt_log(const struct mail_transaction *transaction, const char *path,
                          const struct route *route, const struct target *target)
{
    enum log_level level = target->kind == TARGET_TEMPORARY
                               ? session_alarm(transaction->session, route, target)
                               : LOG_LEVEL_INFO;

    LOG_EVENT(level, transaction->session->id, "rcpt_undelivered", LOG_TEXT("recipient", path),
              LOG_TEXT("outcome", route_outcome_name(route->outcome)),
              LOG_TEXT("why", target->reason));
}

/* Whether it may stand in a command of this transaction; RFC 6531 section 3.4. */
static bool mail_may_send(const struct mail_transaction *transaction, const char *recipient)
{
    return smtp_path_is_safe(recipient) &&
           (transaction->parameters.is_utf8 || span_is_ascii(span_from_string(recipient)));
}

static void mail_rcpt_begin(struct mail_transaction *transaction, const char *path,
                            const struct mail_recipient_parameters *parameters,
                            const struct route *route)
{
    struct mail_recipient *pending = &transaction->pending;
    const char *recipient = route->recipient;

    pending->path = memory_copy_string(path);
    pending->recipient = memory_copy_string(recipient[0] ? recipient : path);
    pending->notify = parameters->notify;
    if (parameters->orcpt[0])
        pending->orcpt = memory_copy_string(parameters->orcpt);
    if (transaction->session->service->peers_are_trusted)
        pending->account = memory_copy_string(route->account);
}

/*
 * It makes the message one for several backends; true when it is refused.  Without a fallback only
 * one can have it: who asks sends the others by themselves.
 */
static bool mail_rcpt_refuse_another(struct mail_transaction *transaction)
{
    if (mail_fallback_of(transaction))
        return mail_rcpt_refuse_storing(transaction);
    mail_rcpt_refuse(transaction, 451, MAIL_ELSEWHERE, "Not together with the other recipients");
    return true;
}

/* The pending recipient goes where `target` says, or is refused. */
static void mail_rcpt_place(struct mail_transaction *transaction, const struct target *target)
{
    switch (target->kind) {
    case TARGET_GO:
    case TARGET_DOWN:
    case TARGET_RELAY:
        transaction->pending_group = mail_group_for(transaction, target);
        if (mail_rcpt_is_for_another(transaction, transaction->pending_group) &&
            mail_rcpt_refuse_another(transaction))
            return;
        if (target->kind == TARGET_GO)
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
        if (target->is_foreign)
            mail_rcpt_refuse(transaction, 451, MAIL_ELSEWHERE, "The account is another node's");
        else
            mail_rcpt_refuse(transaction, 451, "4.3.0", "Recipient cannot be checked now");
        return;
    }
}

void mail_transaction_rcpt(struct mail_transaction *transaction, const char *path,
                           const struct mail_recipient_parameters *parameters,
                           const struct route *route)
{
    const struct session_service *service = transaction->session->service;
    struct target target;

    session_choose_target(transaction->session, PROTOCOL_LMTP, route, &target);
    if (target.kind == TARGET_FOREIGN && transaction->may_relay && mail_fallback_of(transaction) &&
        service->config->relay_host.address)
        target = (struct target){ .kind = TARGET_RELAY };
    mail_rcpt_begin(transaction, path, parameters, route);
    if (target.kind == TARGET_GO && !mail_may_send(transaction, transaction->pending.recipient)) {
        target.kind = TARGET_TEMPORARY;
        target.reason = "the account's name cannot be sent";
        target.is_misconfigured = true;
    }
    if (target.reason)
        mail_rcpt_log(transaction, path, route, &target);
    mail_rcpt_place(transaction, &target);
}

/*
 * A node says that the pending recipient is another's, and one of us knows of a move that the other
 * does not.  It goes to the owner that we know by now; if that is the same, by the queue, which
 * looks again soon.
 */
static void mail_rcpt_look_again(struct mail_transaction *transaction)
{
    const struct session_service *service = transaction->session->service;
    const struct target *before = &transaction->pending_group->target;
    struct target target = { .kind = TARGET_TEMPORARY };
    struct route route;

    resolver_look_up(service->resolver, ROUTE_KEY_ADDRESS, transaction->pending.path, &route);
    if (route.outcome == ROUTE_FOUND)
        session_choose_target(transaction->session, PROTOCOL_LMTP, &route, &target);
    if (target.kind == TARGET_GO &&
        (strcmp(target.name, before->name) == 0 || ++transaction->pending.moves > MAIL_MOVES_MAX))
        target.kind = TARGET_DOWN;
    transaction->pending_group = NULL;
    mail_rcpt_place(transaction, &target);
}

/*
 * Whether a node's own store says that it does not know an account that the directory has given to
 * this node: RFC 3463's class 5.1, or none.
 */
static bool mail_rcpt_is_doubtful(const struct mail_group *group, const struct mail_reply *reply)
{
    return group->transaction->session->service->peers_are_trusted && !group->target.is_foreign &&
           (reply->code == 550 || reply->code == 551 || reply->code == 553) &&
           (!reply->enhanced[0] || strncmp(reply->enhanced, "5.1.", 4) == 0);
}

/* It is the store that is wrong, or behind: nobody's mail goes back for that. */
static void mail_rcpt_doubt(struct mail_transaction *transaction, const struct mail_reply *reply)
{
    const struct session *session = transaction->session;

    alarms_raise_unknown(&session->service->alarms, io_loop_now_ms(session->service->loop),
                         session->id, transaction->pending.account, reply);
    mail_rcpt_refuse(transaction, 451, "4.3.0", "The mail store does not know the account now");
}

void mail_delivery_rcpt(struct delivery *delivery, unsigned index, const struct mail_reply *reply)
{
    struct mail_group *group = delivery_context(delivery);
    struct mail_transaction *transaction = group->transaction;

    if (mail_reply_is_elsewhere(reply) && mail_fallback_of(transaction)) {
        mail_rcpt_look_again(transaction);
        return;
    }
    transaction->pending.index = index;
    if (mail_rcpt_is_doubtful(group, reply))
        mail_rcpt_doubt(transaction, reply);
    else
        mail_rcpt_decide(transaction, reply);
}
