/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The role "control": the clients on control.sock.  The socket is root's alone, but a
 * client may still be slow, silent or wrong: what it can make us hold is bounded, and
 * it costs at most its own connection.  While a request is answered the next ones wait; the
 * end of what a client sends is taken as its leaving, and cancels its request.
 */
#include "common/service/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/log.h"
#include "common/service/any_text.h"
#include "common/service/certificate_watch.h"
#include "common/service/control_hub.h"

enum { UNREAD_MAX = 32 * 1024 * 1024 };

struct control {
    struct child *child;
    struct control_hub hub;
    struct listener listener;
    struct certificate_watch certificates;
    struct list clients;
    size_t client_count;
};

struct client {
    struct list node; /* in control->clients */
    struct control *control;
    uv_pipe_t pipe;
    struct bytes input;
    struct control_exchange exchange;
    bool is_busy; /* with a request */
    bool is_closing;
};

struct writing {
    uv_write_t request;
    struct client *client;
    char bytes[];
};

static void take_input(struct client *client);

static void client_closed(uv_handle_t *handle)
{
    struct client *client = CONTAINER_OF(handle, struct client, pipe);

    bytes_release(&client->input);
    free(client);
}

static void client_close(struct client *client)
{
    if (client->is_closing)
        return;
    client->is_closing = true;
    if (client->is_busy)
        control_exchange_cancel(&client->exchange);
    client->is_busy = false;
    list_remove(&client->node);
    client->control->client_count--;
    uv_close((uv_handle_t *)&client->pipe, client_closed);
}

static void written(uv_write_t *request, int status)
{
    struct writing *writing = CONTAINER_OF(request, struct writing, request);
    struct client *client = writing->client;

    free(writing);
    if (status != 0)
        client_close(client);
}

static void client_write(struct client *client, struct span line)
{
    struct writing *writing;
    uv_buf_t buffer;

    if (client->is_closing)
        return;
    if (uv_stream_get_write_queue_size((uv_stream_t *)&client->pipe) > UNREAD_MAX) {
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "control_client_too_slow");
        client_close(client);
        return;
    }
    writing = memory_new(sizeof(*writing) + line.length + 1);
    writing->client = client;
    memcpy(writing->bytes, line.data, line.length);
    writing->bytes[line.length] = '\n';
    buffer = uv_buf_init(writing->bytes, (unsigned)line.length + 1);
    if (uv_write(&writing->request, (uv_stream_t *)&client->pipe, &buffer, 1, written) == 0)
        return;
    free(writing);
    client_close(client);
}

static void client_write_json(struct client *client, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (!text)
        memory_exhausted();
    client_write(client, span_from_string(text));
    free(text);
}

static void client_write_end(struct client *client, const char *error)
{
    json_t *end = json_pack("{s:b, s:o*}", "end", 1, "error", error ? json_any_text(error) : NULL);

    client_write_json(client, end);
    json_decref(end);
}

static void exchange_line(struct control_exchange *exchange, struct span json)
{
    client_write(CONTAINER_OF(exchange, struct client, exchange), json);
}

static void exchange_ended(struct control_exchange *exchange, const char *error)
{
    struct client *client = CONTAINER_OF(exchange, struct client, exchange);

    client->is_busy = false;
    client_write_end(client, error);
    take_input(client);
}

static void answer_own(struct client *client, json_t *answer)
{
    size_t index;
    json_t *line;

    if (json_is_array(answer)) {
        json_array_foreach (answer, index, line)
            client_write_json(client, line);
    } else {
        client_write_json(client, answer);
    }
    json_decref(answer);
    client_write_end(client, NULL);
}

/* Who gives an order is logged; the socket is root's, but several people may be root. */
static void log_order(struct client *client, const char *command, struct span json)
{
    static const char *const orders[] = { "kick", "drain", "block-clear" };
    struct ucred peer = { .pid = 0 };
    socklen_t size = sizeof(peer);
    int fd;

    for (size_t i = 0; i < ARRAY_LENGTH(orders); i++)
        if (strcmp(orders[i], command) == 0 &&
            uv_fileno((const uv_handle_t *)&client->pipe, &fd) == 0 &&
            getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
            LOG_EVENT(LOG_LEVEL_INFO, NULL, "order_given", LOG_TEXT("command", command),
                      LOG_INTEGER("uid", peer.uid), LOG_INTEGER("pid", peer.pid),
                      LOG_SPAN("order", span_take(json, 400)));
}

static void run_command(struct client *client, const char *command, const json_t *request,
                        struct span json)
{
    static const struct control_exchange_events events = { exchange_line, exchange_ended };
    json_t *own;

    log_order(client, command, json);
    own = control_own_answer(client->control->child, command, request);
    if (own) {
        answer_own(client, own);
        return;
    }
    client->is_busy = true;
    if (control_hub_run(&client->control->hub, &client->exchange, command, json, &events))
        return;
    client->is_busy = false;
    client_write_end(client, client->exchange.error);
}

static void take_request(struct client *client, struct span line)
{
    json_error_t error;
    json_t *request = json_loadb(line.data, line.length, JSON_REJECT_DUPLICATES, &error);
    const char *command = json_string_value(json_object_get(request, "command"));

    if (!request)
        client_write_end(client, "the request is no JSON");
    else if (!command || strlen(command) >= CONTROL_NAME_SIZE)
        client_write_end(client, "the request has no \"command\"");
    else
        run_command(client, command, request, line);
    json_decref(request);
}

static void refuse_too_long(struct client *client)
{
    client_write_end(client, "the request is too long");
    client_close(client);
}

/* Takes the requests that are whole, one after the other. */
static void take_input(struct client *client)
{
    while (!client->is_busy && !client->is_closing) {
        struct span all = bytes_span(&client->input);
        size_t end = span_find(all, '\n');
        struct span line = span_trim(span_take(all, end));

        if (line.length > CONTROL_REQUEST_MAX)
            refuse_too_long(client);
        else if (end == all.length)
            return;
        else if (line.length > 0)
            take_request(client, line);
        if (!client->is_closing)
            bytes_consume(&client->input, end + 1);
    }
}

static void lend_scratch(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct client *client = CONTAINER_OF(handle, struct client, pipe);

    (void)suggested;
    *buffer = uv_buf_init(client->control->child->loop.scratch, IO_SCRATCH_SIZE);
}

static void client_received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct client *client = CONTAINER_OF(stream, struct client, pipe);

    if (count < 0) {
        client_close(client);
        return;
    }
    if (!bytes_append(&client->input, span_of(buffer->base, (size_t)count))) {
        refuse_too_long(client);
        return;
    }
    take_input(client);
}

static void control_accepted(struct listener *listener, int fd,
                             const struct sockaddr_storage *address)
{
    struct control *control = listener->context;
    struct client *client;

    (void)address;
    if (control->client_count == CONTROL_CLIENTS_MAX) {
        static const char refusal[] = "{\"end\":true,\"error\":\"too many control connections\"}\n";

        (void)!write(fd, refusal, sizeof(refusal) - 1);
        close(fd);
        return;
    }
    client = memory_new(sizeof(*client));
    client->control = control;
    client->input = bytes_empty(CONTROL_REQUEST_MAX + IO_SCRATCH_SIZE);
    list_append(&control->clients, &client->node);
    control->client_count++;
    if (uv_pipe_init(&control->child->loop.uv, &client->pipe, 0) != 0 ||
        uv_pipe_open(&client->pipe, fd) != 0 ||
        uv_read_start((uv_stream_t *)&client->pipe, lend_scratch, client_received) != 0)
        abort();
}

static void control_stop(struct child *child)
{
    struct control *control = child->context;

    listener_stop(&control->listener, NULL);
    certificate_watch_stop(&control->certificates);
    while (!list_is_empty(&control->clients))
        client_close(LIST_ELEMENT(control->clients.next, struct client, node));
    control_hub_stop(&control->hub);
}

bool control_run(struct child *child)
{
    struct control control = { .child = child };

    list_init(&control.clients);
    child->context = &control;
    child->stop = control_stop;
    control_hub_start(&control.hub, child);
    certificate_watch_start(&control.certificates, &child->loop, &child->config->tls);
    listener_start(&control.listener, &child->loop, child->control_fd, control_accepted, &control);
    child_run_loop(child);
    child->context = NULL;
    return true;
}
