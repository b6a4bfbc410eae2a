/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing a message to the queue.  A body above the configured inline size is written to a
 * file and synced in libuv's pool first; then the message goes over the channel, and
 * the queue's answer ends the store.
 *
 * Failures, all answered "not stored": no connection, a connection that breaks before the
 * answer, a file that cannot be written or synced, the queue's own refusal.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "frontend/message_blocks.h"
#include "frontend/queue_client_private.h"

/* Recipients of one message: beside them QUEUE_STORE has room for the envelope and a body. */
enum { RECIPIENTS_CHUNK = CHANNEL_MESSAGE_MAX - QUEUE_INLINE_MAX - 4096, ENVELOPE_MAX = 4000 };

/* Any recipient has room in a chunk of its own; the body, cut by the configuration, in the rest. */
_Static_assert(RECIPIENTS_CHUNK > 4096 + QUEUE_TEXT_MAX, "a recipient fits into a message");

enum store_state {
    STORE_SYNCING, /* its file, in the pool */
    STORE_FAILED,  /* answered from the loop, soon */
    STORE_SENT
};

/* Encoded recipients. */
struct chunk {
    struct list node;
    uint32_t count;
    struct buffer bytes;
    char memory[RECIPIENTS_CHUNK];
};

struct store {
    struct list node;
    struct queue_client *client;
    queue_stored *done;
    void *context;
    enum store_state state;
    uint32_t number;
    uv_work_t work;
    struct io_resumption failure;
    struct span body;                           /* the caller's */
    bool (*write)(const void *context, int fd); /* NULL, or the caller's, in place of `body` */
    const void *write_context;
    int fd;                               /* -1: none, or not made yet */
    char file_name[QUEUE_FILE_NAME_SIZE]; /* empty: inline, or not made yet */
    bool is_synced;
    struct list chunks; /* all but the last go ahead in QUEUE_RECIPIENTS */
    struct buffer envelope;
    char envelope_memory[ENVELOPE_MAX];
};

/* --- files -------------------------------------------------------------------- */

static void incoming_path(const struct config *config, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/incoming/%s", config->queue.directory, name);
}

int queue_incoming_create(const struct config *config, char name[QUEUE_FILE_NAME_SIZE])
{
    char path[4096], id[RANDOM_ID_SIZE];

    random_id(id);
    snprintf(name, QUEUE_FILE_NAME_SIZE, "%s", id);
    incoming_path(config, name, path, sizeof(path));
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

void queue_incoming_discard(const struct config *config, const char *name, int fd)
{
    char path[4096];

    incoming_path(config, name, path, sizeof(path));
    if (unlink(path) != 0 && errno != ENOENT)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_file_not_removed", LOG_TEXT("file", name),
                  LOG_TEXT("reason", strerror(errno)));
    if (fd >= 0)
        close(fd);
}

static bool write_body(const struct store *store)
{
    if (store->write)
        return store->write(store->write_context, store->fd);
    return message_write(store->fd, store->body);
}

/* In the pool's thread: makes the file when the body is in memory, and syncs it. */
static void sync_file(uv_work_t *work)
{
    struct store *store = CONTAINER_OF(work, struct store, work);

    if (store->fd < 0) {
        store->fd = queue_incoming_create(store->client->config, store->file_name);
        if (store->fd < 0 || !write_body(store))
            return;
    }
    store->is_synced = fsync(store->fd) == 0;
}

/* --- ends --------------------------------------------------------------------- */

static void store_free(struct store *store)
{
    list_remove(&store->node);
    io_resumption_cancel(&store->failure);
    LIST_EACH (node, &store->chunks) {
        list_remove(node);
        free(LIST_ELEMENT(node, struct chunk, node));
    }
    free(store);
}

/* The file goes with a message that is not stored; when the queue has taken it, it is not there. */
static void store_end(struct store *store, bool stored, struct span message_id)
{
    queue_stored *done = store->done;
    void *context = store->context;

    if (stored && store->fd >= 0)
        close(store->fd);
    else if (store->file_name[0])
        queue_incoming_discard(store->client->config, store->file_name, store->fd);
    store_free(store);
    done(context, stored, message_id);
}

static void store_fail(struct io_resumption *resumption)
{
    store_end(CONTAINER_OF(resumption, struct store, failure), false, SPAN_EMPTY);
}

static void store_fail_soon(struct store *store)
{
    store->state = STORE_FAILED;
    io_loop_resume(store->client->loop, &store->failure);
}

void queue_client_fail_sent(struct queue_client *client)
{
    struct list sent;

    list_init(&sent);
    LIST_EACH (node, &client->stores) {
        if (LIST_ELEMENT(node, struct store, node)->state == STORE_SYNCING)
            continue;
        list_remove(node);
        list_append(&sent, node);
    }
    while (!list_is_empty(&sent))
        store_end(LIST_ELEMENT(sent.next, struct store, node), false, SPAN_EMPTY);
}

void queue_client_take_stored(struct queue_client *client, struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);
    bool stored = wire_get_u8(reader) == 1;
    struct span message_id = wire_get_span(reader);

    if (!wire_reader_is_complete(reader)) {
        channel_close(&client->channel);
        return;
    }
    LIST_EACH (node, &client->stores) {
        struct store *store = LIST_ELEMENT(node, struct store, node);

        if (store->number == number && store->state == STORE_SENT) {
            store_end(store, stored, stored ? message_id : SPAN_EMPTY);
            return;
        }
    }
}

/* --- sending ------------------------------------------------------------------ */

static void put_chunk(struct buffer *message, const struct chunk *chunk)
{
    wire_put_u32(message, chunk->count);
    buffer_append(message, buffer_span(&chunk->bytes));
}

static void put_head(struct buffer *message, enum queue_message type, const struct store *store)
{
    buffer_clear(message);
    wire_put_u8(message, (uint8_t)type);
    wire_put_u32(message, store->number);
}

static bool send_message(struct store *store, const struct buffer *message)
{
    return !message->overflowed && channel_send(&store->client->channel, buffer_span(message), -1);
}

static bool send_chunks(struct store *store, struct buffer *message)
{
    LIST_EACH (node, &store->chunks) {
        const struct chunk *chunk = LIST_ELEMENT(node, struct chunk, node);

        if (node->next == &store->chunks)
            break;
        put_head(message, QUEUE_RECIPIENTS, store);
        put_chunk(message, chunk);
        if (!send_message(store, message))
            return false;
    }
    return true;
}

static bool send_last(struct store *store, struct buffer *message)
{
    const struct chunk *last = LIST_ELEMENT(store->chunks.previous, struct chunk, node);

    put_head(message, QUEUE_STORE, store);
    buffer_append(message, buffer_span(&store->envelope));
    put_chunk(message, last);
    wire_put_u8(message, store->file_name[0] != '\0');
    wire_put_span(message, store->file_name[0] ? span_from_string(store->file_name) : store->body);
    return send_message(store, message);
}

static void store_send(struct store *store)
{
    struct queue_client *client = store->client;
    char *memory = memory_new(CHANNEL_MESSAGE_MAX);
    struct buffer message = buffer_over(memory, CHANNEL_MESSAGE_MAX);

    store->state = STORE_SENT;
    if (!client->is_connected || store->envelope.overflowed || !send_chunks(store, &message) ||
        !send_last(store, &message))
        store_fail_soon(store);
    free(memory);
}

static void file_synced(uv_work_t *work, int status)
{
    struct store *store = CONTAINER_OF(work, struct store, work);
    struct queue_client *client = store->client;

    if (status == 0 && store->is_synced && !client->is_stopping) {
        store_send(store);
    } else {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_file_failed",
                  LOG_TEXT("directory", client->config->queue.directory));
        store_end(store, false, SPAN_EMPTY);
    }
    queue_client_release(client);
}

/* --- encoding ----------------------------------------------------------------- */

static struct chunk *add_chunk(struct store *store)
{
    struct chunk *chunk = memory_new(sizeof(*chunk));

    chunk->bytes = buffer_over(chunk->memory, sizeof(chunk->memory));
    list_append(&store->chunks, &chunk->node);
    return chunk;
}

static void encode_recipient(struct buffer *target, const struct queue_recipient *recipient)
{
    wire_put_span(target, recipient->address);
    wire_put_u8(target, (uint8_t)recipient->fate);
    wire_put_u32(target, recipient->not_before_s);
    wire_put_span(target, span_take(recipient->text, QUEUE_TEXT_MAX));
    wire_put_u8(target, (uint8_t)recipient->notify);
    wire_put_span(target, recipient->orcpt);
}

static void encode_recipients(struct store *store, const struct queue_recipient *recipients,
                              size_t count)
{
    struct chunk *chunk = add_chunk(store);

    for (size_t i = 0; i < count; i++) {
        size_t length =
            recipients[i].address.length + recipients[i].orcpt.length + QUEUE_TEXT_MAX + 40;

        if (buffer_room(&chunk->bytes) < length)
            chunk = add_chunk(store);
        encode_recipient(&chunk->bytes, &recipients[i]);
        chunk->count++;
        store->envelope.overflowed |= chunk->bytes.overflowed;
    }
}

/* Bytes of the body; of a file that cannot be looked at, a size that the queue will refuse. */
static uint64_t body_size(const struct queue_store *message)
{
    struct stat status = { .st_size = 0 };

    if (message->fd < 0)
        return message->write ? message->write_length : message->body.length;
    return fstat(message->fd, &status) == 0 ? (uint64_t)status.st_size : UINT64_MAX;
}

static void encode_envelope(struct store *store, const struct queue_store *message)
{
    static const struct mail_parameters none;
    const struct mail_parameters *parameters = message->parameters ? message->parameters : &none;

    store->envelope = buffer_over(store->envelope_memory, sizeof(store->envelope_memory));
    wire_put_span(&store->envelope, message->session_id);
    wire_put_span(&store->envelope, message->reverse_path);
    wire_put_u8(&store->envelope, parameters->body_8bit);
    wire_put_u8(&store->envelope, parameters->is_utf8);
    wire_put_u8(&store->envelope, (uint8_t)parameters->ret);
    wire_put_span(&store->envelope, span_from_string(parameters->envid));
    wire_put_u8(&store->envelope, message->may_relay);
    wire_put_u64(&store->envelope, body_size(message));
}

static struct store *store_new(struct queue_client *client, const struct queue_store *message,
                               queue_stored *done, void *context)
{
    struct store *store = memory_new(sizeof(*store));

    store->client = client;
    store->done = done;
    store->context = context;
    store->number = ++client->last_number;
    store->body = message->body;
    store->write = message->write;
    store->write_context = message->write_context;
    store->fd = message->fd;
    if (message->fd >= 0)
        snprintf(store->file_name, sizeof(store->file_name), "%s", message->file_name);
    io_resumption_init(&store->failure, store_fail);
    list_init(&store->chunks);
    encode_envelope(store, message);
    encode_recipients(store, message->recipients, message->recipient_count);
    list_append(&client->stores, &store->node);
    return store;
}

void queue_client_store(struct queue_client *client, const struct queue_store *message,
                        queue_stored *done, void *context)
{
    struct store *store = store_new(client, message, done, context);
    size_t inline_max = client->config->queue.inline_max_bytes;

    assert(message->recipient_count > 0 && !client->is_stopping);
    if (inline_max > QUEUE_INLINE_MAX)
        inline_max = QUEUE_INLINE_MAX;
    if (!client->is_connected) {
        store_fail_soon(store);
    } else if (message->fd < 0 && !message->write && message->body.length <= inline_max) {
        store_send(store);
    } else {
        client->open_handles++;
        if (uv_queue_work(&client->loop->uv, &store->work, sync_file, file_synced) != 0)
            abort();
    }
}
