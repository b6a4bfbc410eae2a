/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's connection to the hub.  When it breaks (the control child died) it is made
 * again a moment later; requests that were open then have lost their client.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/service/control_answer.h"
#include "common/service/control_hub.h"
#include "common/service/supervisor.h"

enum { RECONNECT_MS = 250, HUB_PATH_SIZE = 108 };

struct control_client {
    struct child *child;
    const struct control_command *commands;
    void *context;
    struct channel channel;
    uv_timer_t reconnect;
    struct list requests;  /* of struct control_request, with a client */
    struct list inquiries; /* of struct control_inquiry */
    uint32_t last_inquiry;
    bool is_connected;
    bool is_stopping;
    unsigned open_handles;
};

struct control_request {
    struct list node;
    struct control_client *client; /* NULL when nobody wants the answer any more */
    uint32_t leg;
    bool is_too_long; /* a line did not fit */
};

static void orphan(struct control_request *request)
{
    list_remove(&request->node);
    request->client = NULL;
}

static void orphan_all(struct control_client *client)
{
    while (!list_is_empty(&client->requests))
        orphan(LIST_ELEMENT(client->requests.next, struct control_request, node));
}

static void free_if_closed(struct control_client *client)
{
    if (client->is_stopping && client->open_handles == 0)
        free(client);
}

static const struct control_command *find_command(const struct control_client *client,
                                                  const char *name)
{
    for (const struct control_command *command = client->commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

/* False when the hub broke the contract. */
static bool run_request(struct control_client *client, uint32_t leg, const char *name,
                        struct span json)
{
    const struct control_command *command = find_command(client, name);
    json_t *arguments = json_loadb(json.data, json.length, 0, NULL);
    struct control_request *request;

    if (!command || !arguments) {
        json_decref(arguments);
        return false;
    }
    request = memory_new(sizeof(*request));
    request->client = client;
    request->leg = leg;
    list_append(&client->requests, &request->node);
    command->run(request, arguments, client->context);
    json_decref(arguments);
    return true;
}

static void cancel_request(struct control_client *client, uint32_t leg)
{
    LIST_EACH (node, &client->requests) {
        struct control_request *request = LIST_ELEMENT(node, struct control_request, node);

        if (request->leg == leg)
            orphan(request);
    }
}

/* Who is told may ask again: that waits in the list of its owner, since there is no hub. */
static void lose_inquiries(struct control_client *client)
{
    while (!list_is_empty(&client->inquiries)) {
        struct control_inquiry *inquiry =
            LIST_ELEMENT(client->inquiries.next, struct control_inquiry, node);

        list_remove(&inquiry->node);
        inquiry->answered(inquiry, "the control process " CONTROL_ASK_AGAIN, true);
    }
}

static void client_lost(struct control_client *client)
{
    client->is_connected = false;
    orphan_all(client);
    lose_inquiries(client);
    channel_close(&client->channel);
}

static struct control_inquiry *find_inquiry(const struct control_client *client, uint32_t number)
{
    LIST_EACH (node, &client->inquiries) {
        struct control_inquiry *inquiry = LIST_ELEMENT(node, struct control_inquiry, node);

        if (inquiry->number == number)
            return inquiry;
    }
    return NULL;
}

/* One that is not there was withdrawn. */
static bool take_answer(struct control_client *client, enum control_message type, uint32_t number,
                        struct wire_reader *reader)
{
    struct control_inquiry *inquiry = find_inquiry(client, number);
    struct span text = wire_get_span(reader);
    char error[CONFIG_ERROR_SIZE + 1] = "";

    if (!wire_reader_is_complete(reader))
        return false;
    if (inquiry && type == CONTROL_ANSWER) {
        inquiry->line(inquiry, text);
    } else if (inquiry) {
        list_remove(&inquiry->node);
        if (!span_copy_string(span_take(text, sizeof(error) - 1), error, sizeof(error)))
            *error = '\0';
        inquiry->answered(inquiry, text.length > 0 ? error : NULL, false);
    }
    return true;
}

static void hub_message(struct channel *channel, struct span message, int fd)
{
    struct control_client *client = CONTAINER_OF(channel, struct control_client, channel);
    struct wire_reader reader = wire_reader_over(message);
    uint8_t type = wire_get_u8(&reader);
    uint32_t leg = wire_get_u32(&reader);
    char name[CONTROL_NAME_SIZE];
    bool is_good = false;

    if (fd >= 0)
        close(fd);
    if (type == CONTROL_RUN) {
        struct span json;

        wire_get_string(&reader, name, sizeof(name));
        json = wire_get_span(&reader);
        is_good = wire_reader_is_complete(&reader) && run_request(client, leg, name, json);
    } else if (type == CONTROL_CANCEL && wire_reader_is_complete(&reader)) {
        cancel_request(client, leg);
        is_good = true;
    } else if (type == CONTROL_ANSWER || type == CONTROL_ANSWERED) {
        is_good = take_answer(client, type, leg, &reader);
    }
    if (is_good)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "hub_message_wrong", LOG_INTEGER("type", type));
    client_lost(client);
}

static void hub_ended(struct channel *channel)
{
    client_lost(CONTAINER_OF(channel, struct control_client, channel));
}

static void client_connect(uv_timer_t *timer);

static void connect_later(struct control_client *client)
{
    uv_timer_start(&client->reconnect, client_connect, RECONNECT_MS, 0);
}

static void hub_closed(struct channel *channel)
{
    struct control_client *client = CONTAINER_OF(channel, struct control_client, channel);

    client->open_handles--;
    if (!client->is_stopping)
        connect_later(client);
    free_if_closed(client);
}

static void say_hello(struct control_client *client)
{
    const struct child *child = client->child;
    const struct supervisor_role *role = &child->program->roles[atomic_load(&child->slot->role)];
    char memory[CONTROL_COMMANDS_MAX * (CONTROL_NAME_SIZE + 8) + 128];
    struct buffer out = buffer_over(memory, sizeof(memory));
    uint32_t count = 0;

    while (client->commands[count].name)
        count++;
    assert(count <= CONTROL_COMMANDS_MAX);
    wire_put_u8(&out, CONTROL_HELLO);
    wire_put_span(&out, span_from_string(role->name));
    wire_put_u32(&out, (uint32_t)child->number);
    wire_put_u32(&out, count);
    for (uint32_t i = 0; i < count; i++)
        wire_put_span(&out, span_from_string(client->commands[i].name));
    assert(!out.overflowed);
    (void)channel_send(&client->channel, buffer_span(&out), -1);
}

static void client_connect(uv_timer_t *timer)
{
    static const struct channel_events events = { hub_message, hub_ended, hub_closed };
    struct control_client *client = CONTAINER_OF(timer, struct control_client, reconnect);
    char path[HUB_PATH_SIZE];
    int fd;

    child_run_path(client->child->config, "hub.sock", path, sizeof(path));
    fd = channel_connect(path);
    if (fd < 0) {
        connect_later(client);
        return;
    }
    channel_init(&client->channel, &client->child->loop, fd, &events);
    channel_put_in_background(&client->channel);
    client->open_handles++;
    client->is_connected = true;
    say_hello(client);
}

struct control_client *control_client_start(struct child *child,
                                            const struct control_command *commands, void *context)
{
    struct control_client *client = memory_new(sizeof(*client));

    client->child = child;
    client->commands = commands;
    client->context = context;
    list_init(&client->requests);
    list_init(&client->inquiries);
    uv_timer_init(&child->loop.uv, &client->reconnect);
    uv_unref((uv_handle_t *)&client->reconnect);
    client->open_handles = 1;
    client_connect(&client->reconnect);
    return client;
}

bool control_client_ask(struct control_client *client, struct control_inquiry *inquiry,
                        const char *command, struct span json)
{
    if (!client->is_connected)
        return false;
    inquiry->number = ++client->last_inquiry;
    list_append(&client->inquiries, &inquiry->node);
    control_send(&client->channel, CONTROL_ASK, inquiry->number, span_from_string(command), json);
    return true;
}

void control_client_withdraw(struct control_client *client, struct control_inquiry *inquiry)
{
    list_remove(&inquiry->node);
    if (client->is_connected)
        control_send(&client->channel, CONTROL_WITHDRAW, inquiry->number, SPAN_EMPTY, SPAN_EMPTY);
}

static void timer_closed(uv_handle_t *handle)
{
    struct control_client *client = CONTAINER_OF(handle, struct control_client, reconnect);

    client->open_handles--;
    free_if_closed(client);
}

void control_client_stop(struct control_client *client)
{
    client->is_stopping = true;
    if (client->is_connected)
        client_lost(client);
    uv_close((uv_handle_t *)&client->reconnect, timer_closed);
}

void control_reply(struct control_request *request, json_t *line)
{
    char *text = request->client ? json_dumps(line, JSON_COMPACT) : NULL;
    size_t length = text ? strlen(text) : 0;

    json_decref(line);
    if (length > CONTROL_LINE_MAX)
        request->is_too_long = true;
    else if (text)
        control_send(&request->client->channel, CONTROL_LINE, request->leg, span_of(text, length),
                     SPAN_EMPTY);
    free(text);
}

bool control_is_wanted(const struct control_request *request)
{
    return request->client != NULL;
}

size_t control_unread(const struct control_request *request)
{
    return request->client ? channel_waiting(&request->client->channel) : 0;
}

void control_finish(struct control_request *request, const char *error)
{
    if (!error && request->is_too_long)
        error = "a line of the answer was too long and is left out";
    if (request->client) {
        control_send(&request->client->channel, CONTROL_END, request->leg,
                     span_take(span_from_string(error), CONFIG_ERROR_SIZE), SPAN_EMPTY);
        list_remove(&request->node);
    }
    free(request);
}
