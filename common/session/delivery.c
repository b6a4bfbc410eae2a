/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages: connecting, envelope, content, ended, done.  One deadline of the link covers each wait.
 * Here are the connection and the commands; the content is in delivery_content.c, what the peer
 * answers in delivery_replies.c.
 */
#include "common/session/delivery_private.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/proto/xtext.h"
#include "common/session/mail_pool.h"

/* --- the end --------------------------------------------------------------------- */

static void delivery_free(struct delivery *delivery)
{
    for (unsigned i = 0; i < delivery->recipient_count; i++) {
        free(delivery->recipients[i].path);
        free(delivery->recipients[i].parameters);
    }
    free(delivery->recipients);
    bytes_release(&delivery->gathered);
    free(delivery);
}

void delivery_hold(struct delivery *delivery)
{
    delivery->holds++;
}

/* Lets go; a delivery that is closed goes with the last hold. */
void delivery_release(struct delivery *delivery)
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

void delivery_fail(struct delivery *delivery, const struct mail_reply *reply, const char *why)
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

static bool delivery_tells_client(const struct delivery *delivery)
{
    return delivery->options.forwarded.session_id[0] != '\0';
}

static struct mail_link_options delivery_link_options(const struct delivery *delivery)
{
    return (struct mail_link_options){ .flavor = delivery->options.flavor,
                                       .user = delivery->options.user,
                                       .password = delivery->options.password,
                                       .tells_client = delivery_tells_client(delivery) };
}

static void delivery_connect(struct delivery *delivery)
{
    const struct mail_link_options options = delivery_link_options(delivery);

    delivery->stage = DELIVERY_CONNECTING;
    delivery->link = mail_link_start(delivery->service, &delivery->target, &options,
                                     &delivery_link_events, delivery);
}

static bool delivery_take_waiting(struct delivery *delivery)
{
    const struct mail_link_options options = delivery_link_options(delivery);

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

void delivery_start_anew(struct delivery *delivery)
{
    delivery->may_start_anew = false;
    delivery->is_careful = true;
    delivery->was_mail_sent = false;
    delivery->is_data_wanted |= delivery->is_data_asked;
    delivery->is_data_asked = false;
    for (unsigned i = 0; i < delivery->recipient_count; i++)
        delivery->recipients[i].is_sent = false;
    delivery_connect(delivery);
}

void delivery_lost_link(struct delivery *delivery, const char *why)
{
    delivery->link = NULL;
    if (delivery->may_start_anew)
        delivery_start_anew(delivery);
    else
        delivery_fail_connection(delivery, why);
}

bool delivery_send(struct delivery *delivery, struct span bytes)
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

void delivery_expect(struct delivery *delivery, unsigned seconds)
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
        if (!recipient->is_sent &&
            !smtp_client_rcpt(machine, recipient->path, recipient->parameters, out))
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
 * Whether the peer may have the content in one piece: it says that it takes that, everybody is
 * answered for, and the sender has not said that it is too large.
 */
static bool delivery_may_chunk(const struct delivery *delivery)
{
    return delivery->options.flavor == MAIL_LMTP && delivery->link->machine.offers_chunking &&
           delivery->answered == delivery->recipient_count &&
           delivery->options.parameters.size <= DELIVERY_GATHERED_MAX;
}

/*
 * Why this peer cannot have the message, in the words for its sender; code 0: it can.
 * RFC 6152 section 3: what is declared as 8 bit is converted or refused towards a peer that does
 * not take it, not sent in the hope that it does no harm; RFC 6531 section 3.2: the same of UTF-8.
 * We do not rewrite messages.
 */
static struct mail_reply delivery_refusal(const struct delivery *delivery)
{
    const struct smtp_client *machine = &delivery->link->machine;
    const struct mail_parameters *parameters = &delivery->options.parameters;

    if (parameters->body_8bit && !machine->offers_8bitmime)
        return mail_reply_of(554, "5.6.3", "The mail store does not take 8 bit content");
    if (parameters->is_utf8 && !machine->offers_smtputf8)
        return mail_reply_of(550, "5.6.7", "The mail store does not take UTF-8 in addresses");
    if (machine->size_limit > 0 && parameters->size > machine->size_limit)
        return mail_reply_of(552, "5.3.4", "The message is larger than the mail store takes");
    return (struct mail_reply){ .code = 0 };
}

/* Writes MAIL, and whose it is; false when its path cannot be sent at all. */
static bool delivery_write_mail(struct delivery *delivery, struct buffer *out)
{
    struct smtp_client *machine = &delivery->link->machine;

    if (delivery_tells_client(delivery) &&
        mail_link_introduce(delivery->link, &delivery->options.forwarded, out) &&
        delivery->is_careful)
        return true;
    delivery->was_mail_sent = true;
    delivery->peer_has_dsn = machine->offers_dsn;
    return smtp_client_mail(machine, delivery->options.reverse_path, &delivery->options.parameters,
                            out);
}

/* Writes the beginning of the envelope; false when it has failed, and is told. */
static bool delivery_begin_envelope(struct delivery *delivery, struct buffer *out)
{
    const struct mail_reply refusal = delivery_refusal(delivery);

    if (refusal.code > 0)
        delivery_fail(delivery, &refusal, "it does not offer what the message needs");
    else if (!delivery_write_mail(delivery, out))
        delivery_fail(delivery, NULL, "an address cannot be sent");
    else
        return true;
    return false;
}

/* Writes what follows MAIL; false when it has failed, and is told, or content may be given. */
static bool delivery_go_on(struct delivery *delivery, struct buffer *out)
{
    if (!delivery_write_recipients(delivery, out)) {
        delivery_fail(delivery, NULL, "an address cannot be sent");
        return false;
    }
    if (!delivery_may_ask_data(delivery))
        return true;
    delivery->is_data_wanted = false;
    delivery->is_waiting = false;
    if (delivery_may_chunk(delivery)) {
        delivery_begin_chunk(delivery);
        return false;
    }
    delivery->is_data_asked = true;
    smtp_client_data(&delivery->link->machine, out);
    return true;
}

/* Sends every command that may be sent now. */
static void delivery_advance_held(struct delivery *delivery)
{
    struct buffer out = io_loop_out(delivery->service->loop);

    if (delivery->is_closed || delivery->stage != DELIVERY_ENVELOPE)
        return;
    if (!delivery->was_mail_sent && smtp_client_is_ready(&delivery->link->machine) &&
        !delivery_begin_envelope(delivery, &out))
        return;
    if (delivery->was_mail_sent && !delivery_go_on(delivery, &out))
        return;
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

/* What goes with RCPT, on the heap; NULL: nothing. */
static struct mail_recipient_parameters *delivery_parameters(const char *recipient,
                                                             const char *original, unsigned notify,
                                                             const char *orcpt)
{
    struct mail_recipient_parameters *parameters;
    struct span given = span_from_string(original);
    struct buffer made;

    if (notify == 0 && !orcpt && strcmp(recipient, original) == 0)
        return NULL;
    parameters = memory_new(sizeof(*parameters));
    parameters->notify = notify;
    made = buffer_over(parameters->orcpt, sizeof(parameters->orcpt));
    if (orcpt) {
        buffer_append_string(&made, orcpt);
    } else if (strcmp(recipient, original) != 0) {
        buffer_append_string(&made, span_is_ascii(given) ? "rfc822;" : "utf-8;");
        xtext_encode(given, &made);
    }
    if (!buffer_append_byte(&made, '\0'))
        parameters->orcpt[0] = '\0'; /* one of our own that is too long for a parameter */
    return parameters;
}

void delivery_rcpt(struct delivery *delivery, const char *recipient, const char *original,
                   unsigned notify, const char *orcpt)
{
    if (delivery->recipient_count == delivery->recipient_capacity) {
        delivery->recipient_capacity =
            delivery->recipient_capacity > 0 ? delivery->recipient_capacity * 2 : 4;
        delivery->recipients = memory_resize(
            delivery->recipients, delivery->recipient_capacity * sizeof(*delivery->recipients));
    }
    delivery->recipients[delivery->recipient_count++] = (struct delivery_recipient){
        .path = memory_copy_string(recipient),
        .parameters = delivery_parameters(recipient, original, notify, orcpt),
    };
}

void delivery_data(struct delivery *delivery)
{
    delivery->is_data_wanted = true;
    delivery_advance(delivery);
}

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

bool delivery_reports(const struct delivery *delivery)
{
    return delivery->peer_has_dsn;
}
