/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine is called until it needs more, and only then may anything be sent, so that a reply
 * which nobody asked for is never taken for the answer to what follows.  For the same reason a
 * link that is given back in the middle of that goes to the pool at its end.
 */
#include "common/session/mail_link.h"

#include <stdlib.h>

#include "common/io/connector.h"
#include "common/session/mail_pool.h"

static void mail_link_settle_release(struct mail_link *link);

/* --- the end --------------------------------------------------------------------- */

static void mail_link_handle_closed(struct mail_link *link)
{
    if (--link->open_handles == 0)
        free(link);
}

static void mail_link_deadline_closed(struct deadline *deadline)
{
    mail_link_handle_closed(CONTAINER_OF(deadline, struct mail_link, deadline));
}

static void mail_link_transport_closed(struct transport *transport)
{
    mail_link_handle_closed(CONTAINER_OF(transport, struct mail_link, transport));
}

static void mail_link_say_quit(struct mail_link *link)
{
    struct buffer out = io_loop_out(link->service->loop);
    bool is_sent;

    smtp_client_quit(&link->machine, &out);
    is_sent = transport_send(&link->transport, buffer_span(&out));
    (void)is_sent; /* a courtesy: it is closed in any case */
}

void mail_link_close(struct mail_link *link)
{
    if (link->is_closed)
        return;
    link->is_closed = true;
    link->events = NULL;
    list_remove(&link->node);
    if (link->connector)
        connector_cancel(link->connector);
    link->connector = NULL;
    if (link->is_open) {
        if (link->is_greeted && smtp_client_may_quit(&link->machine))
            mail_link_say_quit(link);
        transport_close(&link->transport);
    }
    intake_fini(&link->intake);
    deadline_close(&link->deadline, mail_link_deadline_closed);
}

/* Tells the holder, who closes it; without one it is closed here. */
static void mail_link_lose(struct mail_link *link, const char *why)
{
    if (link->events)
        link->events->lost(link->context, why);
    mail_link_close(link);
}

/* --- holders --------------------------------------------------------------------- */

void mail_link_hold(struct mail_link *link, const struct mail_link_events *events, void *context)
{
    list_remove(&link->node);
    link->events = events;
    link->context = context;
}

/* Nobody holds it: it waits for another transaction, or ends. */
static void mail_link_settle_release(struct mail_link *link)
{
    struct buffer out = io_loop_out(link->service->loop);

    if (link->is_closed || link->events)
        return;
    if (smtp_client_may_reset(&link->machine)) {
        smtp_client_reset(&link->machine, &out);
        if (!mail_link_send(link, buffer_span(&out))) {
            mail_link_close(link);
            return;
        }
    }
    if (link->intake.input.length > 0 || transport_has_pending(&link->transport) ||
        !smtp_client_may_go_on(&link->machine) || !mail_pool_put(link->service->mail_pool, link))
        mail_link_close(link);
}

void mail_link_release(struct mail_link *link)
{
    link->events = NULL;
    if (!link->is_greeted || !link->service->mail_pool) {
        mail_link_close(link);
        return;
    }
    link->is_reused = true;
    if (!link->is_pumping)
        mail_link_settle_release(link);
}

/* --- the conversation ---------------------------------------------------------------- */

bool mail_link_send(struct mail_link *link, struct span bytes)
{
    return bytes.length == 0 || transport_send(&link->transport, bytes);
}

void mail_link_expect(struct mail_link *link, unsigned seconds)
{
    if (seconds > 0)
        deadline_set(&link->deadline, keepalive_wait_begin(&link->wait, seconds * 1000ULL));
    else
        deadline_clear(&link->deadline);
}

static void mail_link_start_tls(struct mail_link *link)
{
    intake_settle(&link->intake);
    if (link->intake.input.length > 0 || !target_start_tls(&link->target, &link->transport))
        mail_link_lose(link, "plaintext behind STARTTLS");
}

bool mail_link_introduce(struct mail_link *link, const struct forwarded *forwarded,
                         struct buffer *out)
{
    if (!link->machine.offers_xclient || !link->machine.offers_pipelining ||
        strcmp(link->told, forwarded->session_id) == 0)
        return false;
    memcpy(link->told, forwarded->session_id, sizeof(link->told));
    smtp_client_forward(&link->machine, forwarded, out);
    return true;
}

/* It is; or what it was told of a client is answered. */
static void mail_link_greeted(struct mail_link *link)
{
    bool was_greeted = link->is_greeted;

    link->is_greeted = true;
    if (!was_greeted) {
        deadline_clear(&link->deadline);
        link->events->greeted(link->context);
    } else if (!link->events) {
        mail_link_close(link);
    }
}

static void mail_link_refused(struct mail_link *link)
{
    link->events->refused(link->context);
    mail_link_close(link);
}

/* A reply that no holder waits for is the one to our RSET, or the end. */
static void mail_link_replied(struct mail_link *link)
{
    if (link->events)
        link->events->replied(link->context);
    else if (link->machine.replied != SMTP_CLIENT_RSET)
        mail_link_close(link);
}

/* Does what the machine wants; false when it needs more input. */
static bool mail_link_step(struct mail_link *link)
{
    struct buffer out = io_loop_out(link->service->loop);
    enum smtp_client_event event = smtp_client_next(&link->machine, &link->intake.input, &out);
    bool is_sent = mail_link_send(link, buffer_span(&out));

    if (link->options.user)
        explicit_bzero(out.data, out.length); /* it may have been the password */
    if (!is_sent) {
        mail_link_lose(link, transport_error(&link->transport));
        return false;
    }
    switch (event) {
    case SMTP_CLIENT_NEED_INPUT:
        return false;
    case SMTP_CLIENT_FLUSH:
        break;
    case SMTP_CLIENT_STARTTLS:
        mail_link_start_tls(link);
        return false;
    case SMTP_CLIENT_READY:
        mail_link_greeted(link);
        break;
    case SMTP_CLIENT_REPLY:
        mail_link_replied(link);
        break;
    case SMTP_CLIENT_REFUSED:
        mail_link_refused(link);
        break;
    case SMTP_CLIENT_FAILED:
        mail_link_lose(link, link->machine.problem ? link->machine.problem : "broke the protocol");
        break;
    }
    return !link->is_closed;
}

/* Runs the machine over what has come. */
static void mail_link_pump(struct mail_link *link)
{
    link->is_pumping = true;
    while (!link->is_closed && mail_link_step(link))
        ;
    link->is_pumping = false;
    if (link->is_closed)
        return;
    intake_settle(&link->intake);
    if (!link->events && list_is_empty(&link->node))
        mail_link_settle_release(link);
    else if (link->events && link->is_greeted)
        link->events->settled(link->context);
}

static void mail_link_readable(struct mail_link *link)
{
    while (!link->is_closed) {
        ssize_t count = intake_read(&link->intake, &link->transport);

        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0) {
            mail_link_lose(link, count == TRANSPORT_END ? "closed the connection"
                                                        : transport_error(&link->transport));
            return;
        }
        mail_link_pump(link);
    }
}

static void mail_link_ready(struct transport *transport, unsigned readiness)
{
    struct mail_link *link = CONTAINER_OF(transport, struct mail_link, transport);

    if (readiness & TRANSPORT_SECURED) {
        if (link->target.tls == TLS_MODE_STARTTLS)
            smtp_client_tls_started(&link->machine);
        mail_link_pump(link);
    }
    if (readiness & TRANSPORT_WRITABLE && !link->is_closed && link->events && link->is_greeted)
        link->events->writable(link->context);
    if (readiness & TRANSPORT_READABLE && !link->is_closed)
        mail_link_readable(link);
}

static const struct transport_events mail_link_transport_events = {
    .ready = mail_link_ready,
    .closed = mail_link_transport_closed,
};

/* --- the start -------------------------------------------------------------------------- */

static void mail_link_connected(struct connector *connector, struct io_watch *watch,
                                const char *error)
{
    struct mail_link *link = connector_context(connector);
    const struct smtp_client_options options = {
        .flavor = link->options.flavor,
        .hostname = link->service->config->cluster.hostname,
        .starttls = link->target.tls == TLS_MODE_STARTTLS,
        .user = link->options.user,
        .password = link->options.password,
    };

    link->connector = NULL;
    if (!watch) {
        mail_link_lose(link, error);
        return;
    }
    transport_init_connected(&link->transport, watch, &mail_link_transport_events);
    link->is_open = true;
    link->open_handles++;
    smtp_client_init(&link->machine, &options);
    transport_watch(&link->transport, TRANSPORT_READABLE);
    mail_link_expect(link, link->service->config->timeout.connect_s);
    if (link->target.tls == TLS_MODE_IMPLICIT)
        mail_link_start_tls(link);
}

static void mail_link_expired(struct deadline *deadline)
{
    struct mail_link *link = CONTAINER_OF(deadline, struct mail_link, deadline);
    uint64_t rest_ms = link->is_open ? keepalive_wait_on(&link->wait, link->transport.fd) : 0;

    if (rest_ms > 0) {
        deadline_set(&link->deadline, rest_ms);
        return;
    }
    link->is_expired = true;
    mail_link_lose(link, "no answer in time");
}

struct mail_link *mail_link_start(const struct session_service *service,
                                  const struct target *target,
                                  const struct mail_link_options *options,
                                  const struct mail_link_events *events, void *context)
{
    struct mail_link *link = memory_new(sizeof(*link));

    link->service = service;
    link->target = *target;
    link->options = *options;
    link->events = events;
    link->context = context;
    link->open_handles = 1;
    list_init(&link->node);
    intake_init(&link->intake, false);
    deadline_init(&link->deadline, service->loop, mail_link_expired);
    link->connector =
        connector_start(service->loop, link->target.endpoints, link->target.endpoint_count,
                        session_sources(service, &link->target),
                        service->config->timeout.connect_s * 1000, mail_link_connected, link);
    return link;
}
