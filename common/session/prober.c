/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/prober.h"

#include <stdlib.h>

#include "common/io/connector.h"
#include "common/io/deadline.h"
#include "common/io/transport.h"

enum { PROBE_TIMEOUT_MS = 3000 };

/* One backend and protocol; probed again and again, one probe at a time. */
struct probe {
    struct list node; /* in its prober's `probes` */
    struct prober *prober;
    unsigned backend; /* its id */
    enum protocol protocol;
    struct connector *connector;
    struct transport transport;
    struct deadline deadline;
    unsigned open_handles;
    bool is_open;
    bool is_stopping;
};

struct prober {
    const struct session_service *service;
    struct list probes;
    size_t open_probes; /* and 1 for the prober until it is stopped */
    void (*stopped)(void *context);
    void *context;
};

static const enum protocol prober_protocols[] = { PROTOCOL_LMTP, PROTOCOL_IMAP, PROTOCOL_POP3 };

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

static void prober_release(struct prober *prober)
{
    if (--prober->open_probes > 0)
        return;
    if (prober->stopped)
        prober->stopped(prober->context);
    free(prober);
}

static void probe_handle_closed(struct probe *probe)
{
    struct prober *prober = probe->prober;

    if (--probe->open_handles > 0)
        return;
    free(probe);
    prober_release(prober);
}

static void probe_transport_closed(struct transport *transport)
{
    struct probe *probe = CONTAINER_OF(transport, struct probe, transport);

    probe->is_open = false;
    probe_handle_closed(probe);
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
    const struct backend *backend = backend_set_by_id(&service->backends.set, probe->backend);

    return tls->transport != TLS_MODE_IMPLICIT ||
           (backend && transport_start_tls_client(&probe->transport, service->tls_backend,
                                                  tls->verify ? backend->tls_name : NULL, NULL));
}

static void probe_connected(struct connector *connector, struct io_watch *watch, const char *error)
{
    struct probe *probe = connector_context(connector);

    (void)error;
    probe->connector = NULL;
    if (!watch) {
        probe_conclude(probe, false);
        return;
    }
    transport_init_connected(&probe->transport, watch, &probe_events);
    probe->is_open = true;
    probe->open_handles++;
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
    const struct backend *backend = backend_set_by_id(&service->backends.set, probe->backend);
    struct endpoint endpoints[ENDPOINTS_MAX];
    size_t count;

    if (probe->is_open || !backend) { /* without the backend the probe is being stopped */
        probe_conclude(probe, false);
        return;
    }
    count = backend_endpoints(backend, probe->protocol, endpoints);
    probe->connector =
        connector_start(service->loop, endpoints, count, PROBE_TIMEOUT_MS, probe_connected, probe);
}

/* --- which there are ------------------------------------------------------------------ */

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

static void probe_start(struct prober *prober, unsigned backend, enum protocol protocol)
{
    struct probe *probe = memory_new(sizeof(*probe));

    probe->prober = prober;
    probe->backend = backend;
    probe->protocol = protocol;
    probe->open_handles = 1;
    prober->open_probes++;
    list_append(&prober->probes, &probe->node);
    deadline_init(&probe->deadline, prober->service->loop, probe_expired);
    deadline_set(&probe->deadline, 1 + random_below(200));
}

static void probe_deadline_closed(struct deadline *deadline)
{
    probe_handle_closed(CONTAINER_OF(deadline, struct probe, deadline));
}

static void probe_stop(struct probe *probe)
{
    probe->is_stopping = true;
    list_remove(&probe->node);
    if (probe->connector)
        connector_cancel(probe->connector);
    if (probe->is_open)
        transport_close(&probe->transport);
    deadline_close(&probe->deadline, probe_deadline_closed);
}

static bool prober_has(const struct prober *prober, unsigned backend, enum protocol protocol)
{
    LIST_EACH (node, &prober->probes) {
        const struct probe *probe = LIST_ELEMENT(node, struct probe, node);

        if (probe->backend == backend && probe->protocol == protocol)
            return true;
    }
    return false;
}

/* What is not probed (any more) is not known. */
static void prober_follow_backend(struct prober *prober, const struct backend *backend)
{
    const struct session_service *service = prober->service;

    for (size_t i = 0; i < ARRAY_LENGTH(prober_protocols); i++) {
        enum protocol protocol = prober_protocols[i];

        if (backend->state == BACKEND_DOWN || !prober_is_used(service->config, protocol))
            backends_forget(&service->backends, backend, protocol);
        else if (!prober_has(prober, backend->id, protocol))
            probe_start(prober, backend->id, protocol);
    }
}

void prober_follow(struct prober *prober)
{
    const struct backend_set *set = &prober->service->backends.set;

    LIST_EACH (node, &prober->probes) {
        struct probe *probe = LIST_ELEMENT(node, struct probe, node);
        const struct backend *backend = backend_set_by_id(set, probe->backend);

        if (!backend || backend->state == BACKEND_DOWN)
            probe_stop(probe);
    }
    for (size_t i = 0; i < set->count; i++)
        prober_follow_backend(prober, backend_set_at(set, i));
}

struct prober *prober_start(const struct session_service *service)
{
    struct prober *prober = memory_new(sizeof(*prober));

    prober->service = service;
    prober->open_probes = 1;
    list_init(&prober->probes);
    prober_follow(prober);
    return prober;
}

void prober_stop(struct prober *prober, void (*stopped)(void *context), void *context)
{
    prober->stopped = stopped;
    prober->context = context;
    LIST_EACH (node, &prober->probes)
        probe_stop(LIST_ELEMENT(node, struct probe, node));
    prober_release(prober);
}
