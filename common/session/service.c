/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/service.h"

#include "common/io/listener.h"

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
    list_append(&service->sessions, &session->node);
    service->session_count++;
    board_count(service->slot, BOARD_SESSIONS, 1);
    board_count(service->slot, BOARD_CONNECTIONS, 1);
}

void session_finish(struct session *session)
{
    struct session_service *service = session->service;

    list_remove(&session->node);
    service->session_count--;
    board_count(service->slot, BOARD_SESSIONS, -1);
    if (service->is_draining && service->session_count == 0)
        service->emptied(service);
}

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
