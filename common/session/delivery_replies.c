/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the peer answers, and what else its connection tells.  A delivery only passes it on: what
 * a reply or a loss means is the caller's business.
 */
#include "common/session/delivery_private.h"

#include "common/base/log.h"
#include "common/proto/offers.h"

/* --- replies ----------------------------------------------------------------------- */

/* The recipient that a final reply is for: the n-th accepted one. */
static unsigned delivery_accepted_index(const struct delivery *delivery, unsigned nth)
{
    for (unsigned i = 0; i < delivery->recipient_count; i++)
        if (delivery->recipients[i].is_accepted && nth-- == 0)
            return i;
    return delivery->recipient_count;
}

static void delivery_recipient_final(struct delivery *delivery, unsigned index,
                                     const struct mail_reply *reply)
{
    if (delivery->is_closed || !delivery->recipients[index].is_accepted ||
        delivery->recipients[index].is_final)
        return;
    delivery->recipients[index].is_final = true;
    delivery->finals++;
    delivery->events->final(delivery, index, reply);
}

/* One reply for every recipient that still waits: SMTP's, or a 421 that ends it all. */
static void delivery_all_final(struct delivery *delivery, const struct mail_reply *reply)
{
    for (unsigned i = 0; i < delivery->recipient_count; i++)
        delivery_recipient_final(delivery, i, reply);
}

static void delivery_finish(struct delivery *delivery)
{
    delivery->stage = DELIVERY_DONE;
    if (!delivery->is_closed)
        delivery->events->done(delivery);
}

void delivery_conclude(struct delivery *delivery, const struct mail_reply *reply)
{
    delivery_all_final(delivery, reply);
    delivery_finish(delivery);
}

static void delivery_final_reply(struct delivery *delivery, const struct mail_reply *reply)
{
    if (delivery->options.flavor == MAIL_LMTP)
        delivery_recipient_final(
            delivery, delivery_accepted_index(delivery, delivery->link->machine.index), reply);
    else
        delivery_all_final(delivery, reply);
    if (delivery->is_closed || delivery->finals < delivery->accepted)
        return;
    delivery_expect(delivery, 0);
    delivery_finish(delivery);
}

static void delivery_rcpt_reply(struct delivery *delivery, const struct mail_reply *reply)
{
    unsigned index = delivery->answered++;
    struct delivery_recipient *recipient = &delivery->recipients[index];

    recipient->is_accepted = mail_reply_is_positive(reply);
    delivery->accepted += recipient->is_accepted;
    if (delivery->answered == delivery->recipient_count && !delivery->is_data_asked) {
        delivery->is_waiting = true;
        delivery_expect(delivery, delivery->service->config->timeout.envelope_s);
    }
    delivery->events->rcpt(delivery, index, reply);
}

static void delivery_data_reply(struct delivery *delivery, const struct mail_reply *reply)
{
    if (delivery->manner == DELIVERY_ASKING) {
        delivery_take_asked(delivery, reply);
        return;
    }
    if (reply->code == 354) {
        delivery->stage = DELIVERY_CONTENT;
        dot_stuffer_init(&delivery->stuffer);
    }
    delivery->events->data(delivery, reply);
}

static void delivery_take_reply(struct delivery *delivery)
{
    struct mail_reply reply = delivery->link->machine.reply;

    delivery->may_start_anew = false;
    switch (delivery->link->machine.replied) {
    case SMTP_CLIENT_MAIL:
        delivery->was_mail_accepted = mail_reply_is_positive(&reply);
        if (!delivery->was_mail_accepted)
            delivery_fail(delivery, &reply, "MAIL refused");
        return;
    case SMTP_CLIENT_RCPT:
        delivery_rcpt_reply(delivery, &reply);
        return;
    case SMTP_CLIENT_DATA:
        delivery_data_reply(delivery, &reply);
        return;
    case SMTP_CLIENT_FINAL:
        delivery_final_reply(delivery, &reply);
        return;
    case SMTP_CLIENT_RSET:
        return;
    }
}

static void delivery_replied(void *context)
{
    struct delivery *delivery = context;

    delivery_hold(delivery);
    delivery_take_reply(delivery);
    delivery_release(delivery);
}

/* --- what else the connection tells ------------------------------------------------------- */

/* What it offers is everybody's to know, as far as it matters to what is taken in. */
static void delivery_learn_offers(const struct delivery *delivery)
{
    uint64_t offers = OFFERS_KNOWN;

    if (delivery->link->machine.offers_smtputf8)
        offers |= OFFER_BIT(LMTP_OFFER_SMTPUTF8);
    backends_learn_offers(&delivery->service->backends, delivery->target.backend, PROTOCOL_LMTP,
                          offers);
}

static void delivery_greeted(void *context)
{
    struct delivery *delivery = context;

    delivery->stage = DELIVERY_ENVELOPE;
    if (delivery->target.backend)
        delivery_learn_offers(delivery);
    backends_report(&delivery->service->backends, delivery->target.backend, PROTOCOL_LMTP, true,
                    delivery->options.session_id);
}

static void delivery_settled(void *context)
{
    delivery_advance(context);
}

static void delivery_writable(void *context)
{
    struct delivery *delivery = context;

    delivery_hold(delivery);
    delivery_tend_content(delivery);
    if (!delivery->is_closed)
        delivery->events->writable(delivery);
    delivery_release(delivery);
}

static void delivery_refused(void *context)
{
    struct delivery *delivery = context;
    const struct mail_reply reply = delivery->link->machine.reply;

    delivery->link = NULL;
    if (delivery->stage == DELIVERY_ENVELOPE && !delivery->is_careful) {
        delivery_start_anew(delivery);
        return;
    }
    delivery->stage = DELIVERY_CONNECTING; /* whatever it refused, it was not this message */
    delivery_fail(delivery, &reply, "refused the session");
}

/* The message that the peer was asked for does not come: it is not kept waiting for it. */
static void delivery_give_back(struct delivery *delivery)
{
    static const struct mail_reply no_reply;

    LOG_EVENT(LOG_LEVEL_INFO, delivery->options.session_id, "backend_released",
              LOG_TEXT("backend", delivery->target.name));
    delivery_hold(delivery);
    delivery->link = NULL;
    delivery_close(delivery);
    delivery->events->failed(delivery, DELIVERY_ENVELOPE, &no_reply, "the message did not come");
    delivery_release(delivery);
}

/* The peer is of no more use.  Its 421 behind the content is an answer for all that waits. */
static void delivery_lost(void *context, const char *why)
{
    struct delivery *delivery = context;
    const struct mail_reply reply = delivery->link->machine.reply;

    if (delivery->link->is_expired && delivery->is_waiting) {
        delivery_give_back(delivery);
        return;
    }
    if (delivery->link->machine.offers_less) {
        delivery_start_anew(delivery);
        return;
    }
    if (delivery->stage != DELIVERY_ENDED || reply.code != 421) {
        delivery_lost_link(delivery, why);
        return;
    }
    delivery->link = NULL;
    delivery_hold(delivery);
    delivery_conclude(delivery, &reply);
    delivery_release(delivery);
}

const struct mail_link_events delivery_link_events = {
    .greeted = delivery_greeted,
    .replied = delivery_replied,
    .settled = delivery_settled,
    .writable = delivery_writable,
    .refused = delivery_refused,
    .lost = delivery_lost,
};
