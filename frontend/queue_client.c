/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's end of queue.sock: connection, and deliveries.  (queue_client_store.c has
 * the other direction.)
 *
 * It never answers "stored" without the queue's word, never drops a result
 * before the queue has committed it, and never blocks.  Failures: a broken connection, told to
 * each store that waits; everything else is kept until the next connection.
 */
#include "frontend/queue_client.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/service/child.h"
#include "frontend/queue_client_private.h"

enum { RECONNECT_MS = 200 };

/* --- deliveries --------------------------------------------------------------- */

static void delivery_free(struct queue_delivery *delivery)
{
    list_remove(&delivery->node);
    if (delivery->fd >= 0)
        close(delivery->fd);
    free(delivery->recipients);
    free(delivery->memory);
    free(delivery);
}

static void delivery_read_recipients(struct queue_delivery *delivery, struct wire_reader *reader)
{
    uint32_t count = wire_get_u32(reader);

    if (count == 0 || count > QUEUE_DELIVERY_RECIPIENTS_MAX) {
        reader->failed = true;
        return;
    }
    delivery->recipients = memory_new(count * sizeof(*delivery->recipients));
    delivery->recipient_count = count;
    for (uint32_t i = 0; i < count; i++) {
        delivery->recipients[i].row = wire_get_u64(reader);
        delivery->recipients[i].address = wire_get_span(reader);
        delivery->recipients[i].recipient = wire_get_span(reader);
        delivery->recipients[i].notify = wire_get_u8(reader);
        delivery->recipients[i].orcpt = wire_get_span(reader);
    }
}

/* The backend's name as a string: behind the message in the same memory. */
static const char *delivery_keep_backend(char *target, struct span backend)
{
    if (backend.length > 0)
        memcpy(target, backend.data, backend.length);
    target[backend.length] = '\0';
    return target;
}

static struct queue_delivery *delivery_read(struct queue_client *client, struct span message,
                                            int fd)
{
    struct queue_delivery *delivery = memory_new(sizeof(*delivery));
    char *copy = memory_new(2 * message.length + 1);
    struct wire_reader reader;
    bool has_file;

    memcpy(copy, message.data, message.length);
    reader = wire_reader_over(span_of(copy, message.length));
    *delivery = (struct queue_delivery){ .client = client, .memory = copy, .fd = fd };
    list_init(&delivery->node);
    wire_get_u8(&reader);
    delivery->attempt = wire_get_u64(&reader);
    wire_get_string(&reader, delivery->message_id, sizeof(delivery->message_id));
    delivery->session_id = wire_get_span(&reader);
    delivery->backend = delivery_keep_backend(copy + message.length, wire_get_span(&reader));
    delivery->reverse_path = wire_get_span(&reader);
    delivery->parameters.body_8bit = wire_get_u8(&reader) != 0;
    delivery->parameters.is_utf8 = wire_get_u8(&reader) != 0;
    delivery->parameters.ret = (enum mail_return)wire_get_u8(&reader);
    wire_get_string(&reader, delivery->parameters.envid, sizeof(delivery->parameters.envid));
    delivery->parameters.size = wire_get_u64(&reader);
    delivery_read_recipients(delivery, &reader);
    has_file = wire_get_u8(&reader) != 0;
    if (!has_file)
        delivery->body = wire_get_span(&reader);
    if (wire_reader_is_complete(&reader) && has_file == (fd >= 0))
        return delivery;
    delivery_free(delivery);
    return NULL;
}

static void client_take_delivery(struct queue_client *client, struct span message, int fd)
{
    struct queue_delivery *delivery = delivery_read(client, message, fd);

    if (!delivery) {
        channel_close(&client->channel);
        return;
    }
    list_append(&client->deliveries, &delivery->node);
    client->unfinished++;
    client->events->deliver(client->context, delivery);
}

void queue_delivery_set(struct queue_delivery *delivery, size_t index, enum queue_fate fate,
                        unsigned not_before_s, struct span text)
{
    struct queue_delivery_recipient *recipient = &delivery->recipients[index];
    struct span kept = span_take(text, QUEUE_TEXT_MAX);

    recipient->fate = fate;
    recipient->not_before_s = not_before_s;
    for (size_t i = 0; i < kept.length; i++)
        recipient->text[i] = (unsigned char)kept.data[i] < ' ' ? ' ' : kept.data[i];
    recipient->text[kept.length] = '\0';
}

void queue_delivery_set_all(struct queue_delivery *delivery, enum queue_fate fate,
                            unsigned not_before_s, struct span text)
{
    for (size_t i = 0; i < delivery->recipient_count; i++)
        queue_delivery_set(delivery, i, fate, not_before_s, text);
}

/* --- results ------------------------------------------------------------------ */

/* A result that the queue has not committed yet. */
struct result {
    struct list node;
    uint64_t attempt;
    size_t length;
    char message[];
};

static struct result *result_new(const struct queue_delivery *delivery)
{
    size_t size = 32 + delivery->recipient_count * (sizeof(delivery->recipients[0].text) + 32);
    struct result *result = memory_new(sizeof(*result) + size);
    struct buffer message = buffer_over(result->message, size);

    list_init(&result->node);
    result->attempt = delivery->attempt;
    wire_put_u8(&message, QUEUE_RESULT);
    wire_put_u64(&message, delivery->attempt);
    wire_put_u32(&message, (uint32_t)delivery->recipient_count);
    for (size_t i = 0; i < delivery->recipient_count; i++) {
        const struct queue_delivery_recipient *recipient = &delivery->recipients[i];

        wire_put_u64(&message, recipient->row);
        wire_put_u8(&message, (uint8_t)recipient->fate);
        wire_put_u32(&message, recipient->not_before_s);
        wire_put_span(&message, span_from_string(recipient->text));
    }
    result->length = message.length;
    return result;
}

static void result_send(struct queue_client *client, const struct result *result)
{
    if (client->is_connected)
        channel_send(&client->channel, span_of(result->message, result->length), -1);
}

void queue_delivery_finish(struct queue_delivery *delivery)
{
    struct queue_client *client = delivery->client;
    struct result *result = result_new(delivery);

    list_append(&client->results, &result->node);
    delivery_free(delivery);
    result_send(client, result);
}

static void client_forget_result(struct queue_client *client, uint64_t attempt)
{
    LIST_EACH (node, &client->results) {
        struct result *result = LIST_ELEMENT(node, struct result, node);

        if (result->attempt != attempt)
            continue;
        list_remove(node);
        free(result);
        client->unfinished--;
        return;
    }
}

/* --- connection --------------------------------------------------------------- */

static void client_send_slots(struct queue_client *client)
{
    char memory[8];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, QUEUE_READY);
    wire_put_u32(&message, client->slots);
    channel_send(&client->channel, buffer_span(&message), -1);
}

static void client_send_holding(struct queue_client *client, const struct queue_delivery *delivery)
{
    char memory[16 + 8 * QUEUE_DELIVERY_RECIPIENTS_MAX];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, QUEUE_HOLDING);
    wire_put_u64(&message, delivery->attempt);
    wire_put_u32(&message, (uint32_t)delivery->recipient_count);
    for (size_t i = 0; i < delivery->recipient_count; i++)
        wire_put_u64(&message, delivery->recipients[i].row);
    channel_send(&client->channel, buffer_span(&message), -1);
}

/* What the queue must know before it may give this worker, or any other, something to do. */
static void client_introduce(struct queue_client *client)
{
    LIST_EACH (node, &client->results)
        result_send(client, LIST_ELEMENT(node, struct result, node));
    LIST_EACH (node, &client->deliveries)
        client_send_holding(client, LIST_ELEMENT(node, struct queue_delivery, node));
    client_send_slots(client);
}

static void client_message(struct channel *channel, struct span message, int fd)
{
    struct queue_client *client = CONTAINER_OF(channel, struct queue_client, channel);
    struct wire_reader reader = wire_reader_over(message);
    uint8_t type = wire_get_u8(&reader);

    if (type == QUEUE_DELIVER) {
        client_take_delivery(client, message, fd);
        return;
    }
    if (fd >= 0)
        close(fd);
    if (type == QUEUE_STORED)
        queue_client_take_stored(client, &reader);
    else if (type == QUEUE_RESULT_STORED)
        client_forget_result(client, wire_get_u64(&reader));
    else if (type == QUEUE_REFUSING)
        client->is_refusing = wire_get_u8(&reader) != 0;
    else
        channel_close(channel);
}

static void client_ended(struct channel *channel)
{
    channel_close(channel);
}

void queue_client_release(struct queue_client *client)
{
    if (--client->open_handles > 0)
        return;
    if (client->events->stopped)
        client->events->stopped(client->context);
    free(client);
}

static void client_closed(struct channel *channel)
{
    struct queue_client *client = CONTAINER_OF(channel, struct queue_client, channel);

    client->is_connected = false;
    if (!client->is_stopping)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_connection_lost");
    queue_client_fail_sent(client);
    queue_client_release(client);
}

static const struct channel_events client_channel_events = {
    .message = client_message,
    .ended = client_ended,
    .closed = client_closed,
};

static void client_connect(uv_timer_t *timer)
{
    struct queue_client *client = CONTAINER_OF(timer, struct queue_client, timer);
    char path[256];
    int fd;

    if (client->is_connected)
        return;
    child_run_path(client->config, "queue.sock", path, sizeof(path));
    fd = channel_connect(path);
    if (fd < 0)
        return;
    channel_init(&client->channel, client->loop, fd, &client_channel_events);
    client->is_connected = true;
    client->is_refusing = false;
    client->open_handles++;
    client_introduce(client);
}

/* --- life --------------------------------------------------------------------- */

struct queue_client *queue_client_start(struct io_loop *loop, const struct config *config,
                                        unsigned slots, const struct queue_client_events *events,
                                        void *context)
{
    struct queue_client *client = memory_new(sizeof(*client));

    client->loop = loop;
    client->config = config;
    client->events = events;
    client->context = context;
    client->slots = slots;
    client->open_handles = 1;
    list_init(&client->deliveries);
    list_init(&client->results);
    list_init(&client->stores);
    uv_timer_init(&loop->uv, &client->timer);
    uv_timer_start(&client->timer, client_connect, 0, RECONNECT_MS);
    return client;
}

void queue_client_set_slots(struct queue_client *client, unsigned slots)
{
    client->slots = slots;
    if (client->is_connected)
        client_send_slots(client);
}

bool queue_client_is_connected(const struct queue_client *client)
{
    return client->is_connected;
}

bool queue_client_is_refusing(const struct queue_client *client)
{
    return client->is_refusing;
}

size_t queue_client_unfinished(const struct queue_client *client)
{
    return client->unfinished;
}

static void client_timer_closed(uv_handle_t *handle)
{
    queue_client_release(CONTAINER_OF((uv_timer_t *)handle, struct queue_client, timer));
}

void queue_client_stop(struct queue_client *client)
{
    client->is_stopping = true;
    queue_client_fail_sent(client);
    LIST_EACH (node, &client->deliveries)
        delivery_free(LIST_ELEMENT(node, struct queue_delivery, node));
    LIST_EACH (node, &client->results) {
        list_remove(node);
        free(LIST_ELEMENT(node, struct result, node));
    }
    if (client->is_connected)
        channel_close(&client->channel);
    uv_close((uv_handle_t *)&client->timer, client_timer_closed);
}
