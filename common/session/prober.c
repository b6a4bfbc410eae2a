/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/prober.h"

#include <stdlib.h>

#include "common/io/connector.h"
#include "common/io/deadline.h"
#include "common/io/transport.h"
#include "common/proto/offers.h"
#include "common/proto/proxy_header.h"
#include "common/session/intake.h"

enum {
    PROBE_TIMEOUT_MS = 3000,
    PROBE_OFFERS_MS = 60000,  /* between two questions what there is */
    PROBE_NO_OFFERS_MS = 5000 /* when it was nothing: a node may not know its store yet */
};

/* One backend and protocol; probed again and again, one probe at a time. */
struct probe {
    struct list node; /* in its prober's `probes` */
    struct prober *prober;
    unsigned backend; /* its id; 0: the node's own store */
    enum protocol protocol;
    struct connector *connector;
    struct transport transport;
    struct deadline deadline;
    struct offers_client offers;
    struct intake intake; /* while it asks */
    uint64_t ask_ms;      /* when it is to ask what there is; 0: at once */
    bool asks;            /* this time */
    bool is_reported;     /* this time */
    bool is_concluded;    /* this time */
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

static const enum protocol prober_protocols[] = { PROTOCOL_LMTP, PROTOCOL_IMAP, PROTOCOL_POP3,
                                                  PROTOCOL_SIEVE };

static const struct offers_dialogue *probe_dialogue(enum protocol protocol)
{
    switch (protocol) {
    case PROTOCOL_IMAP:
        return &imap_offers_dialogue;
    case PROTOCOL_POP3:
        return &pop3_offers_dialogue;
    case PROTOCOL_SIEVE:
        return &sieve_offers_dialogue;
    case PROTOCOL_LMTP:
        return &lmtp_offers_dialogue;
    default:
        return NULL;
    }
}

/* Tells how it went, once; the node's own store has no health. */
static void probe_report(struct probe *probe, bool is_good)
{
    if (!probe->is_reported)
        backends_report(&probe->prober->service->backends, probe->backend, probe->protocol, is_good,
                        NULL);
    probe->is_reported = true;
    if (!is_good)
        probe->ask_ms = 0; /* whoever comes back may be another */
}

static void probe_conclude(struct probe *probe, bool is_good)
{
    const struct session_service *service = probe->prober->service;
    unsigned interval_ms = service->config->health.probe_interval_ms;

    probe_report(probe, is_good);
    probe->is_concluded = true;
    if (probe->is_open)
        transport_close(&probe->transport);
    if (probe->backend == 0 && is_good)
        interval_ms = PROBE_OFFERS_MS;
    deadline_set(&probe->deadline, interval_ms / 2 + random_below(interval_ms));
}

static bool probe_greeting_is_good(enum protocol protocol, struct span greeting)
{
    static const struct span expected[PROTOCOL_COUNT] = {
        [PROTOCOL_LMTP] = { "220", 3 },
        [PROTOCOL_IMAP] = { "* OK", 4 },
        [PROTOCOL_POP3] = { "+OK", 3 },
        [PROTOCOL_SIEVE] = { "\"", 1 },
    };

    return span_starts_with_ignore_case(greeting, expected[protocol]);
}

static void probe_say_goodbye(struct probe *probe)
{
    static const struct span words[PROTOCOL_COUNT] = {
        [PROTOCOL_LMTP] = { "QUIT\r\n", 6 },
        [PROTOCOL_IMAP] = { "1 LOGOUT\r\n", 10 },
        [PROTOCOL_POP3] = { "QUIT\r\n", 6 },
        [PROTOCOL_SIEVE] = { "LOGOUT\r\n", 8 },
    };

    /* A courtesy to the backend's log; the connection is closed in any case. */
    transport_try_write(&probe->transport, words[probe->protocol]);
}

/* Reads the greeting, and leaves. */
static void probe_look(struct probe *probe)
{
    struct transport *transport = &probe->transport;
    ssize_t count;
    bool is_good;

    count = transport_read(transport, transport->loop->scratch, IO_SCRATCH_SIZE);
    if (count == TRANSPORT_AGAIN)
        return;
    is_good = count > 0 && probe_greeting_is_good(probe->protocol,
                                                  span_of(transport->loop->scratch, (size_t)count));
    if (is_good)
        probe_say_goodbye(probe);
    probe_conclude(probe, is_good);
}

/* How TLS is begun with what is probed. */
static enum tls_mode probe_tls_mode(const struct probe *probe)
{
    return probe->backend ? probe->prober->service->config->backend_tls.transport : TLS_MODE_OFF;
}

/* Begins TLS; false when it cannot begin. */
static bool probe_start_tls(struct probe *probe)
{
    const struct session_service *service = probe->prober->service;
    const struct backend *backend = backend_set_by_id(&service->backends.set, probe->backend);

    return backend && transport_start_tls_client(
                          &probe->transport, service->tls_backend,
                          service->config->backend_tls.verify ? backend->tls_name : NULL, NULL);
}

/* Runs the dialogue over what has come. */
static void probe_ask(struct probe *probe)
{
    const struct session_service *service = probe->prober->service;

    for (;;) {
        struct buffer out = io_loop_out(service->loop);
        enum offers_event event = offers_next(&probe->offers, &probe->intake.input, &out);

        if (probe->offers.is_greeted)
            probe_report(probe, true);
        if (out.length > 0)
            transport_try_write(&probe->transport, buffer_span(&out));
        intake_settle(&probe->intake);
        switch (event) {
        case OFFERS_FLUSH:
            continue;
        case OFFERS_NEED_INPUT:
            return;
        case OFFERS_STARTTLS:
            if (probe->intake.input.length > 0 || !probe_start_tls(probe))
                probe_conclude(probe, true);
            return;
        case OFFERS_DONE:
            backends_learn_offers(&service->backends, probe->backend, probe->protocol,
                                  probe->offers.offers);
            if (probe->protocol == PROTOCOL_LMTP)
                probe_say_goodbye(probe);
            else if (!offers_has_words(probe->offers.offers))
                probe->ask_ms = io_loop_now_ms(service->loop) + PROBE_NO_OFFERS_MS;
            probe_conclude(probe, true);
            return;
        case OFFERS_FAILED:
            probe_conclude(probe, probe->offers.is_greeted);
            return;
        }
    }
}

static void probe_listen(struct probe *probe)
{
    while (!probe->is_concluded) {
        ssize_t count = intake_read(&probe->intake, &probe->transport);

        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0) {
            probe_conclude(probe, probe->offers.is_greeted);
            return;
        }
        probe_ask(probe);
    }
}

static void probe_ready(struct transport *transport, unsigned readiness)
{
    struct probe *probe = CONTAINER_OF(transport, struct probe, transport);

    if (probe->is_stopping || probe->is_concluded)
        return;
    if (readiness & TRANSPORT_SECURED && probe->asks &&
        probe_tls_mode(probe) == TLS_MODE_STARTTLS) {
        offers_tls_started(&probe->offers);
        probe_ask(probe);
    }
    if (!(readiness & TRANSPORT_READABLE) || probe->is_concluded)
        return;
    if (probe->asks)
        probe_listen(probe);
    else
        probe_look(probe);
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
    intake_fini(&probe->intake);
    free(probe);
    prober_release(prober);
}

static void probe_transport_closed(struct transport *transport)
{
    struct probe *probe = CONTAINER_OF(transport, struct probe, transport);

    probe->is_open = false;
    intake_fini(&probe->intake);
    probe_handle_closed(probe);
}

static const struct transport_events probe_events = {
    .ready = probe_ready,
    .closed = probe_transport_closed,
};

/* Decides whether it asks this time. */
static void probe_begin_dialogue(struct probe *probe)
{
    const struct offers_dialogue *dialogue = probe_dialogue(probe->protocol);
    uint64_t now_ms = io_loop_now_ms(probe->prober->service->loop);

    probe->asks = dialogue && now_ms >= probe->ask_ms;
    if (!probe->asks)
        return;
    probe->ask_ms = now_ms + PROBE_OFFERS_MS;
    intake_init(&probe->intake, false);
    offers_init(&probe->offers, dialogue, probe_tls_mode(probe) == TLS_MODE_STARTTLS);
}

/* A backend that expects the PROXY protocol at logins is told that this is none. */
static bool probe_introduce(struct probe *probe)
{
    const struct config *config = probe->prober->service->config;
    enum pass_client pass_client =
        probe->backend ? config->cluster.pass_client : config->node.pass_client;
    const struct proxy_header nobody = { .port = 0 };
    char memory[PROXY_HEADER_ROOM];
    struct buffer out = buffer_over(memory, sizeof(memory));

    if (probe->protocol == PROTOCOL_LMTP || pass_client != PASS_CLIENT_PROXY)
        return true;
    proxy_header_write(&nobody, NULL, 0, &out);
    return transport_send(&probe->transport, buffer_span(&out));
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
    probe_begin_dialogue(probe);
    if (!probe_introduce(probe) ||
        (probe_tls_mode(probe) == TLS_MODE_IMPLICIT && !probe_start_tls(probe)))
        probe_conclude(probe, false);
}

static size_t probe_endpoints(const struct probe *probe, struct endpoint endpoints[ENDPOINTS_MAX])
{
    const struct session_service *service = probe->prober->service;
    const struct backend *backend = backend_set_by_id(&service->backends.set, probe->backend);

    if (backend)
        return backend_endpoints(backend, probe->protocol, endpoints);
    if (probe->backend || !service->backends.is_node)
        return 0;
    endpoints[0] = *node_config_store(&service->config->node, probe->protocol);
    return 1;
}

/* Time for the next probe; or the greeting of this one did not come. */
static void probe_expired(struct deadline *deadline)
{
    struct probe *probe = CONTAINER_OF(deadline, struct probe, deadline);
    const struct session_service *service = probe->prober->service;
    struct endpoint endpoints[ENDPOINTS_MAX];
    size_t count = probe_endpoints(probe, endpoints);

    if (probe->is_open || count == 0) { /* without an endpoint the probe is being stopped */
        probe_conclude(probe, probe->is_open && probe->asks && probe->offers.is_greeted);
        return;
    }
    probe->is_reported = probe->is_concluded = false;
    probe->connector = connector_start(service->loop, endpoints, count, &service->config->sources,
                                       PROBE_TIMEOUT_MS, probe_connected, probe);
}

/* --- which there are ------------------------------------------------------------------ */

/* True when this daemon sends `protocol` to backends at all. */
static bool prober_is_used(const struct config *config, enum protocol protocol)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        enum protocol used = config->listeners[i].protocol;

        if (used == protocol || (protocol == PROTOCOL_LMTP && protocol_is_mail(used)) ||
            (protocol == PROTOCOL_IMAP && used == PROTOCOL_SUBMISSION &&
             config->submission.verify == SUBMISSION_VERIFY_BACKEND))
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

/* A node asks its own store, which its configuration has for each protocol that is used. */
static void prober_follow_store(struct prober *prober)
{
    for (size_t i = 0; i < ARRAY_LENGTH(prober_protocols); i++) {
        enum protocol protocol = prober_protocols[i];

        if (probe_dialogue(protocol) && prober_is_used(prober->service->config, protocol) &&
            !prober_has(prober, 0, protocol))
            probe_start(prober, 0, protocol);
    }
}

void prober_follow(struct prober *prober)
{
    const struct backend_set *set = &prober->service->backends.set;

    LIST_EACH (node, &prober->probes) {
        struct probe *probe = LIST_ELEMENT(node, struct probe, node);
        const struct backend *backend = backend_set_by_id(set, probe->backend);

        if (probe->backend && (!backend || backend->state == BACKEND_DOWN))
            probe_stop(probe);
    }
    if (prober->service->backends.is_node) {
        prober_follow_store(prober);
        return;
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
