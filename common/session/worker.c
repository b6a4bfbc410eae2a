/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draining (SIGUSR1): stop accepting, let the sessions finish, then stop.
 * Stopping (SIGTERM): ask every session to go, release the rest, end the loop.
 */
#include "common/session/worker.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/io/keepalive.h"
#include "common/io/tls.h"
#include "common/service/config_certificate.h"
#include "common/session/login_session.h"
#include "common/session/mail_session.h"

enum { WORKER_MIRROR_MS = 1000 }; /* without a mirror that long: all is in doubt, and told */

static void worker_accepted(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct worker *worker = listener->context;
    const struct config *config = worker->child->config;
    const struct listener_config *configured = &config->listeners[listener - worker->listeners];

    if (worker->options.may_connect &&
        !worker->options.may_connect(worker->options.context, peer)) {
        char address[46];

        peer_format(peer, address);
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "connection_refused", LOG_TEXT("peer", address),
                  LOG_TEXT("listener", configured->name),
                  LOG_TEXT("why", "its address is none of node.frontends"));
        close(fd);
        return;
    }
    if (!crowd_admits(&worker->crowd, configured, fd))
        return;
    if (protocol_is_mail(configured->protocol))
        mail_session_start(&worker->service, configured, fd, peer);
    else
        login_session_start(&worker->service, configured, fd, peer);
}

static void worker_account_changed(struct resolver *resolver, struct span account, struct span host)
{
    struct worker *worker = CONTAINER_OF(resolver, struct worker, resolver);

    if (account.data)
        session_service_account_changed(&worker->service, account, host);
    else
        session_service_many_changed(&worker->service);
}

static bool worker_backends_changed(struct resolver *resolver)
{
    struct worker *worker = CONTAINER_OF(resolver, struct worker, resolver);
    bool has_changed;
    bool is_read = backends_read(&worker->service.backends, resolver->mirror, &has_changed);

    if (has_changed && worker->prober && !worker->is_drained)
        prober_follow(worker->prober);
    return is_read;
}

/* --- the end ---------------------------------------------------------------------- */

static void worker_part_stopped(struct worker *worker)
{
    if (--worker->stops_pending == 0)
        io_loop_stop(&worker->child->loop);
}

static void worker_resolver_stopped(struct resolver *resolver)
{
    worker_part_stopped(CONTAINER_OF(resolver, struct worker, resolver));
}

static void worker_service_stopped(struct session_service *service)
{
    worker_part_stopped(CONTAINER_OF(service, struct worker, service));
}

static void worker_prober_stopped(void *context)
{
    worker_part_stopped(context);
}

static void worker_listener_stopped(struct listener *listener)
{
    worker_part_stopped(listener->context);
}

static void worker_orders_stopped(struct session_orders *orders)
{
    worker_part_stopped(CONTAINER_OF(orders, struct worker, orders));
}

static void worker_drain_stopped(struct drain *drain)
{
    worker_part_stopped(CONTAINER_OF(drain, struct worker, drain));
}

static void worker_storages_stopped(struct storage_watch *storages)
{
    worker_part_stopped(CONTAINER_OF(storages, struct worker, storages));
}

static void worker_stop_listeners(struct worker *worker)
{
    for (size_t i = 0; i < worker->listeners_open; i++) {
        worker->stops_pending++;
        listener_stop(&worker->listeners[i], worker_listener_stopped);
    }
    worker->listeners_open = 0;
}

void worker_released(struct worker *worker)
{
    worker_part_stopped(worker);
}

/* The last session is gone: stop what serves sessions. */
static void worker_emptied(struct session_service *service)
{
    struct worker *worker = CONTAINER_OF(service, struct worker, service);

    if (worker->is_drained)
        return;
    worker->is_drained = true;
    mail_pool_close(&worker->mail_pool);
    worker->stops_pending += 4;
    session_orders_stop(&worker->orders, worker_orders_stopped);
    drain_stop(&worker->drain, worker_drain_stopped);
    resolver_stop(&worker->resolver, worker_resolver_stopped);
    session_service_stop(&worker->service, worker_service_stopped);
    if (worker->storages.service) {
        worker->stops_pending++;
        storage_watch_stop(&worker->storages, worker_storages_stopped);
    }
    if (worker->prober) {
        worker->stops_pending++;
        prober_stop(worker->prober, worker_prober_stopped, worker);
    }
    if (worker->options.release) {
        worker->stops_pending++;
        worker->options.release(worker, worker->options.context);
    }
    worker_part_stopped(worker); /* the sessions, which worker_start counted */
}

static void worker_stop(struct worker *worker, const char *reason)
{
    if (worker->is_stopping)
        return;
    worker->is_stopping = true;
    worker_stop_listeners(worker);
    session_service_end_all(&worker->service, reason);
    session_service_drain(&worker->service);
}

static void worker_child_drain(struct child *child)
{
    struct worker *worker = child->context;

    atomic_store(&child->slot->is_draining, 1);
    for (size_t i = 0; i < worker->listeners_open; i++)
        listener_drain(&worker->listeners[i]);
    worker_stop_listeners(worker);
    child_close_listeners(child);
    if (worker->options.draining)
        worker->options.draining(worker->options.context);
    session_service_drain(&worker->service);
}

static void worker_child_stop(struct child *child)
{
    worker_stop(child->context, "server is going down");
}

/* --- the start ---------------------------------------------------------------------- */

static bool worker_load_certificates(struct worker *worker)
{
    const struct tls_config *tls = &worker->child->config->tls;
    struct tls_certificate *certificates =
        memory_new((tls->other_count + 1) * sizeof(*certificates));
    struct tls_server_options options = config_tls_options(tls, certificates);
    char error[TLS_ERROR_SIZE] = "";
    size_t wrong;

    options.tickets = worker->child->tickets;
    worker->service.tls_server = tls_server_context(&options, &wrong, error);
    free(certificates);
    if (!worker->service.tls_server)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "tls_failed", LOG_TEXT("section", "tls"),
                  LOG_TEXT("why", error));
    return worker->service.tls_server != NULL;
}

static bool worker_load_tls(struct worker *worker)
{
    const struct config *config = worker->child->config;
    struct session_service *service = &worker->service;
    const struct tls_certificate own = { config->backend_tls.pem.certificate,
                                         config->backend_tls.pem.key };
    char error[TLS_ERROR_SIZE] = "";

    if (config->tls.pem.certificate && config->tls.pem.key && !worker_load_certificates(worker))
        return false;
    if (config->backend_tls.transport == TLS_MODE_OFF)
        return true;
    service->tls_backend =
        tls_client_context(config->backend_tls.ca, config->backend_tls.verify, error);
    if (service->tls_backend &&
        (!own.certificate || tls_client_show(service->tls_backend, &own, error)))
        return true;
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "tls_failed", LOG_TEXT("section", "backend_tls"),
              LOG_TEXT("why", error));
    return false;
}

static void worker_init_service(struct worker *worker)
{
    struct child *child = worker->child;
    const struct worker_options *options = &worker->options;

    worker->service = (struct session_service){
        .loop = &child->loop,
        .config = child->config,
        .slot = child->slot,
        .resolver = &worker->resolver,
        .mail_pool = &worker->mail_pool,
        .mail_peers = options->peers_are_trusted ? NULL : &worker->mail_peers,
        .abuse = options->peers_are_trusted ? NULL : &worker->abuse,
        .choose = options->choose,
        .fallback = options->fallback,
        .fallback_context = options->fallback_context,
        .touched = options->touched,
        .touched_context = options->touched_context,
        .peers_are_trusted = options->peers_are_trusted,
        .holds_logins = options->holds_logins,
        .emptied = worker_emptied,
    };
    backends_init(&worker->service.backends, child->config, child->board);
    abuse_init(&worker->abuse, child->board, &child->config->limits);
    mail_peers_init(&worker->mail_peers, child->config->smtp.sessions_per_address,
                    child->config->smtp.sessions_max);
    mail_pool_init(&worker->mail_pool, child->config->smtp.reused_connections,
                   child->config->timeout.reuse_s);
}

bool worker_start(struct worker *worker, struct child *child, const struct worker_options *options)
{
    const struct config *config = child->config;

    *worker = (struct worker){ .child = child, .options = *options, .stops_pending = 1 };
    worker_init_service(worker);
    if (!worker_load_tls(worker))
        return false;
    session_service_init(&worker->service);
    crowd_init(&worker->crowd, &worker->service);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "worker_takes",
              LOG_INTEGER("sessions", worker->service.sessions_max));
    child->context = worker;
    child->drain = worker_child_drain;
    child->stop = worker_child_stop;
    resolver_start(&worker->resolver, &child->loop, config, worker_account_changed);
    mirror_await(worker->resolver.mirror, WORKER_MIRROR_MS); /* others start at the same time */
    worker->resolver.backends_changed = worker_backends_changed;
    worker->resolver.board = child->board;
    (void)worker_backends_changed(&worker->resolver);
    worker->service.backends.is_node = options->peers_are_trusted;
    if ((options->probes_backends || options->peers_are_trusted) && child->number == 0)
        worker->prober = prober_start(&worker->service);
    worker->listeners = memory_new(config->listener_count * sizeof(*worker->listeners));
    for (size_t i = 0; i < config->listener_count; i++) {
        keepalive_set(child->listen_fds[i], config->timeout.keepalive_s);
        listener_start(&worker->listeners[i], &child->loop, child->listen_fds[i], worker_accepted,
                       worker);
    }
    worker->listeners_open = config->listener_count;
    session_orders_start(&worker->orders, child, &worker->service);
    worker->drain = (struct drain){ .service = &worker->service,
                                    .board = child->board,
                                    .listeners = worker->listeners,
                                    .listener_count = &worker->listeners_open };
    drain_start(&worker->drain);
    if (options->peers_are_trusted) /* a node */
        storage_watch_start(&worker->storages, &worker->service);
    return true;
}

void worker_run_loop(struct worker *worker)
{
    child_run_loop(worker->child);
    free(worker->listeners);
    session_service_fini(&worker->service);
    mail_peers_fini(&worker->mail_peers);
    abuse_fini(&worker->abuse);
    backends_fini(&worker->service.backends);
    SSL_CTX_free(worker->service.tls_server);
    SSL_CTX_free(worker->service.tls_backend);
}
