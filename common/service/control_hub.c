/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub: processes come and go, each says once which commands it has.  A leg ends
 * with the process's answer or with the process; an exchange ends with its last leg.
 * The peers are our own processes: one that breaks the contract is closed.
 *
 * A command may come while those who have it are starting: it waits for them, for HUB_WAIT_MS at
 * most, when nobody has it yet or the daemon is young.
 */
#include "common/service/control_hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/any_text.h"
#include "common/service/control_answer.h"
#include "common/service/supervisor.h"

enum { HUB_WAIT_MS = 2000, HUB_LOOK_MS = 20, HUB_YOUNG_MS = 5000, LEG_ERROR_MAX = 400 };

/* A connected process. */
struct control_peer {
    struct list node; /* in hub->peers */
    struct control_hub *hub;
    struct channel channel;
    char name[CONTROL_NAME_SIZE]; /* "worker 1"; empty before its HELLO */
    char (*commands)[CONTROL_NAME_SIZE];
    uint32_t command_count;
    struct list legs;
    struct list questions; /* that it asks: control_question.c */
};

struct control_leg {
    struct list peer_node;
    struct list exchange_node;
    struct control_peer *peer;
    struct control_exchange *exchange;
    uint32_t number;
};

static void leg_free(struct control_leg *leg)
{
    list_remove(&leg->peer_node);
    list_remove(&leg->exchange_node);
    free(leg);
}

/* The leg is done; with `error` the exchange has failed, but goes on until its last leg. */
static void leg_end(struct control_leg *leg, const char *peer_name, struct span error)
{
    struct control_exchange *exchange = leg->exchange;

    if (error.length > 0 && !*exchange->error) {
        snprintf(exchange->error, sizeof(exchange->error), "%s: %.*s", peer_name,
                 SPAN_PRINTF(span_take(error, LEG_ERROR_MAX)));
        if (error.length > LEG_ERROR_MAX)
            text_end_whole(exchange->error);
    }
    leg_free(leg);
    if (list_is_empty(&exchange->legs))
        exchange->events->ended(exchange, *exchange->error ? exchange->error : NULL);
}

static struct control_leg *peer_find_leg(const struct control_peer *peer, uint32_t number)
{
    LIST_EACH (node, &peer->legs) {
        struct control_leg *leg = LIST_ELEMENT(node, struct control_leg, peer_node);

        if (leg->number == number)
            return leg;
    }
    return NULL;
}

static bool take_hello(struct control_peer *peer, struct wire_reader *reader)
{
    char role[CONTROL_NAME_SIZE / 2];
    uint32_t number, count;

    wire_get_string(reader, role, sizeof(role));
    number = wire_get_u32(reader);
    count = wire_get_u32(reader);
    if (*peer->name || reader->failed || count > CONTROL_COMMANDS_MAX)
        return false;
    snprintf(peer->name, sizeof(peer->name), "%s %u", role, number);
    peer->commands = memory_new((count + 1) * sizeof(peer->commands[0]));
    for (uint32_t i = 0; i < count; i++)
        wire_get_string(reader, peer->commands[i], sizeof(peer->commands[i]));
    peer->command_count = count;
    return wire_reader_is_complete(reader);
}

/* A leg that is not there was cancelled: its answers are nobody's. */
static bool take_line(struct control_peer *peer, struct wire_reader *reader)
{
    struct control_leg *leg = peer_find_leg(peer, wire_get_u32(reader));
    struct span json = wire_get_span(reader);

    if (!wire_reader_is_complete(reader))
        return false;
    if (leg)
        leg->exchange->events->line(leg->exchange, json);
    return true;
}

static bool take_end(struct control_peer *peer, struct wire_reader *reader)
{
    struct control_leg *leg = peer_find_leg(peer, wire_get_u32(reader));
    struct span error = wire_get_span(reader);

    if (!wire_reader_is_complete(reader))
        return false;
    if (leg)
        leg_end(leg, peer->name, error);
    return true;
}

static void peer_close(struct control_peer *peer)
{
    list_remove(&peer->node);
    control_questions_drop(&peer->questions);
    while (!list_is_empty(&peer->legs))
        leg_end(LIST_ELEMENT(peer->legs.next, struct control_leg, peer_node), peer->name,
                SPAN_LITERAL(CONTROL_ASK_AGAIN));
    channel_close(&peer->channel);
}

static void peer_message(struct channel *channel, struct span message, int fd)
{
    struct control_peer *peer = CONTAINER_OF(channel, struct control_peer, channel);
    struct wire_reader reader = wire_reader_over(message);
    uint8_t type = wire_get_u8(&reader);
    bool is_good = false;

    if (fd >= 0)
        close(fd);
    switch (type) {
    case CONTROL_HELLO:
        is_good = take_hello(peer, &reader);
        break;
    case CONTROL_LINE:
        is_good = take_line(peer, &reader);
        break;
    case CONTROL_END:
        is_good = take_end(peer, &reader);
        break;
    case CONTROL_ASK:
    case CONTROL_WITHDRAW:
        is_good = control_question_take(peer->hub, channel, &peer->questions, type, &reader);
        break;
    default:
        break;
    }
    if (is_good)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "hub_peer_wrong", LOG_TEXT("peer", peer->name));
    peer_close(peer);
}

static void peer_ended(struct channel *channel)
{
    peer_close(CONTAINER_OF(channel, struct control_peer, channel));
}

static void peer_closed(struct channel *channel)
{
    struct control_peer *peer = CONTAINER_OF(channel, struct control_peer, channel);

    free(peer->commands);
    free(peer);
}

static void hub_accepted(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
    static const struct channel_events events = { peer_message, peer_ended, peer_closed };
    struct control_hub *hub = listener->context;
    struct control_peer *peer = memory_new(sizeof(*peer));

    (void)address;
    peer->hub = hub;
    list_init(&peer->legs);
    list_init(&peer->questions);
    list_append(&hub->peers, &peer->node);
    channel_init(&peer->channel, &hub->child->loop, fd, &events);
}

static bool peer_has_command(const struct control_peer *peer, const char *command)
{
    for (uint32_t i = 0; i < peer->command_count; i++)
        if (strcmp(peer->commands[i], command) == 0)
            return true;
    return false;
}

static void leg_start(struct control_peer *peer, struct control_exchange *exchange)
{
    struct control_leg *leg = memory_new(sizeof(*leg));

    leg->peer = peer;
    leg->exchange = exchange;
    leg->number = ++peer->hub->last_leg;
    list_append(&peer->legs, &leg->peer_node);
    list_append(&exchange->legs, &leg->exchange_node);
}

/* Sends the command to all that have it; false when nobody has. */
static bool exchange_begin(struct control_hub *hub, struct control_exchange *exchange,
                           const char *command, struct span json)
{
    LIST_EACH (node, &hub->peers) {
        struct control_peer *peer = LIST_ELEMENT(node, struct control_peer, node);

        if (!peer_has_command(peer, command))
            continue;
        leg_start(peer, exchange);
        control_send(&peer->channel, CONTROL_RUN, hub->last_leg, span_from_string(command), json);
    }
    return !list_is_empty(&exchange->legs);
}

/* --- waiting for processes that start ------------------------------------------------ */

static bool hub_has(const struct control_hub *hub, const char *role, unsigned number)
{
    char name[CONTROL_NAME_SIZE];

    snprintf(name, sizeof(name), "%s %u", role, number);
    LIST_EACH (node, &hub->peers)
        if (strcmp(LIST_ELEMENT(node, struct control_peer, node)->name, name) == 0)
            return true;
    return false;
}

/* True when all processes that the daemon has are connected, but for ours. */
static bool hub_is_complete(const struct control_hub *hub)
{
    const struct child *child = hub->child;
    const struct supervisor_program *program = child->program;
    int own = atomic_load(&child->slot->role);

    for (size_t i = 0; i < program->role_count; i++) {
        const struct supervisor_role *role = &program->roles[i];
        unsigned count = supervisor_role_count(role, child->config);

        for (unsigned number = 0; (int)i != own && number < count; number++)
            if (!hub_has(hub, role->name, number))
                return false;
    }
    return true;
}

static bool hub_has_command(const struct control_hub *hub, const char *command)
{
    LIST_EACH (node, &hub->peers)
        if (peer_has_command(LIST_ELEMENT(node, struct control_peer, node), command))
            return true;
    return false;
}

/* Whether those are still to come who should answer the command, too. */
static bool hub_expects(const struct control_hub *hub, const char *command)
{
    uint64_t age_ms = clock_monotonic_ms() - atomic_load(&hub->child->board->started_ms);

    return (age_ms < HUB_YOUNG_MS || !hub_has_command(hub, command)) && !hub_is_complete(hub);
}

static void hub_look(uv_timer_t *timer);

static void exchange_wait(struct control_hub *hub, struct control_exchange *exchange,
                          const char *command, struct span json)
{
    snprintf(exchange->command, sizeof(exchange->command), "%s", command);
    exchange->json = bytes_empty(CONTROL_REQUEST_MAX);
    if (!bytes_append(&exchange->json, json))
        abort();
    exchange->deadline_ms = clock_monotonic_ms() + HUB_WAIT_MS;
    list_append(&hub->waiting, &exchange->node);
    uv_timer_start(&hub->look, hub_look, HUB_LOOK_MS, HUB_LOOK_MS);
}

static void exchange_end_wait(struct control_exchange *exchange)
{
    list_remove(&exchange->node);
    bytes_release(&exchange->json);
}

static void exchange_is_unknown(const struct control_hub *hub, struct control_exchange *exchange,
                                const char *command)
{
    snprintf(exchange->error, sizeof(exchange->error),
             "unknown command \"%.60s\": no running process of this %.30s has it", command,
             hub->child->program->name);
}

/* The wait is over: the exchange begins or fails. */
static void exchange_look(struct control_hub *hub, struct control_exchange *exchange)
{
    bool has_begun = exchange_begin(hub, exchange, exchange->command, bytes_span(&exchange->json));

    exchange_end_wait(exchange);
    if (has_begun)
        return;
    exchange_is_unknown(hub, exchange, exchange->command);
    exchange->events->ended(exchange, exchange->error);
}

static void hub_look(uv_timer_t *timer)
{
    struct control_hub *hub = CONTAINER_OF(timer, struct control_hub, look);
    uint64_t now_ms = clock_monotonic_ms();

    /* An end may let the same client ask again, which waits at the end of the list. */
    LIST_EACH (node, &hub->waiting) {
        struct control_exchange *exchange = LIST_ELEMENT(node, struct control_exchange, node);

        if (now_ms >= exchange->deadline_ms || !hub_expects(hub, exchange->command))
            exchange_look(hub, exchange);
    }
    if (list_is_empty(&hub->waiting))
        uv_timer_stop(timer);
}

bool control_hub_run(struct control_hub *hub, struct control_exchange *exchange,
                     const char *command, struct span json,
                     const struct control_exchange_events *events)
{
    *exchange = (struct control_exchange){ .events = events };
    list_init(&exchange->legs);
    list_init(&exchange->node);
    if (hub_expects(hub, command)) {
        exchange_wait(hub, exchange, command, json);
        return true;
    }
    if (exchange_begin(hub, exchange, command, json))
        return true;
    exchange_is_unknown(hub, exchange, command);
    return false;
}

void control_exchange_cancel(struct control_exchange *exchange)
{
    exchange_end_wait(exchange);
    while (!list_is_empty(&exchange->legs)) {
        struct control_leg *leg =
            LIST_ELEMENT(exchange->legs.next, struct control_leg, exchange_node);

        control_send(&leg->peer->channel, CONTROL_CANCEL, leg->number, SPAN_EMPTY, SPAN_EMPTY);
        leg_free(leg);
    }
}

/* --- the hub's life --------------------------------------------------------------------- */

void control_hub_start(struct control_hub *hub, struct child *child)
{
    hub->child = child;
    hub->last_leg = 0;
    list_init(&hub->peers);
    list_init(&hub->waiting);
    uv_timer_init(&child->loop.uv, &hub->look);
    listener_start(&hub->processes, &child->loop, child->service_fd, hub_accepted, hub);
}

void control_hub_stop(struct control_hub *hub)
{
    uv_close((uv_handle_t *)&hub->look, NULL);
    listener_stop(&hub->processes, NULL);
    while (!list_is_empty(&hub->peers))
        peer_close(LIST_ELEMENT(hub->peers.next, struct control_peer, node));
}
