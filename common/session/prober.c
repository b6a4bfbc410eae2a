/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/prober.h"

#include <stdlib.h>

#include "common/io/connector.h"
#include "common/io/deadline.h"
#include "common/io/transport.h"

enum { PROBE_TIMEOUT_MS = 3000 };

/* One backend and protocol; probed again and again, one probe at a time. */
struct probe {
    struct prober *prober;
    int backend;
    enum protocol protocol;
    struct connector *connector;
    struct transport transport;
    struct deadline deadline;
    bool is_open;
    bool is_stopping;
};

struct prober {
    const struct session_service *service;
    struct probe *probes;
    size_t count;
    size_t open_handles;
    void (*stopped)(void *context);
    void *context;
};

static void probe_conclude(struct probe *probe, bool is_good)
{
    const struct session_service *service = probe->prober->service;
    unsigned interval_ms = service->config->health.probe_interval_ms;

    backends_report(&service->backends, probe->backend, probe->protocol, is_good, NULL);
    if (probe->is_open)
        transport_close(&probe->transport);
    deadline_set(&probe->deadline, interval_ms / 2 + random_below(interval_ms));
}

static bool probe_greeting_is_good(enum protocol protocol, struct span greeting)
{
    static const struct span expected[PROTOCOL_COUNT] = {
        [PROTOCOL_SMTP] = { "220", 3 },
        [PROTOCOL_LMTP] = { "220", 3 },
        [PROTOCOL_IMAP] = { "* OK", 4 },
        [PROTOCOL_POP3] = { "+OK", 3 },
    };

    return span_starts_with_ignore_case(greeting, expected[protocol]);
}

static void probe_say_goodbye(struct probe *probe)
{
    static const struct span words[PROTOCOL_COUNT] = {
        [PROTOCOL_SMTP] = { "QUIT\r\n", 6 },
        [PROTOCOL_LMTP] = { "QUIT\r\n", 6 },
        [PROTOCOL_IMAP] = { "1 LOGOUT\r\n", 10 },
        [PROTOCOL_POP3] = { "QUIT\r\n", 6 },
    };

    /* A courtesy to the backend's log; the connection is closed in any case. */
    transport_try_write(&probe->transport, words[probe->protocol]);
}

static void probe_ready(struct transport *transport, unsigned readiness)
{
    struct probe *probe = CONTAINER_OF(transport, struct probe, transport);
    ssize_t count;
    bool is_good;

    if (!(readiness & TRANSPORT_READABLE) || probe->is_stopping)
        return;
    count = transport_read(transport, transport->loop->scratch, IO_SCRATCH_SIZE);
    if (count == TRANSPORT_AGAIN)
        return;
    is_good = count > 0 && probe_greeting_is_good(probe->protocol,
                                                  span_of(transport->loop->scratch, (size_t)count));
    if (is_good)
        probe_say_goodbye(probe);
    probe_conclude(probe, is_good);
}

static void prober_handle_closed(struct prober *prober)
{
    if (--prober->open_handles > 0)
        return;
    if (prober->stopped)
        prober->stopped(prober->context);
    free(prober->probes);
    free(prober);
}

static void probe_transport_closed(struct transport *transport)
{
    struct probe *probe = CONTAINER_OF(transport, struct probe, transport);

    probe->is_open = false;
    prober_handle_closed(probe->prober);
}

static const struct transport_events probe_events = {
    .ready = probe_ready,
    .closed = probe_transport_closed,
};

/* Where TLS comes before the greeting, the probe needs it too; false when it cannot begin. */
static bool probe_start_tls(struct probe *probe)
{
    const struct session_service *service = probe->prober->service;
    const struct backend_tls_config *tls = &service->config->backend_tls;
    const struct backend_config *backend = &service->config->cluster.backends[probe->backend];

    return tls->transport != TLS_MODE_IMPLICIT ||
           transport_start_tls_client(&probe->transport, service->tls_backend,
                                      tls->verify ? backend->tls_name : NULL);
}

static void probe_connected(struct connector *connector, int fd, const char *error)
{
    struct probe *probe = connector_context(connector);

    (void)error;
    probe->connector = NULL;
    if (fd < 0) {
        probe_conclude(probe, false);
        return;
    }
    transport_init(&probe->transport, probe->prober->service->loop, fd, &probe_events);
    probe->is_open = true;
    probe->prober->open_handles++;
    transport_watch(&probe->transport, TRANSPORT_READABLE);
    deadline_set(&probe->deadline, PROBE_TIMEOUT_MS);
    if (!probe_start_tls(probe))
        probe_conclude(probe, false);
}

/* Time for the next probe; or the greeting of this one did not come. */
static void probe_expired(struct deadline *deadline)
{
    struct probe *probe = CONTAINER_OF(deadline, struct probe, deadline);
    const struct session_service *service = probe->prober->service;
    struct endpoint endpoint;

    if (probe->is_open) {
        probe_conclude(probe, false);
        return;
    }
    backends_endpoint(&service->backends, probe->backend, probe->protocol, &endpoint);
    probe->connector =
        connector_start(service->loop, &endpoint, PROBE_TIMEOUT_MS, probe_connected, probe);
}

/* True when this daemon sends `protocol` to backends at all. */
static bool prober_is_used(const struct config *config, enum protocol protocol)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        enum protocol used = config->listeners[i].protocol;

        if (used == protocol || (protocol == PROTOCOL_LMTP && used == PROTOCOL_SMTP))
            return true;
    }
    return false;
}

static void prober_add(struct prober *prober, int backend, enum protocol protocol)
{
    struct probe *probe = &prober->probes[prober->count++];

    probe->prober = prober;
    probe->backend = backend;
    probe->protocol = protocol;
    deadline_init(&probe->deadline, prober->service->loop, probe_expired);
    deadline_set(&probe->deadline, 1 + random_below(200));
    prober->open_handles++;
}

struct prober *prober_start(const struct session_service *service)
{
    static const enum protocol protocols[] = { PROTOCOL_LMTP, PROTOCOL_IMAP, PROTOCOL_POP3 };
    struct prober *prober = memory_new(sizeof(*prober));
    size_t backend_count = service->config->cluster.backend_count;

    prober->service = service;
    prober->open_handles = 1;
    backends_reset(&service->backends);
    prober->probes = memory_new(backend_count * ARRAY_LENGTH(protocols) * sizeof(*prober->probes));
    for (size_t i = 0; i < ARRAY_LENGTH(protocols); i++)
        for (size_t backend = 0; backend < backend_count; backend++)
            if (prober_is_used(service->config, protocols[i]))
                prober_add(prober, (int)backend, protocols[i]);
    return prober;
}

static void probe_deadline_closed(struct deadline *deadline)
{
    prober_handle_closed(CONTAINER_OF(deadline, struct probe, deadline)->prober);
}

void prober_stop(struct prober *prober, void (*stopped)(void *context), void *context)
{
    prober->stopped = stopped;
    prober->context = context;
    for (size_t i = 0; i < prober->count; i++) {
        struct probe *probe = &prober->probes[i];

        probe->is_stopping = true;
        if (probe->connector)
            connector_cancel(probe->connector);
        if (probe->is_open)
            transport_close(&probe->transport);
        deadline_close(&probe->deadline, probe_deadline_closed);
    }
    prober_handle_closed(prober);
}
