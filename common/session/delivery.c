/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages: connecting, envelope, content, ended, done.  One deadline of the link covers each wait.
 * Content that comes in small pieces is gathered, so that a message costs few system calls: the
 * trace fields, the text and its end go out together when they come together.
 */
#include "common/session/delivery.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/proto/dot_stuffing.h"
#include "common/session/mail_link.h"
#include "common/session/mail_pool.h"

/* What is gathered at most; a piece of half that size is not copied for it. */
enum { DELIVERY_GATHERED_MAX = 16384 };

struct delivery_recipient {
    char *path;
    bool is_sent, is_accepted, is_final;
};

struct delivery {
    const struct session_service *service;
    const struct delivery_events *events;
    struct delivery_options options;
    struct target target;
    void *context;
    enum delivery_stage stage;
    struct mail_link *link; /* NULL once it is lost or given back */
    struct dot_stuffer stuffer;
    struct bytes gathered;
    struct delivery_recipient *recipients;
    unsigned recipient_count, recipient_capacity, answered, accepted, finals;
    unsigned holds; /* calls that still use it after an event */
    bool is_closed, is_data_wanted, is_data_asked, was_mail_sent, was_mail_accepted;
    bool is_waiting;     /* for another recipient or DATA; the peer has answered all */
    bool may_start_anew; /* on a connection that waited, nothing was answered yet */
};

static const struct mail_link_events delivery_link_events;

/* --- the end --------------------------------------------------------------------- */

static void delivery_free(struct delivery *delivery)
{
    for (unsigned i = 0; i < delivery->recipient_count; i++)
        free(delivery->recipients[i].path);
    free(delivery->recipients);
    bytes_release(&delivery->gathered);
    free(delivery);
}

static void delivery_hold(struct delivery *delivery)
{
    delivery->holds++;
}

/* Lets go; a delivery that is closed goes with the last hold. */
static void delivery_release(struct delivery *delivery)
{
    if (--delivery->holds == 0 && delivery->is_closed)
        delivery_free(delivery);
}

void delivery_close(struct delivery *delivery)
{
    if (delivery->is_closed)
        return;
    delivery_hold(delivery);
    delivery->is_closed = true;
    if (delivery->link)
        mail_link_release(delivery->link);
    delivery->link = NULL;
    delivery_release(delivery);
}

static void delivery_fail(struct delivery *delivery, const struct mail_reply *reply,
                          const char *why)
{
    static const struct mail_reply no_reply;
    enum delivery_stage stage = delivery->stage;

    LOG_EVENT(LOG_LEVEL_WARNING, delivery->options.session_id, "backend_failed",
              LOG_TEXT("backend", delivery->target.name), LOG_TEXT("why", why),
              LOG_INTEGER("code", reply ? reply->code : 0),
              LOG_TEXT("words", reply ? reply->text : NULL));
    delivery_hold(delivery);
    delivery_close(delivery);
    delivery->events->failed(delivery, stage, reply ? reply : &no_reply, why);
    delivery_release(delivery);
}

/* A connection failure, as against a refusal: it counts for the backend's health. */
static void delivery_fail_connection(struct delivery *delivery, const char *why)
{
    if (delivery->stage == DELIVERY_CONNECTING)
        backends_report(&delivery->service->backends, delivery->target.backend, PROTOCOL_LMTP,
                        false, delivery->options.session_id);
    delivery_fail(delivery, NULL, why);
}

/* --- the connection ------------------------------------------------------------------ */

static void delivery_connect(struct delivery *delivery)
{
    const struct mail_link_options options = { .flavor = delivery->options.flavor,
                                               .user = delivery->options.user,
                                               .password = delivery->options.password };

    delivery->stage = DELIVERY_CONNECTING;
    delivery->link = mail_link_start(delivery->service, &delivery->target, &options,
                                     &delivery_link_events, delivery);
}

static bool delivery_take_waiting(struct delivery *delivery)
{
    const struct mail_link_options options = { .flavor = delivery->options.flavor,
                                               .user = delivery->options.user };

    if (!delivery->service->mail_pool)
        return false;
    delivery->link = mail_pool_take(delivery->service->mail_pool, &delivery->target, &options);
    if (!delivery->link)
        return false;
    mail_link_hold(delivery->link, &delivery_link_events, delivery);
    delivery->stage = DELIVERY_ENVELOPE;
    delivery->may_start_anew = true;
    return true;
}

/* The connection that waited was dead, or died of the first command: all is said again. */
static void delivery_start_anew(struct delivery *delivery)
{
    delivery->may_start_anew = false;
    delivery->was_mail_sent = false;
    delivery->is_data_wanted |= delivery->is_data_asked;
    delivery->is_data_asked = false;
    for (unsigned i = 0; i < delivery->recipient_count; i++)
        delivery->recipients[i].is_sent = false;
    delivery_connect(delivery);
}

static void delivery_lost_link(struct delivery *delivery, const char *why)
{
    delivery->link = NULL;
    if (delivery->may_start_anew)
        delivery_start_anew(delivery);
    else
        delivery_fail_connection(delivery, why);
}

static bool delivery_send(struct delivery *delivery, struct span bytes)
{
    struct mail_link *link = delivery->link;
    const char *why;

    if (mail_link_send(link, bytes))
        return true;
    why = transport_error(&link->transport);
    delivery_lost_link(delivery, why);
    mail_link_close(link);
    return false;
}

/* --- commands ---------------------------------------------------------------------- */

static void delivery_expect(struct delivery *delivery, unsigned seconds)
{
    mail_link_expect(delivery->link, seconds);
}

/* Writes the recipients that may be sent now; false when a path cannot be sent at all. */
static bool delivery_write_recipients(struct delivery *delivery, struct buffer *out)
{
    struct smtp_client *machine = &delivery->link->machine;

    if (delivery->answered < delivery->recipient_count)
        delivery->is_waiting = false;
    for (unsigned i = delivery->answered; i < delivery->recipient_count; i++) {
        struct delivery_recipient *recipient = &delivery->recipients[i];
        bool may_send =
            machine->offers_pipelining || (delivery->was_mail_accepted && i == delivery->answered);

        if (!may_send || buffer_room(out) < MACHINE_REPLY_ROOM)
            return true;
        if (!recipient->is_sent && !smtp_client_rcpt(machine, recipient->path, out))
            return false;
        recipient->is_sent = true;
    }
    return true;
}

/* Whether DATA may be said: all is answered, or it may be said ahead of the answers. */
static bool delivery_may_ask_data(const struct delivery *delivery)
{
    if (!delivery->is_data_wanted || delivery->recipient_count == 0)
        return false;
    return delivery->answered == delivery->recipient_count ||
           (delivery->link->machine.offers_pipelining &&
            delivery->recipients[delivery->recipient_count - 1].is_sent);
}

/*
 * RFC 6152 section 3: what is declared as 8 bit is converted or refused towards a peer that does
 * not take it, not sent in the hope that it does no harm.  We do not rewrite messages.
 */
static bool delivery_is_taken(const struct delivery *delivery)
{
    return !delivery->options.parameters.body_8bit || delivery->link->machine.offers_8bitmime;
}

/* Sends every command that may be sent now. */
static void delivery_advance_held(struct delivery *delivery)
{
    struct buffer out = io_loop_out(delivery->service->loop);
    struct smtp_client *machine;
    bool is_sendable = true;

    if (delivery->is_closed || delivery->stage != DELIVERY_ENVELOPE)
        return;
    machine = &delivery->link->machine;
    if (!delivery_is_taken(delivery)) {
        const struct mail_reply reply =
            mail_reply_of(554, "5.6.3", "The mail store does not take 8 bit content");

        delivery_fail(delivery, &reply, "it does not offer 8BITMIME");
        return;
    }
    if (!delivery->was_mail_sent)
        is_sendable = smtp_client_mail(machine, delivery->options.reverse_path,
                                       &delivery->options.parameters, &out);
    delivery->was_mail_sent = true;
    if (!is_sendable || !delivery_write_recipients(delivery, &out)) {
        delivery_fail(delivery, NULL, "an address cannot be sent");
        return;
    }
    if (delivery_may_ask_data(delivery)) {
        delivery->is_data_wanted = false;
        delivery->is_data_asked = true;
        delivery->is_waiting = false;
        smtp_client_data(machine, &out);
    }
    if (out.length == 0)
        return;
    delivery_expect(delivery, delivery->service->config->timeout.backend_s);
    delivery_send(delivery, buffer_span(&out));
}

void delivery_advance(struct delivery *delivery)
{
    delivery_hold(delivery);
    delivery_advance_held(delivery);
    delivery_release(delivery);
}

void delivery_rcpt(struct delivery *delivery, const char *recipient)
{
    if (delivery->recipient_count == delivery->recipient_capacity) {
        delivery->recipient_capacity =
            delivery->recipient_capacity > 0 ? delivery->recipient_capacity * 2 : 4;
        delivery->recipients = memory_resize(
            delivery->recipients, delivery->recipient_capacity * sizeof(*delivery->recipients));
    }
    delivery->recipients[delivery->recipient_count++] =
        (struct delivery_recipient){ .path = memory_copy_string(recipient) };
}

void delivery_data(struct delivery *delivery)
{
    delivery->is_data_wanted = true;
    delivery_advance(delivery);
}

/* --- content ------------------------------------------------------------------------ */

/* The peer has a time to take what is held back for it; a slow sender is not the peer's fault. */
static void delivery_tend_content(struct delivery *delivery)
{
    if (delivery->is_closed || delivery->stage != DELIVERY_CONTENT)
        return;
    delivery_expect(delivery, mail_link_is_full(delivery->link)
                                  ? delivery->service->config->timeout.backend_s
                                  : 0);
}

static bool delivery_send_gathered(struct delivery *delivery)
{
    bool is_sent = delivery_send(delivery, bytes_span(&delivery->gathered));

    bytes_release(&delivery->gathered);
    return is_sent;
}

/* Gathers a small piece, and sends a large one at once. */
static bool delivery_put(struct delivery *delivery, struct span piece)
{
    if (piece.length < DELIVERY_GATHERED_MAX / 2 && bytes_append(&delivery->gathered, piece))
        return true;
    if (!delivery_send_gathered(delivery))
        return false;
    if (piece.length < DELIVERY_GATHERED_MAX / 2)
        return bytes_append(&delivery->gathered, piece);
    return delivery_send(delivery, piece);
}

void delivery_content(struct delivery *delivery, struct span content, bool is_scanned)
{
    delivery_hold(delivery);
    while (!delivery->is_closed) {
        struct span piece = is_scanned ? dot_stuffer_next_scanned(&delivery->stuffer, &content)
                                       : dot_stuffer_next(&delivery->stuffer, &content);

        if (piece.length == 0 || !delivery_put(delivery, piece))
            break;
    }
    delivery_tend_content(delivery);
    delivery_release(delivery);
}

void delivery_flush(struct delivery *delivery)
{
    if (delivery->is_closed || delivery->stage != DELIVERY_CONTENT)
        return;
    delivery_hold(delivery);
    if (delivery->gathered.length > 0 && delivery_send_gathered(delivery))
        delivery_tend_content(delivery);
    delivery_release(delivery);
}

bool delivery_is_full(const struct delivery *delivery)
{
    return !delivery->is_closed && mail_link_is_full(delivery->link);
}

static void delivery_send_end(struct delivery *delivery)
{
    if (!delivery_put(delivery, dot_stuffer_end(&delivery->stuffer)))
        return;
    /* From here on the peer may have all of it. */
    delivery->stage = DELIVERY_ENDED;
    delivery_expect(delivery, delivery->service->config->timeout.data_end_s);
    smtp_client_content_end(&delivery->link->machine, delivery->accepted);
    delivery_send_gathered(delivery);
}

void delivery_end(struct delivery *delivery)
{
    delivery_hold(delivery);
    delivery_send_end(delivery);
    delivery_release(delivery);
}

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

static void delivery_greeted(void *context)
{
    struct delivery *delivery = context;

    delivery->stage = DELIVERY_ENVELOPE;
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
    if (delivery->stage != DELIVERY_ENDED || reply.code != 421) {
        delivery_lost_link(delivery, why);
        return;
    }
    delivery->link = NULL;
    delivery_hold(delivery);
    delivery_all_final(delivery, &reply);
    delivery_finish(delivery);
    delivery_release(delivery);
}

static const struct mail_link_events delivery_link_events = {
    .greeted = delivery_greeted,
    .replied = delivery_replied,
    .settled = delivery_settled,
    .writable = delivery_writable,
    .refused = delivery_refused,
    .lost = delivery_lost,
};

/* --- the start -------------------------------------------------------------------------- */

struct delivery *delivery_new(const struct session_service *service, const struct target *target,
                              const struct delivery_options *options,
                              const struct delivery_events *events, void *context)
{
    struct delivery *delivery = memory_new(sizeof(*delivery));

    delivery->service = service;
    delivery->target = *target;
    delivery->options = *options;
    delivery->events = events;
    delivery->context = context;
    delivery->gathered = bytes_empty(DELIVERY_GATHERED_MAX);
    if (!delivery_take_waiting(delivery))
        delivery_connect(delivery);
    return delivery;
}

enum delivery_stage delivery_stage(const struct delivery *delivery)
{
    return delivery->stage;
}

void *delivery_context(const struct delivery *delivery)
{
    return delivery->context;
}

const char *delivery_peer(const struct delivery *delivery)
{
    return delivery->target.name;
}
