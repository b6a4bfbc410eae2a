/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States: connecting (socket, TLS, greeting, hello), idle in the envelope, awaiting
 * replies, content, awaiting final replies, closed.  One deadline covers each wait.
 */
#include "common/session/delivery.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/io/connector.h"
#include "common/io/deadline.h"
#include "common/proto/dot_stuffing.h"
#include "common/proto/smtp_client.h"
#include "common/session/intake.h"

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
    struct connector *connector;
    struct transport transport;
    struct deadline deadline;
    struct intake intake;
    struct smtp_client machine;
    struct dot_stuffer stuffer;
    struct delivery_recipient *recipients;
    unsigned recipient_count, recipient_capacity, answered, accepted, finals;
    bool is_greeted, is_open, is_closed, is_data_wanted, was_mail_sent, was_mail_accepted;
    unsigned open_handles;
};

/* --- the end --------------------------------------------------------------------- */

static void delivery_handle_closed(struct delivery *delivery)
{
    if (--delivery->open_handles > 0)
        return;
    for (unsigned i = 0; i < delivery->recipient_count; i++)
        free(delivery->recipients[i].path);
    free(delivery->recipients);
    free(delivery);
}

static void delivery_deadline_closed(struct deadline *deadline)
{
    delivery_handle_closed(CONTAINER_OF(deadline, struct delivery, deadline));
}

static void delivery_transport_closed(struct transport *transport)
{
    delivery_handle_closed(CONTAINER_OF(transport, struct delivery, transport));
}

static void delivery_say_quit(struct delivery *delivery)
{
    struct buffer out = io_loop_out(delivery->service->loop);
    bool sent;

    smtp_client_quit(&delivery->machine, &out);
    sent = transport_send(&delivery->transport, buffer_span(&out));
    (void)sent; /* a courtesy: it is closed in any case */
}

void delivery_close(struct delivery *delivery)
{
    if (delivery->is_closed)
        return;
    delivery->is_closed = true;
    if (delivery->connector)
        connector_cancel(delivery->connector);
    delivery->connector = NULL;
    if (delivery->is_open) {
        if (delivery->is_greeted &&
            (delivery->stage == DELIVERY_ENVELOPE || delivery->stage == DELIVERY_DONE))
            delivery_say_quit(delivery);
        transport_close(&delivery->transport);
    }
    intake_fini(&delivery->intake);
    deadline_close(&delivery->deadline, delivery_deadline_closed);
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
    delivery_close(delivery);
    delivery->events->failed(delivery, stage, reply ? reply : &no_reply, why);
}

/* A connection failure, as against a refusal: it counts for the backend's health. */
static void delivery_fail_connection(struct delivery *delivery, const char *why)
{
    if (delivery->stage == DELIVERY_CONNECTING)
        backends_report(&delivery->service->backends, delivery->target.backend, PROTOCOL_LMTP,
                        false, delivery->options.session_id);
    delivery_fail(delivery, NULL, why);
}

static bool delivery_send(struct delivery *delivery, struct span bytes)
{
    if (bytes.length == 0 || transport_send(&delivery->transport, bytes))
        return true;
    delivery_fail_connection(delivery, transport_error(&delivery->transport));
    return false;
}

/* --- commands ---------------------------------------------------------------------- */

static void delivery_expect(struct delivery *delivery, unsigned seconds)
{
    deadline_set(&delivery->deadline, seconds * 1000ULL);
}

/* Writes the recipients that may be sent now; false when a path cannot be sent at all. */
static bool delivery_write_recipients(struct delivery *delivery, struct buffer *out)
{
    struct smtp_client *machine = &delivery->machine;

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

/* Sends every command that may be sent now. */
static void delivery_advance(struct delivery *delivery)
{
    struct buffer out = io_loop_out(delivery->service->loop);
    struct smtp_client *machine = &delivery->machine;
    bool is_sendable = true;

    if (!delivery->is_greeted || delivery->stage != DELIVERY_ENVELOPE)
        return;
    if (!delivery->was_mail_sent)
        is_sendable = smtp_client_mail(machine, delivery->options.reverse_path,
                                       &delivery->options.parameters, &out);
    delivery->was_mail_sent = true;
    if (!is_sendable || !delivery_write_recipients(delivery, &out)) {
        delivery_fail(delivery, NULL, "an address cannot be sent");
        return;
    }
    if (delivery->is_data_wanted && delivery->answered == delivery->recipient_count) {
        delivery->is_data_wanted = false;
        smtp_client_data(machine, &out);
    }
    if (out.length == 0)
        return;
    delivery_expect(delivery, delivery->service->config->timeout.backend_s);
    delivery_send(delivery, buffer_span(&out));
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
    delivery_advance(delivery);
}

void delivery_data(struct delivery *delivery)
{
    delivery->is_data_wanted = true;
    delivery_advance(delivery);
}

/* The peer has a time to take what is held back for it; a slow sender is not the peer's fault. */
static void delivery_tend_content(struct delivery *delivery)
{
    if (delivery->is_closed || delivery->stage != DELIVERY_CONTENT)
        return;
    if (transport_has_pending(&delivery->transport))
        delivery_expect(delivery, delivery->service->config->timeout.backend_s);
    else
        deadline_clear(&delivery->deadline);
}

void delivery_content(struct delivery *delivery, struct span content)
{
    while (!delivery->is_closed) {
        struct span piece = dot_stuffer_next(&delivery->stuffer, &content);

        if (piece.length == 0)
            break;
        if (!delivery_send(delivery, piece))
            return;
    }
    delivery_tend_content(delivery);
}

bool delivery_is_full(const struct delivery *delivery)
{
    return !delivery->is_closed && delivery->is_open && transport_has_pending(&delivery->transport);
}

void delivery_end(struct delivery *delivery)
{
    delivery->stage = DELIVERY_ENDED;
    delivery_expect(delivery, delivery->service->config->timeout.data_end_s);
    smtp_client_content_end(&delivery->machine, delivery->accepted);
    delivery_send(delivery, dot_stuffer_end(&delivery->stuffer));
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

static void delivery_final_reply(struct delivery *delivery, const struct mail_reply *reply)
{
    if (delivery->options.flavor == MAIL_LMTP)
        delivery_recipient_final(delivery,
                                 delivery_accepted_index(delivery, delivery->machine.index), reply);
    else
        delivery_all_final(delivery, reply);
    if (delivery->is_closed || delivery->finals < delivery->accepted)
        return;
    delivery->stage = DELIVERY_DONE;
    deadline_clear(&delivery->deadline);
    delivery->events->done(delivery);
}

static void delivery_rcpt_reply(struct delivery *delivery, const struct mail_reply *reply)
{
    unsigned index = delivery->answered++;
    struct delivery_recipient *recipient = &delivery->recipients[index];

    recipient->is_accepted = mail_reply_is_positive(reply);
    delivery->accepted += recipient->is_accepted;
    if (delivery->answered == delivery->recipient_count)
        deadline_clear(&delivery->deadline);
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

static void delivery_reply(struct delivery *delivery)
{
    struct mail_reply reply = delivery->machine.reply;

    switch (delivery->machine.replied) {
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

/* The peer is of no more use.  Its 421 behind the content is an answer for all that waits. */
static void delivery_broken(struct delivery *delivery)
{
    const struct mail_reply reply = delivery->machine.reply;

    if (delivery->stage != DELIVERY_ENDED || reply.code != 421) {
        delivery_fail_connection(delivery, "broke the protocol");
        return;
    }
    delivery_all_final(delivery, &reply);
    delivery->stage = DELIVERY_DONE;
    if (!delivery->is_closed)
        delivery->events->done(delivery);
}

static void delivery_start_tls(struct delivery *delivery)
{
    intake_settle(&delivery->intake);
    if (delivery->intake.input.length > 0 ||
        !transport_start_tls_client(&delivery->transport, delivery->target.tls_context,
                                    target_tls_name(&delivery->target)))
        delivery_fail_connection(delivery, "plaintext behind STARTTLS");
}

static void delivery_greeted(struct delivery *delivery)
{
    delivery->is_greeted = true;
    delivery->stage = DELIVERY_ENVELOPE;
    deadline_clear(&delivery->deadline);
    backends_report(&delivery->service->backends, delivery->target.backend, PROTOCOL_LMTP, true,
                    delivery->options.session_id);
}

/* Runs the machine over what has come. */
static void delivery_pump(struct delivery *delivery)
{
    while (!delivery->is_closed) {
        struct buffer out = io_loop_out(delivery->service->loop);
        enum smtp_client_event event =
            smtp_client_next(&delivery->machine, &delivery->intake.input, &out);

        if (!delivery_send(delivery, buffer_span(&out)))
            return;
        switch (event) {
        case SMTP_CLIENT_NEED_INPUT:
            intake_settle(&delivery->intake);
            delivery_advance(delivery);
            return;
        case SMTP_CLIENT_FLUSH:
            break;
        case SMTP_CLIENT_STARTTLS:
            delivery_start_tls(delivery);
            return;
        case SMTP_CLIENT_READY:
            delivery_greeted(delivery);
            break;
        case SMTP_CLIENT_REPLY:
            delivery_reply(delivery);
            break;
        case SMTP_CLIENT_REFUSED:
            delivery_fail(delivery, &delivery->machine.reply, "refused the session");
            return;
        case SMTP_CLIENT_FAILED:
            delivery_broken(delivery);
            return;
        }
    }
}

/* --- the connection ------------------------------------------------------------------ */

static void delivery_readable(struct delivery *delivery)
{
    while (!delivery->is_closed) {
        ssize_t count = intake_read(&delivery->intake, &delivery->transport);

        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0) {
            delivery_fail_connection(delivery, count == TRANSPORT_END
                                                   ? "closed the connection"
                                                   : transport_error(&delivery->transport));
            return;
        }
        delivery_pump(delivery);
    }
}

static void delivery_ready(struct transport *transport, unsigned readiness)
{
    struct delivery *delivery = CONTAINER_OF(transport, struct delivery, transport);

    if (readiness & TRANSPORT_SECURED) {
        if (delivery->target.tls == TLS_MODE_STARTTLS)
            smtp_client_tls_started(&delivery->machine);
        delivery_pump(delivery);
    }
    if (readiness & TRANSPORT_WRITABLE)
        delivery_tend_content(delivery);
    if (!delivery->is_closed && readiness & TRANSPORT_WRITABLE)
        delivery->events->writable(delivery);
    if (!delivery->is_closed && readiness & TRANSPORT_READABLE)
        delivery_readable(delivery);
}

static const struct transport_events delivery_transport_events = {
    .ready = delivery_ready,
    .closed = delivery_transport_closed,
};

static void delivery_connected(struct connector *connector, int fd, const char *error)
{
    struct delivery *delivery = connector_context(connector);
    const struct smtp_client_options options = {
        .flavor = delivery->options.flavor,
        .hostname = delivery->service->config->cluster.hostname,
        .starttls = delivery->target.tls == TLS_MODE_STARTTLS,
        .user = delivery->options.user,
        .password = delivery->options.password,
    };

    delivery->connector = NULL;
    if (fd < 0) {
        delivery_fail_connection(delivery, error);
        return;
    }
    transport_init(&delivery->transport, delivery->service->loop, fd, &delivery_transport_events);
    delivery->is_open = true;
    delivery->open_handles++;
    smtp_client_init(&delivery->machine, &options);
    transport_watch(&delivery->transport, TRANSPORT_READABLE);
    delivery_expect(delivery, delivery->service->config->timeout.connect_s);
    if (delivery->target.tls == TLS_MODE_IMPLICIT)
        delivery_start_tls(delivery);
}

static void delivery_expired(struct deadline *deadline)
{
    delivery_fail_connection(CONTAINER_OF(deadline, struct delivery, deadline),
                             "no answer in time");
}

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
    delivery->open_handles = 1;
    intake_init(&delivery->intake, false);
    deadline_init(&delivery->deadline, service->loop, delivery_expired);
    delivery->connector =
        connector_start(service->loop, delivery->target.endpoints, delivery->target.endpoint_count,
                        service->config->timeout.connect_s * 1000, delivery_connected, delivery);
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
