/* SPDX-License-Identifier: Apache-2.0 */
/*
 * It never blocks and never forgets: a touched account is sent at once, sent again behind a broken
 * connection, and kept until it is noted.  Its failure: more than TOUCHES_MAX wait, which is told
 * by one message for all that found no room.
 */
#include "backend/replica/touches.h"

#include <stdlib.h>
#include <unistd.h>

#include "backend/replica/messages.h"
#include "common/io/channel.h"
#include "common/session/session_walk.h"

enum {
    TOUCHES_MAX = 20000,
    TOUCHES_IN_CHANNEL = 256, /* messages that wait in the socket's queue */
    TOUCHES_TICK_MS = 100,
    TOUCHES_STOP_MS = 1000,
    TOUCHES_WALK_SLICE = 500 /* sessions that are looked at in one tick */
};

struct touch {
    struct list node; /* in `unsent` or `sent` */
    struct map_node map_node;
    uint32_t number; /* by which it was sent last */
    enum route_key key;
    char name[];
};

struct touches {
    struct io_loop *loop;
    const struct config *config;
    struct session_service *service;
    struct channel channel;
    uv_timer_t timer;
    struct list unsent, sent; /* of struct touch; `sent` in the order of their numbers */
    struct map by_name;
    uint32_t last_number;
    uint32_t missed_number; /* by which MISSED was sent */
    bool has_missed, is_missed_sent;
    struct session_walk walk;
    bool is_walking;
    uint64_t walk_ms; /* when the next walk begins */
    uint64_t stop_ms; /* 0: it is not asked to stop */
    bool is_connected, is_closing;
    unsigned open_handles;
    void (*stopped)(void *context);
    void *context;
};

/* --- sending ------------------------------------------------------------------------------ */

static bool touches_send(struct touches *touches, enum replica_message type, uint32_t number,
                         const struct touch *touch)
{
    char memory[ROUTE_ADDRESS_SIZE + 32];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, (uint8_t)type);
    if (number > 0)
        wire_put_u32(&message, number);
    if (touch) {
        wire_put_u8(&message, (uint8_t)touch->key);
        wire_put_span(&message, span_from_string(touch->name));
    }
    return !touches->channel.is_closing &&
           channel_send(&touches->channel, buffer_span(&message), -1);
}

/* Sends what the channel takes without growing. */
static void touches_pump(struct touches *touches)
{
    while (touches->is_connected && !touches->channel.is_closing &&
           !list_is_empty(&touches->unsent) &&
           channel_waiting(&touches->channel) < TOUCHES_IN_CHANNEL) {
        struct touch *touch = LIST_ELEMENT(touches->unsent.next, struct touch, node);

        touch->number = ++touches->last_number;
        list_remove(&touch->node);
        list_append(&touches->sent, &touch->node);
        if (!touches_send(touches, REPLICA_TOUCHED, touch->number, touch))
            return;
    }
    if (touches->is_connected && touches->has_missed && !touches->is_missed_sent) {
        touches->missed_number = ++touches->last_number;
        touches->is_missed_sent =
            touches_send(touches, REPLICA_MISSED, touches->missed_number, NULL);
    }
}

void touches_note(struct touches *touches, enum route_key key, const char *name)
{
    struct span text = span_from_string(name);
    struct map_node *node = map_find(&touches->by_name, text);
    struct touch *touch = node ? CONTAINER_OF(node, struct touch, map_node) : NULL;

    if (text.length >= ROUTE_ADDRESS_SIZE)
        return; /* no account has such a name */
    if (!touch && touches->by_name.count >= TOUCHES_MAX) {
        touches->has_missed = true;
        touches->is_missed_sent = false; /* what was told before is older than this */
        touches_pump(touches);
        return;
    }
    if (!touch) {
        touch = memory_new(sizeof(*touch) + text.length + 1);
        memcpy(touch->name, name, text.length + 1);
        list_init(&touch->node);
        map_insert(&touches->by_name, &touch->map_node, span_of(touch->name, text.length));
    }
    touch->key = key;
    list_remove(&touch->node); /* what was sent may have been done before this */
    list_append(&touches->unsent, &touch->node);
    touches_pump(touches);
}

/* --- noted -------------------------------------------------------------------------------- */

static void touches_forget(struct touches *touches, struct touch *touch)
{
    list_remove(&touch->node);
    map_remove(&touches->by_name, &touch->map_node);
    free(touch);
}

static void touches_noted(struct touches *touches, uint32_t number)
{
    while (!list_is_empty(&touches->sent)) {
        struct touch *touch = LIST_ELEMENT(touches->sent.next, struct touch, node);

        if (touch->number > number)
            break;
        touches_forget(touches, touch);
    }
    if (touches->is_missed_sent && touches->missed_number <= number)
        touches->has_missed = touches->is_missed_sent = false;
    touches_pump(touches);
}

static void touches_on_message(struct channel *channel, struct span message, int fd)
{
    struct touches *touches = CONTAINER_OF(channel, struct touches, channel);
    struct wire_reader reader = wire_reader_over(message);
    uint8_t type = wire_get_u8(&reader);
    uint32_t number = wire_get_u32(&reader);

    if (fd >= 0)
        close(fd);
    if (type == REPLICA_NOTED && wire_reader_is_complete(&reader))
        touches_noted(touches, number);
}

/* --- the connection ------------------------------------------------------------------------ */

static void touches_handle_closed(struct touches *touches)
{
    if (--touches->open_handles > 0)
        return;
    touches->stopped(touches->context);
    while (!list_is_empty(&touches->unsent))
        touches_forget(touches, LIST_ELEMENT(touches->unsent.next, struct touch, node));
    while (!list_is_empty(&touches->sent))
        touches_forget(touches, LIST_ELEMENT(touches->sent.next, struct touch, node));
    map_fini(&touches->by_name);
    free(touches);
}

static void touches_on_ended(struct channel *channel)
{
    channel_close(channel);
}

/* All that was sent and not noted is to be sent again. */
static void touches_on_closed(struct channel *channel)
{
    struct touches *touches = CONTAINER_OF(channel, struct touches, channel);

    touches->is_connected = false;
    touches->is_missed_sent = false;
    while (!list_is_empty(&touches->sent)) {
        struct list *node = touches->sent.next;

        list_remove(node);
        list_append(&touches->unsent, node);
    }
    touches_handle_closed(touches);
}

static const struct channel_events touches_channel_events = {
    .message = touches_on_message,
    .ended = touches_on_ended,
    .closed = touches_on_closed,
};

static void touches_connect(struct touches *touches)
{
    char path[256];
    int fd;

    child_run_path(touches->config, "replica.sock", path, sizeof(path));
    fd = channel_connect(path);
    if (fd < 0)
        return;
    channel_init(&touches->channel, touches->loop, fd, &touches_channel_events);
    touches->is_connected = true;
    touches->open_handles++;
    touches_pump(touches);
}

/* --- sessions that go on ------------------------------------------------------------------- */

static void touches_look_at(struct touches *touches, struct session *session)
{
    struct session_view view = { .bytes_in = 0 };

    if (!session->account || !session->view ||
        strcmp(session->backend, touches->config->node.name) != 0)
        return;
    session->view(session, &view);
    if (view.bytes_in == session->touched_bytes)
        return;
    session->touched_bytes = view.bytes_in;
    touches_note(touches, ROUTE_KEY_LOGIN, session->login_key);
}

static void touches_walk(struct touches *touches, uint64_t now_ms)
{
    struct session *session = NULL;

    if (!touches->is_walking) {
        if (now_ms < touches->walk_ms)
            return;
        touches->walk_ms = now_ms + touches->config->replica.session_s * 1000ULL;
        session_walk_begin(&touches->walk, touches->service);
        touches->is_walking = true;
    }
    for (unsigned i = 0; i < TOUCHES_WALK_SLICE; i++) {
        session = session_walk_next(&touches->walk);
        if (!session)
            break;
        touches_look_at(touches, session);
    }
    if (session)
        return;
    session_walk_end(&touches->walk);
    touches->is_walking = false;
}

/* --- life ---------------------------------------------------------------------------------- */

static void touches_timer_closed(uv_handle_t *handle)
{
    touches_handle_closed(CONTAINER_OF(handle, struct touches, timer));
}

static void touches_close(struct touches *touches)
{
    if (touches->is_closing)
        return;
    touches->is_closing = true;
    if (touches->is_walking)
        session_walk_end(&touches->walk);
    uv_close((uv_handle_t *)&touches->timer, touches_timer_closed);
    if (touches->is_connected) {
        if (touches->by_name.count == 0 && !touches->has_missed)
            (void)touches_send(touches, REPLICA_LEAVING, 0, NULL);
        channel_close(&touches->channel);
    }
}

static void touches_tick(uv_timer_t *timer)
{
    struct touches *touches = CONTAINER_OF(timer, struct touches, timer);
    uint64_t now_ms = io_loop_now_ms(touches->loop);

    if (touches->stop_ms > 0 &&
        (now_ms >= touches->stop_ms || (touches->by_name.count == 0 && !touches->has_missed))) {
        touches_close(touches);
        return;
    }
    if (!touches->is_connected)
        touches_connect(touches);
    touches_pump(touches);
    if (touches->stop_ms == 0)
        touches_walk(touches, now_ms);
}

struct touches *touches_start(struct io_loop *loop, const struct config *config,
                              struct session_service *service)
{
    struct touches *touches = memory_new(sizeof(*touches));

    *touches =
        (struct touches){ .loop = loop, .config = config, .service = service, .open_handles = 1 };
    touches->walk_ms = io_loop_now_ms(loop) + config->replica.session_s * 1000ULL;
    list_init(&touches->unsent);
    list_init(&touches->sent);
    map_init(&touches->by_name);
    uv_timer_init(&loop->uv, &touches->timer);
    uv_timer_start(&touches->timer, touches_tick, 0, TOUCHES_TICK_MS);
    return touches;
}

void touches_stop(struct touches *touches, void (*stopped)(void *context), void *context)
{
    touches->stopped = stopped;
    touches->context = context;
    touches->stop_ms = io_loop_now_ms(touches->loop) + TOUCHES_STOP_MS;
    touches_tick(&touches->timer);
}
