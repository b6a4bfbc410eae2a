/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/service.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/io/listener.h"
#include "common/io/tls_certificate.h"
#include "common/session/mail_transaction.h"
#include "common/session/session_walk.h"
#include "common/session/storage_use.h"

enum { SERVICE_OFFERS_MS = 1000 }; /* they are looked up again after */

void session_service_init(struct session_service *service)
{
    list_init(&service->sessions);
    list_init(&service->strangers);
    list_init(&service->registry);
    list_init(&service->walks);
    list_init(&service->transactions);
    map_init(&service->accounts);
    departures_init(&service->departures, service);
}

void session_service_stop(struct session_service *service,
                          void (*stopped)(struct session_service *service))
{
    departures_stop(&service->departures, stopped);
}

void session_service_fini(struct session_service *service)
{
    map_fini(&service->accounts);
}

void session_start(struct session *session, struct session_service *service,
                   const struct listener_config *listener, const struct sockaddr_storage *peer,
                   void (*end)(struct session *session, const char *reason))
{
    session->service = service;
    session->listener = listener;
    session->end = end;
    session->started_ms = io_loop_now_ms(service->loop);
    session->peer_port = peer_format(peer, session->peer_address);
    random_id(session->id);
    list_init(&session->node);
    list_init(&session->stranger_node);
    list_init(&session->departure_node);
    list_append(&service->sessions, &session->node);
    list_append(&service->registry, &session->registry_node);
    service->session_count++;
    board_count(service->slot, BOARD_SESSIONS, 1);
    board_count(service->slot, BOARD_CONNECTIONS, 1);
}

void session_finish(struct session *session)
{
    struct session_service *service = session->service;

    session_log_out(session);
    if (session->account && service->touched)
        service->touched(service->touched_context, session->backend, ROUTE_KEY_LOGIN,
                         session->login_key);
    session_leave_storages(session);
    abuse_session_release(session);
    free(session->account);
    free(session->login_key);
    list_remove(&session->node);
    session_is_known(session);
    session_walk_pass_over(session);
    service->session_count--;
    board_count(service->slot, BOARD_SESSIONS, -1);
    if (service->is_draining && service->session_count == 0)
        service->emptied(service);
}

enum log_level session_end_level(const struct session *session)
{
    bool was_a_look =
        session->service->peers_are_trusted && session->ended_itself && !session->has_asked;

    return was_a_look ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

void session_is_stranger(struct session *session)
{
    session_is_known(session);
    list_append(&session->service->strangers, &session->stranger_node);
}

void session_is_known(struct session *session)
{
    list_remove(&session->stranger_node);
}

bool session_service_make_room(struct session_service *service)
{
    struct session *oldest;

    if (list_is_empty(&service->strangers))
        return false;
    oldest = LIST_ELEMENT(service->strangers.next, struct session, stranger_node);
    session_is_known(oldest);
    oldest->end(oldest, "too many connections");
    return true;
}

enum log_level session_alarm(const struct session *session, const struct route *route,
                             const struct target *target)
{
    struct session_service *service = session->service;

    if (!target->is_misconfigured)
        return LOG_LEVEL_WARNING;
    (void)alarms_raise(&service->alarms, io_loop_now_ms(service->loop), session->id, route->key,
                       route->host, target->reason);
    return LOG_LEVEL_INFO;
}

const char *session_why_not_served(const struct session *session, const SSL *ssl)
{
    const struct session_service *service = session->service;
    const struct string_list *names = &service->config->node.frontend_names;
    const char *why;

    if (!service->peers_are_trusted || names->count == 0)
        return NULL;
    why = tls_peer_refusal(ssl, names->items, names->count);
    if (why)
        LOG_EVENT(LOG_LEVEL_WARNING, session->id, "connection_refused",
                  LOG_TEXT("peer", session->peer_address),
                  LOG_TEXT("listener", session->listener->name), LOG_TEXT("why", why));
    return why ? "This is for frontends, and your certificate is none of theirs" : NULL;
}

/* --- targets ------------------------------------------------------------------- */

void session_target_backend(const struct session_service *service, enum protocol protocol,
                            const char *name, struct target *target)
{
    const struct backend_tls_config *tls = &service->config->backend_tls;
    const struct backend *backend = backends_find(&service->backends, name);

    *target = (struct target){ .kind = TARGET_TEMPORARY };
    snprintf(target->name, sizeof(target->name), "%s", name);
    if (!backend) {
        target->reason = "hostServer names no known backend";
        target->is_misconfigured = true;
        return;
    }
    target->backend = backend->id;
    target->endpoint_count = backend_endpoints(backend, protocol, target->endpoints);
    target->pass_client = service->config->cluster.pass_client;
    target->tls = tls->transport;
    target->tls_context = service->tls_backend;
    if (tls->verify)
        memcpy(target->tls_name, backend->tls_name, sizeof(target->tls_name));
    target->kind = TARGET_GO;
    if (!backends_is_up(&service->backends, backend, protocol)) {
        target->kind = TARGET_DOWN;
        target->reason = backend->state == BACKEND_DOWN ? "backend is set down" : "backend is down";
    }
}

const struct endpoint_sources *session_sources(const struct session_service *service,
                                               const struct target *target)
{
    bool is_own_store = service->config->node.name && !target->is_foreign;

    return is_own_store ? NULL : &service->config->sources;
}

void session_choose_target(struct session *session, enum protocol protocol,
                           const struct route *route, struct target *target)
{
    session->service->choose(session->service, protocol, route, target);
    if (target->kind == TARGET_GO && !session_use_storage(session, target->storage)) {
        target->kind = TARGET_TEMPORARY;
        target->reason = "the storage of the account is not attached any more";
    }
    if (target->kind != TARGET_GO || !target->is_foreign || !session->was_relayed)
        return;
    target->kind = TARGET_TEMPORARY;
    target->reason = "a node has relayed it here, and it is another node's account";
}

/* --- accounts ----------------------------------------------------------------- */

void session_log_in(struct session *session, const struct route *route, const char *backend)
{
    session->account = memory_copy_string(route->account);
    session->login_key = memory_copy_string(route->key);
    snprintf(session->backend, sizeof(session->backend), "%s", backend);
    map_insert(&session->service->accounts, &session->account_node,
               span_from_string(session->account));
}

void session_act_for(struct session *session, const char *account)
{
    free(session->account);
    session->account = memory_copy_string(account);
}

void session_log_out(struct session *session)
{
    departures_remove(session);
    if (!session->account_node.key.data)
        return;
    map_remove(&session->service->accounts, &session->account_node);
    session->account_node.key = SPAN_EMPTY;
}

void session_service_account_changed(struct session_service *service, struct span account,
                                     struct span host)
{
    for (struct map_node *node = map_find(&service->accounts, account); node;
         node = map_find_next(node)) {
        struct session *session = CONTAINER_OF(node, struct session, account_node);

        if (!span_equals(host, span_from_string(session->backend)))
            departures_add(&service->departures, session);
        else if (!session->abandoned)
            departures_remove(session);
    }
    LIST_EACH (node, &service->transactions)
        mail_transaction_follow(LIST_ELEMENT(node, struct mail_transaction, node), account, host);
}

void session_service_many_changed(struct session_service *service)
{
    departures_check_all(&service->departures);
    LIST_EACH (node, &service->transactions)
        mail_transaction_follow_all(LIST_ELEMENT(node, struct mail_transaction, node));
}

/* --- the service --------------------------------------------------------------- */

void session_service_drain(struct session_service *service)
{
    if (service->is_draining)
        return;
    service->is_draining = true;
    if (service->session_count == 0)
        service->emptied(service);
}

void session_service_end_all(struct session_service *service, const char *reason)
{
    LIST_EACH (node, &service->sessions) {
        struct session *session = LIST_ELEMENT(node, struct session, node);

        session->end(session, reason);
    }
}

uint64_t session_service_offers(struct session_service *service, enum protocol protocol)
{
    uint64_t now_ms = io_loop_now_ms(service->loop);

    if (now_ms >= service->offers[protocol].until_ms) {
        service->offers[protocol].bits = backends_common_offers(&service->backends, protocol);
        service->offers[protocol].until_ms = now_ms + SERVICE_OFFERS_MS;
    }
    return service->offers[protocol].bits;
}
