/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that goes without a word may have known of changes: then all accounts are in doubt.  One
 * that breaks the contract is disconnected, and tells what it remembers when it is back.
 */
#include "backend/replica/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "backend/replica/messages.h"
#include "common/base/log.h"
#include "common/io/channel.h"
#include "common/io/listener.h"

struct replica_server {
    struct io_loop *loop;
    const struct replica_server_events *events;
    void *context;
    struct listener listener;
    struct list peers;
    size_t peer_count;
    bool is_stopping, has_listener;
};

struct replica_peer {
    struct list node;
    struct channel channel;
    struct replica_server *server;
    uint32_t heard, noted; /* numbers */
    bool is_leaving;
};

static void server_free_when_empty(struct replica_server *server)
{
    if (!server->is_stopping || server->has_listener || server->peer_count > 0)
        return;
    server->events->stopped(server->context);
    free(server);
}

static bool server_take_touched(struct replica_peer *peer, struct wire_reader *reader)
{
    char name[ROUTE_ADDRESS_SIZE];
    uint32_t number = wire_get_u32(reader);
    uint8_t key = wire_get_u8(reader);

    wire_get_string(reader, name, sizeof(name));
    if (!wire_reader_is_complete(reader) || key > ROUTE_KEY_LOGIN)
        return false;
    peer->heard = number;
    peer->server->events->touched(peer->server->context, (enum route_key)key, name);
    return true;
}

static bool server_take_missed(struct replica_peer *peer, struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);

    if (!wire_reader_is_complete(reader))
        return false;
    peer->heard = number;
    peer->server->events->missed(peer->server->context, "too many changes at once");
    return true;
}

static void server_on_message(struct channel *channel, struct span message, int fd)
{
    struct replica_peer *peer = CONTAINER_OF(channel, struct replica_peer, channel);
    struct wire_reader reader = wire_reader_over(message);
    bool is_taken = true;

    if (fd >= 0)
        close(fd);
    switch (wire_get_u8(&reader)) {
    case REPLICA_TOUCHED:
        is_taken = server_take_touched(peer, &reader);
        break;
    case REPLICA_MISSED:
        is_taken = server_take_missed(peer, &reader);
        break;
    case REPLICA_LEAVING:
        peer->is_leaving = true;
        break;
    default:
        is_taken = false;
        break;
    }
    if (!is_taken)
        channel_close(channel);
}

static void server_on_ended(struct channel *channel)
{
    struct replica_peer *peer = CONTAINER_OF(channel, struct replica_peer, channel);

    if (!peer->is_leaving)
        peer->server->events->missed(peer->server->context, "a worker went without a word");
    channel_close(channel);
}

static void server_on_closed(struct channel *channel)
{
    struct replica_peer *peer = CONTAINER_OF(channel, struct replica_peer, channel);
    struct replica_server *server = peer->server;

    list_remove(&peer->node);
    server->peer_count--;
    free(peer);
    server_free_when_empty(server);
}

static const struct channel_events server_channel_events = {
    .message = server_on_message,
    .ended = server_on_ended,
    .closed = server_on_closed,
};

void replica_server_noted(struct replica_server *server)
{
    LIST_EACH (node, &server->peers) {
        struct replica_peer *peer = LIST_ELEMENT(node, struct replica_peer, node);
        char memory[16];
        struct buffer message = buffer_over(memory, sizeof(memory));

        if (peer->noted == peer->heard || peer->channel.is_closing)
            continue;
        peer->noted = peer->heard;
        wire_put_u8(&message, REPLICA_NOTED);
        wire_put_u32(&message, peer->noted);
        (void)channel_send(&peer->channel, buffer_span(&message), -1); /* else `ended` follows */
    }
}

void replica_server_reset(struct replica_server *server)
{
    LIST_EACH (node, &server->peers)
        channel_close(&LIST_ELEMENT(node, struct replica_peer, node)->channel);
}

size_t replica_server_peers(const struct replica_server *server)
{
    return server->peer_count;
}

static void server_on_accepted(struct listener *listener, int fd,
                               const struct sockaddr_storage *address)
{
    struct replica_server *server = CONTAINER_OF(listener, struct replica_server, listener);
    struct replica_peer *peer = memory_new(sizeof(*peer));

    (void)address;
    peer->server = server;
    list_append(&server->peers, &peer->node);
    server->peer_count++;
    channel_init(&peer->channel, server->loop, fd, &server_channel_events);
}

static void server_on_listener_stopped(struct listener *listener)
{
    struct replica_server *server = CONTAINER_OF(listener, struct replica_server, listener);

    server->has_listener = false;
    server_free_when_empty(server);
}

struct replica_server *replica_server_start(struct io_loop *loop, int fd,
                                            const struct replica_server_events *events,
                                            void *context)
{
    struct replica_server *server = memory_new(sizeof(*server));

    server->loop = loop;
    server->events = events;
    server->context = context;
    server->has_listener = true;
    list_init(&server->peers);
    listener_start(&server->listener, loop, fd, server_on_accepted, server);
    return server;
}

void replica_server_stop(struct replica_server *server)
{
    server->is_stopping = true;
    LIST_EACH (node, &server->peers)
        channel_close(&LIST_ELEMENT(node, struct replica_peer, node)->channel);
    listener_stop(&server->listener, server_on_listener_stopped);
}
