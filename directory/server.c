/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that does not read, or that breaks the contract, is disconnected: it connects again
 * and then looks at all it holds.
 */
#include "directory/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/io/channel.h"
#include "common/io/listener.h"

enum {
    SERVER_WAITING_MAX = 4096,
    SERVER_MESSAGE_SIZE = 1024,
    SERVER_CHANGES_SIZE = 4096 /* of one message, which holds a hundred or so */
};

struct directory_server {
    struct io_loop *loop;
    struct confirm *confirm;
    struct binder *binder;
    struct listener listener;
    struct list peers;
    size_t peer_count;
    uint64_t revision;     /* the last that was told, or is about to be */
    struct buffer changes; /* a DIRECTORY_CHANGED that is being filled; empty: none */
    struct io_resumption flush;
    bool is_stopping;
    bool has_listener;
    char changes_memory[SERVER_CHANGES_SIZE];
};

struct server_peer {
    struct list node;
    struct channel channel;
    struct directory_server *server;
};

static void server_free_when_empty(struct directory_server *server)
{
    if (server->is_stopping && !server->has_listener && server->peer_count == 0)
        free(server);
}

/* --- peers ------------------------------------------------------------------------ */

static void server_drop_peer(struct server_peer *peer)
{
    confirm_forget(peer->server->confirm, peer);
    binder_forget(peer->server->binder, peer);
    channel_close(&peer->channel);
}

static void server_send(struct server_peer *peer, const struct buffer *message)
{
    if (peer->channel.is_closing)
        return;
    if (channel_waiting(&peer->channel) >= SERVER_WAITING_MAX) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "directory_peer_stuck");
        server_drop_peer(peer);
        return;
    }
    (void)channel_send(&peer->channel, buffer_span(message), -1); /* when gone, `ended` follows */
}

static void server_answer(struct server_peer *peer, enum directory_message type, uint32_t number,
                          uint8_t answer)
{
    char memory[SERVER_MESSAGE_SIZE];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, (uint8_t)type);
    wire_put_u32(&message, number);
    wire_put_u8(&message, answer);
    server_send(peer, &message);
}

static void server_on_answer(void *asker, uint32_t number, enum directory_confirmation answer)
{
    server_answer(asker, DIRECTORY_CONFIRMED, number, (uint8_t)answer);
}

static void server_on_bound(void *asker, uint32_t number, enum directory_bind_answer answer)
{
    server_answer(asker, DIRECTORY_BOUND, number, (uint8_t)answer);
}

/* False when the message is malformed, here and below. */
static bool server_take_confirm(struct server_peer *peer, struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);
    uint8_t key = wire_get_u8(reader);
    struct span value = wire_get_span(reader);

    if (!wire_reader_is_complete(reader) || key > ROUTE_KEY_LOGIN)
        return false;
    confirm_ask(peer->server->confirm, (enum route_key)key, value, server_on_answer, peer, number);
    return true;
}

static bool server_take_bind(struct server_peer *peer, struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);
    struct span account = wire_get_span(reader);
    struct span password = wire_get_span(reader);

    if (!wire_reader_is_complete(reader))
        return false;
    binder_ask(peer->server->binder, account, password, server_on_bound, peer, number);
    explicit_bzero((char *)(uintptr_t)password.data, password.length);
    return true;
}

static void server_on_message(struct channel *channel, struct span message, int fd)
{
    struct server_peer *peer = CONTAINER_OF(channel, struct server_peer, channel);
    struct wire_reader reader = wire_reader_over(message);
    uint8_t type = wire_get_u8(&reader);
    bool is_taken = false;

    if (fd >= 0)
        close(fd);
    if (type == DIRECTORY_CONFIRM)
        is_taken = server_take_confirm(peer, &reader);
    else if (type == DIRECTORY_BIND)
        is_taken = server_take_bind(peer, &reader);
    if (is_taken)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "directory_peer_malformed", LOG_INTEGER("type", type));
    server_drop_peer(peer);
}

static void server_on_ended(struct channel *channel)
{
    server_drop_peer(CONTAINER_OF(channel, struct server_peer, channel));
}

static void server_on_closed(struct channel *channel)
{
    struct server_peer *peer = CONTAINER_OF(channel, struct server_peer, channel);
    struct directory_server *server = peer->server;

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

/* --- telling -------------------------------------------------------------------------- */

static void server_write_many(struct buffer *message, uint64_t revision)
{
    wire_put_u8(message, DIRECTORY_CHANGED_MANY);
    wire_put_u64(message, revision);
}

static void server_tell(struct directory_server *server, const struct buffer *message)
{
    LIST_EACH (node, &server->peers)
        server_send(LIST_ELEMENT(node, struct server_peer, node), message);
}

/* Sends the changes that are gathered, if there are any. */
static void server_flush_changes(struct directory_server *server)
{
    if (server->changes.length > 0)
        server_tell(server, &server->changes);
    buffer_clear(&server->changes);
}

static void server_on_flush(struct io_resumption *flush)
{
    server_flush_changes(CONTAINER_OF(flush, struct directory_server, flush));
}

/* Has room for one more change of `revision`: in the message that is being filled, or a new one. */
static void server_begin_change(struct directory_server *server, uint64_t revision, size_t size)
{
    if (server->revision != revision || buffer_room(&server->changes) < size)
        server_flush_changes(server);
    server->revision = revision;
    if (server->changes.length > 0)
        return;
    wire_put_u8(&server->changes, DIRECTORY_CHANGED);
    wire_put_u64(&server->changes, revision);
    io_loop_resume(server->loop, &server->flush);
}

void directory_server_tell_changed(struct directory_server *server, uint64_t revision,
                                   struct span account, struct span host)
{
    server_begin_change(server, revision, 2 * sizeof(uint32_t) + account.length + host.length);
    wire_put_span(&server->changes, account);
    wire_put_span(&server->changes, host);
}

void directory_server_tell_many(struct directory_server *server, uint64_t revision)
{
    char memory[SERVER_MESSAGE_SIZE];
    struct buffer message = buffer_over(memory, sizeof(memory));

    buffer_clear(&server->changes); /* they are among the many */
    server->revision = revision;
    server_write_many(&message, revision);
    server_tell(server, &message);
}

void directory_server_tell_backends(struct directory_server *server)
{
    char memory[SERVER_MESSAGE_SIZE];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, DIRECTORY_BACKENDS);
    server_tell(server, &message);
}

size_t directory_server_peers(const struct directory_server *server)
{
    return server->peer_count;
}

/* --- the socket ------------------------------------------------------------------------- */

static void server_on_accepted(struct listener *listener, int fd,
                               const struct sockaddr_storage *address)
{
    struct directory_server *server = CONTAINER_OF(listener, struct directory_server, listener);
    struct server_peer *peer = memory_new(sizeof(*peer));
    char memory[SERVER_MESSAGE_SIZE];
    struct buffer message = buffer_over(memory, sizeof(memory));

    (void)address;
    peer->server = server;
    list_append(&server->peers, &peer->node);
    server->peer_count++;
    channel_init(&peer->channel, server->loop, fd, &server_channel_events);
    server_write_many(&message, server->revision);
    server_send(peer, &message);
}

static void server_on_listener_stopped(struct listener *listener)
{
    struct directory_server *server = CONTAINER_OF(listener, struct directory_server, listener);

    server->has_listener = false;
    server_free_when_empty(server);
}

struct directory_server *directory_server_start(struct io_loop *loop, int fd,
                                                struct confirm *confirm, struct binder *binder,
                                                uint64_t revision)
{
    struct directory_server *server = memory_new(sizeof(*server));

    server->loop = loop;
    server->confirm = confirm;
    server->binder = binder;
    server->revision = revision;
    server->has_listener = true;
    server->changes = buffer_over(server->changes_memory, sizeof(server->changes_memory));
    io_resumption_init(&server->flush, server_on_flush);
    list_init(&server->peers);
    listener_start(&server->listener, loop, fd, server_on_accepted, server);
    return server;
}

void directory_server_stop(struct directory_server *server)
{
    server->is_stopping = true;
    io_resumption_cancel(&server->flush);
    LIST_EACH (node, &server->peers)
        channel_close(&LIST_ELEMENT(node, struct server_peer, node)->channel);
    listener_stop(&server->listener, server_on_listener_stopped);
}
