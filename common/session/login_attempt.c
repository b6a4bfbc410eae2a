/* SPDX-License-Identifier: Apache-2.0 */
/*
 * It judges nothing: what a refusal or a failure means is its user's to say.  The owner's health
 * is told of every answer and of every silence.
 */
#include "common/session/login_attempt.h"

#include <stdio.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "common/io/listener.h"
#include "common/proto/proxy_header.h"

enum { LOGIN_TTL = 5 /* proxies that a login may pass */ };

static void login_attempt_report(const struct login_attempt *attempt, bool is_good)
{
    backends_report(&attempt->session->service->backends, attempt->target->backend,
                    attempt->protocol, is_good, attempt->session->id);
}

static void login_attempt_fail(struct login_attempt *attempt, const char *why)
{
    LOG_EVENT(LOG_LEVEL_WARNING, attempt->session->id, "backend_failed",
              LOG_TEXT("backend", attempt->target->name), LOG_TEXT("why", why));
    attempt->events->failed(attempt, why);
}

void login_attempt_end(struct login_attempt *attempt)
{
    if (attempt->connector)
        connector_cancel(attempt->connector);
    attempt->connector = NULL;
    intake_fini(&attempt->intake);
}

static bool login_attempt_start_tls(struct login_attempt *attempt)
{
    intake_settle(&attempt->intake);
    if (attempt->intake.input.length > 0 ||
        !target_start_tls(attempt->target, attempt->transport)) {
        login_attempt_fail(attempt, "plaintext behind STARTTLS");
        return false;
    }
    return true;
}

static void login_attempt_conclude(struct login_attempt *attempt, enum login_client_event event)
{
    struct span text = login_client_text(&attempt->machine.head);

    if (event == LOGIN_CLIENT_FAILED) {
        LOG_EVENT(LOG_LEVEL_WARNING, attempt->session->id, "backend_failed",
                  LOG_TEXT("backend", attempt->target->name), LOG_TEXT("why", "broke the protocol"),
                  LOG_SPAN("words", text));
        attempt->events->failed(attempt, "broke the protocol");
        return;
    }
    login_attempt_report(attempt, true);
    if (event == LOGIN_CLIENT_ACCEPTED)
        attempt->events->accepted(attempt, text);
    else
        attempt->events->refused(attempt, text, login_client_challenge(&attempt->machine.head),
                                 attempt->machine.head.denial);
}

/* Runs the machine over what has come.  False when the attempt has ended. */
static bool login_attempt_pump(struct login_attempt *attempt)
{
    for (;;) {
        struct buffer out = io_loop_out(attempt->session->service->loop);
        enum login_client_event event =
            attempt->ops->next(&attempt->machine, &attempt->intake.input, &out);
        bool is_sent = out.length == 0 || transport_send(attempt->transport, buffer_span(&out));

        explicit_bzero(out.data, out.length); /* it may have been the password */
        if (!is_sent) {
            login_attempt_fail(attempt, transport_error(attempt->transport));
            return false;
        }
        if (event == LOGIN_CLIENT_FLUSH)
            continue;
        if (event == LOGIN_CLIENT_NEED_INPUT) {
            intake_settle(&attempt->intake);
            return true;
        }
        if (event == LOGIN_CLIENT_STARTTLS)
            return login_attempt_start_tls(attempt);
        login_attempt_conclude(attempt, event);
        return false;
    }
}

static void login_attempt_read(struct login_attempt *attempt)
{
    ssize_t count;

    do {
        count = intake_read(&attempt->intake, attempt->transport);
        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0) {
            login_attempt_fail(attempt, count == TRANSPORT_END
                                            ? "closed the connection"
                                            : transport_error(attempt->transport));
            return;
        }
    } while (login_attempt_pump(attempt));
}

void login_attempt_ready(struct login_attempt *attempt, unsigned readiness)
{
    if (readiness & TRANSPORT_SECURED) {
        if (attempt->target->tls == TLS_MODE_STARTTLS)
            attempt->ops->tls_started(&attempt->machine);
        if (!login_attempt_pump(attempt))
            return;
    }
    if (readiness & TRANSPORT_READABLE)
        login_attempt_read(attempt);
}

void login_attempt_expired(struct login_attempt *attempt)
{
    login_attempt_report(attempt, false);
    attempt->events->failed(attempt, "no answer in time");
}

static void login_attempt_connected(struct connector *connector, struct io_watch *watch,
                                    const char *error)
{
    struct login_attempt *attempt = connector_context(connector);
    const struct login_client_options options = {
        .starttls = attempt->target->tls == TLS_MODE_STARTTLS,
        .name = attempt->name,
        .credentials = attempt->credentials,
        .forwarded = attempt->forwarded,
        .offers = backends_offers(&attempt->session->service->backends, attempt->target->backend,
                                  attempt->protocol),
    };

    attempt->connector = NULL;
    if (!watch) {
        login_attempt_report(attempt, false);
        login_attempt_fail(attempt, error);
        return;
    }
    attempt->events->connected(attempt, watch);
    attempt->ops->init(&attempt->machine, &options);
    intake_init(&attempt->intake, false);
    transport_watch(attempt->transport, TRANSPORT_READABLE);
    if (attempt->target->tls == TLS_MODE_IMPLICIT)
        (void)login_attempt_start_tls(attempt);
}

void login_attempt_forward(const struct session *session, struct forwarded *forwarded)
{
    *forwarded = (struct forwarded){ .port = session->peer_port, .ttl = LOGIN_TTL };
    snprintf(forwarded->address, sizeof(forwarded->address), "%s", session->peer_address);
    snprintf(forwarded->session_id, sizeof(forwarded->session_id), "%s", session->id);
}

void login_attempt_introduce(struct login_attempt *attempt, const struct forwarded *forwarded,
                             int client_fd, bool has_tls)
{
    struct proxy_header header = { .port = forwarded->port, .is_tls = has_tls };
    struct buffer out = io_loop_out(attempt->session->service->loop);
    struct sockaddr_storage own = { .ss_family = AF_UNSPEC };
    socklen_t length = sizeof(own);
    char to[46];
    uint16_t to_port;

    (void)getsockname(client_fd, (struct sockaddr *)&own, &length);
    to_port = peer_format(&own, to);
    memcpy(header.address, forwarded->address, sizeof(header.address));
    memcpy(header.id, forwarded->session_id, sizeof(header.id));
    if (attempt->target->is_foreign)
        header.ttl = FORWARDED_TTL_LAST;
    proxy_header_write(&header, to, to_port, &out);
    (void)!transport_send(attempt->transport, buffer_span(&out)); /* it shows at the read */
}

void login_attempt_start(struct login_attempt *attempt)
{
    const struct session_service *service = attempt->session->service;

    attempt->connector = connector_start(
        service->loop, attempt->target->endpoints, attempt->target->endpoint_count,
        session_sources(service, attempt->target), service->config->timeout.connect_s * 1000,
        login_attempt_connected, attempt);
}
