/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking side, for a program without a loop: one connection, one request, its lines.
 * It waits in poll(2) only, and never longer than its timeout for the next line.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/io/endpoint.h"
#include "common/service/control.h"

struct asking {
    int fd;
    uint64_t deadline_ms;
    unsigned timeout_ms;
    struct bytes input;
    char *error;
    size_t error_size;
};

static bool fail(struct asking *asking, const char *text)
{
    snprintf(asking->error, asking->error_size, "%s", text);
    return false;
}

static bool wait_for(struct asking *asking, short events)
{
    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        struct pollfd descriptor = { .fd = asking->fd, .events = events };
        int count = now_ms < asking->deadline_ms
                        ? poll(&descriptor, 1, (int)(asking->deadline_ms - now_ms))
                        : 0;

        if (count > 0)
            return true;
        if (count == 0)
            return fail(asking, "no answer in time");
        if (errno != EINTR)
            return fail(asking, strerror(errno));
    }
}

/* A daemon that hangs up before it has the whole request may have said why: that is read then. */
static bool send_all(struct asking *asking, struct span bytes)
{
    while (bytes.length > 0) {
        ssize_t count;

        if (!wait_for(asking, POLLOUT))
            return false;
        count = send(asking->fd, bytes.data, bytes.length, MSG_NOSIGNAL);
        if (count < 0 && errno == EPIPE)
            return true;
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            return fail(asking, strerror(errno));
        if (count > 0)
            bytes = span_drop(bytes, (size_t)count);
    }
    return true;
}

static bool receive(struct asking *asking)
{
    char chunk[65536];
    ssize_t count;

    if (!wait_for(asking, POLLIN))
        return false;
    count = recv(asking->fd, chunk, sizeof(chunk), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (count < 0)
        return fail(asking, strerror(errno));
    if (count == 0)
        return fail(asking, "the daemon ended the connection");
    if (!bytes_append(&asking->input, span_of(chunk, (size_t)count)))
        return fail(asking, "a line of the answer is too long");
    return true;
}

/* Takes the next whole line as an object, the caller's; NULL and `*failed` when there is none. */
static json_t *next_object(struct asking *asking, bool *failed)
{
    struct span all = bytes_span(&asking->input);
    size_t end = span_find(all, '\n');
    json_t *object;

    *failed = false;
    if (end == all.length)
        return NULL;
    object = json_loadb(all.data, end, 0, NULL);
    bytes_consume(&asking->input, end + 1);
    if (json_is_object(object))
        return object;
    json_decref(object);
    *failed = !fail(asking, "the answer is no JSON object");
    return NULL;
}

static bool take_end(struct asking *asking, const json_t *end)
{
    const char *error = json_string_value(json_object_get(end, "error"));

    return !error || fail(asking, error);
}

static bool read_answer(struct asking *asking, void (*line)(json_t *object, void *context),
                        void *context)
{
    for (;;) {
        bool failed;
        json_t *object = next_object(asking, &failed);

        if (failed || (!object && !receive(asking)))
            return false;
        if (!object)
            continue;
        if (json_is_true(json_object_get(object, "end"))) {
            bool is_good = take_end(asking, object);

            json_decref(object);
            return is_good;
        }
        if (line)
            line(object, context);
        json_decref(object);
        asking->deadline_ms = clock_monotonic_ms() + asking->timeout_ms;
    }
}

static bool connect_to(struct asking *asking, const char *path)
{
    struct endpoint endpoint = { .is_unix = true };
    struct sockaddr_storage address;
    socklen_t length;

    if (!span_copy_string(span_from_string(path), endpoint.host, sizeof(endpoint.host)) ||
        !endpoint_to_sockaddr(&endpoint, &address, &length))
        return fail(asking, "the path is too long");
    asking->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (asking->fd < 0 || connect(asking->fd, (const struct sockaddr *)&address, length) != 0)
        return fail(asking, strerror(errno));
    return true;
}

static bool ask(struct asking *asking, const char *path, json_t *request,
                void (*line)(json_t *object, void *context), void *context)
{
    char *text = json_dumps(request, JSON_COMPACT);
    bool is_sent = text && connect_to(asking, path) && send_all(asking, span_from_string(text)) &&
                   send_all(asking, SPAN_LITERAL("\n"));

    free(text);
    return is_sent && read_answer(asking, line, context);
}

bool control_ask(const char *path, json_t *request, unsigned timeout_ms,
                 void (*line)(json_t *object, void *context), void *context, char *error,
                 size_t error_size)
{
    struct asking asking = { .fd = -1,
                             .deadline_ms = clock_monotonic_ms() + timeout_ms,
                             .timeout_ms = timeout_ms,
                             .input = bytes_empty(2 * CONTROL_LINE_MAX + 65536),
                             .error = error,
                             .error_size = error_size };
    bool is_good = ask(&asking, path, request, line, context);

    if (asking.fd >= 0)
        close(asking.fd);
    bytes_release(&asking.input);
    return is_good;
}
