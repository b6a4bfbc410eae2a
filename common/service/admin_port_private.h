/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the admin port (admin_port*.c) share.
 *
 * Connections and HTTP are libmicrohttpd's, run in turns of our loop by its epoll descriptor and
 * its timeouts; its TLS is GnuTLS.  A request whose answer is not there yet is suspended, and
 * resumed by what the hub tells or by the tick.
 */
#ifndef MAILSTEAD_SERVICE_ADMIN_PORT_PRIVATE_H
#define MAILSTEAD_SERVICE_ADMIN_PORT_PRIVATE_H

#include <gnutls/gnutls.h>
#include <jansson.h>
#include <microhttpd.h>

#include "common/base/bytes.h"
#include "common/base/list.h"
#include "common/service/admin_roles.h"
#include "common/service/child.h"
#include "common/service/control.h"

enum {
    ADMIN_CONNECTIONS_MAX = 64,
    ADMIN_CONNECTIONS_PER_ADDRESS = 16,
    ADMIN_CONNECTION_BYTES = 32768,      /* a request's head, and as much again to write */
    ADMIN_HANDSHAKE_MS = 5000,           /* until a client has proved who it is */
    ADMIN_IDLE_S = 30,                   /* a connection on which nothing moves */
    ADMIN_HUB_MS = 2000,                 /* what is for one page; and until there is a hub */
    ADMIN_UNREAD_MAX = 32 * 1024 * 1024, /* of an answer */
    ADMIN_NAME_SIZE = 256,
    ADMIN_ADDRESS_SIZE = 64,
    ADMIN_COMMAND_SIZE = 64
};

struct admin_port {
    struct child *child;
    struct MHD_Daemon *daemon;
    struct control_client *hub;
    struct list peers; /* of struct admin_peer */
    uv_poll_t poll;
    uv_timer_t turn, tick; /* the library's timeouts; ours */
    bool is_stopping;
    uint64_t stop_deadline_ms;
};

/* A connection. */
struct admin_peer {
    struct list node; /* in port->peers */
    struct admin_port *port;
    int fd; /* the library's */
    char address[ADMIN_ADDRESS_SIZE];
    uint64_t opened_ms;
    char name[ADMIN_NAME_SIZE]; /* of its certificate: the one that gives its role, or the first */
    enum admin_role role;
    bool is_known;                 /* its certificate is one of client_ca's */
    bool is_used;                  /* a request was answered */
    struct admin_request *request; /* that is being answered; NULL: none */
};

struct admin_request;

/* A page, or what an order is given to. */
struct admin_route {
    const char *path, *method;
    const char *type;                             /* of the answer */
    void (*begin)(struct admin_request *request); /* the request is whole */
    /* The hub has answered all, or with `error` not: fill `output`.  NULL: lines go as they come.
     */
    void (*finish)(struct admin_request *request, const char *error);
};

enum admin_request_state {
    ADMIN_REQUEST_READING,
    ADMIN_REQUEST_WAITING, /* for a hub to ask */
    ADMIN_REQUEST_ASKED,
    ADMIN_REQUEST_ANSWERED /* `status` and all of the output are there */
};

struct admin_request {
    struct admin_peer *peer;
    struct MHD_Connection *connection;
    const struct admin_route *route;
    enum admin_request_state state;
    bool is_suspended, is_responding;
    uint64_t began_ms, deadline_ms; /* deadline_ms: of a page, or of waiting; 0: none */
    struct bytes body;
    bool is_too_long;
    /* What the hub is asked: */
    struct control_inquiry inquiry;
    char command[ADMIN_COMMAND_SIZE]; /* empty: none yet */
    struct bytes json;
    /* The answer: */
    unsigned status;     /* of HTTP */
    json_t *lines;       /* for a page: what the hub told */
    struct bytes output; /* the bytes before `sent` are gone */
    size_t sent;
    char error[CONFIG_ERROR_SIZE]; /* of an order; empty: it was done */
};

/* admin_port.c: has the library look at what was resumed, in the next turn. */
void admin_port_wake(struct admin_port *port);

/* admin_port_peer.c: libmicrohttpd's MHD_NotifyConnectionCallback. */
void admin_peer_notify(void *context, struct MHD_Connection *connection, void **socket_context,
                       enum MHD_ConnectionNotificationCode code);
/* Ends connections that have not proved who they are in time. */
void admin_peers_tick(struct admin_port *port, uint64_t now_ms);

/* admin_port_request.c: MHD_AccessHandlerCallback and MHD_RequestCompletedCallback. */
enum MHD_Result admin_request_access(void *context, struct MHD_Connection *connection,
                                     const char *url, const char *method, const char *version,
                                     const char *upload, size_t *upload_size, void **request);
void admin_request_completed(void *context, struct MHD_Connection *connection, void **request,
                             enum MHD_RequestTerminationCode code);
/* Asks the hub for `command`; `json` is copied. */
void admin_request_ask(struct admin_request *request, const char *command, struct span json);
/* Answers at once: `error` as the end of an order is told. */
void admin_request_refuse(struct admin_request *request, unsigned status, const char *error);
/* Looks at those that wait: for a hub, for their time, for a client that has left. */
void admin_requests_tick(struct admin_port *port, uint64_t now_ms);
/* Answers all that is open with an error; for the end. */
void admin_requests_abandon(struct admin_port *port);

/* admin_port_pages.c: the route of a path, or NULL. */
const struct admin_route *admin_route_find(const char *path);

#endif
