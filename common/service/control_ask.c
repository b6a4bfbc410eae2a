/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking side, for a program without a loop: one connection, one request, its lines.  It never
 * waits; whoever does polls `fd`.
 */
#include "common/service/control_ask.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/io/endpoint.h"

static void break_by_errno(struct control_asking *asking)
{
    control_answer_break(asking->answer, strerror(errno));
}

static void connect_to(struct control_asking *asking, const char *path)
{
    struct endpoint endpoint = { .is_unix = true };
    struct sockaddr_storage address;
    socklen_t length;

    if (!span_copy_string(span_from_string(path), endpoint.host, sizeof(endpoint.host)) ||
        !endpoint_to_sockaddr(&endpoint, &address, &length)) {
        control_answer_break(asking->answer, "the path is too long");
        return;
    }
    asking->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (asking->fd < 0 || connect(asking->fd, (const struct sockaddr *)&address, length) != 0)
        break_by_errno(asking);
}

/* The text of the request with a line break, the caller's. */
static char *request_text(const json_t *request)
{
    size_t length = json_dumpb(request, NULL, 0, JSON_COMPACT);
    char *text = memory_new(length + 2);

    json_dumpb(request, text, length, JSON_COMPACT);
    text[length] = '\n';
    return text;
}

void control_asking_start(struct control_asking *asking, const char *path, const json_t *request,
                          struct control_answer *answer)
{
    *asking =
        (struct control_asking){ .fd = -1, .request = request_text(request), .answer = answer };
    asking->rest = span_from_string(asking->request);
    connect_to(asking, path);
}

short control_asking_events(const struct control_asking *asking)
{
    return asking->rest.length > 0 ? POLLOUT : POLLIN;
}

/* A daemon that hangs up before it has the whole request may have said why: that is read then. */
static void send_some(struct control_asking *asking)
{
    ssize_t count = send(asking->fd, asking->rest.data, asking->rest.length, MSG_NOSIGNAL);

    if (count >= 0)
        asking->rest = span_drop(asking->rest, (size_t)count);
    else if (errno == EPIPE)
        asking->rest = SPAN_EMPTY;
    else if (errno != EAGAIN && errno != EINTR)
        break_by_errno(asking);
}

static void receive_some(struct control_asking *asking)
{
    char chunk[65536];
    ssize_t count = recv(asking->fd, chunk, sizeof(chunk), 0);

    if (count > 0)
        control_answer_take(asking->answer, span_of(chunk, (size_t)count));
    else if (count == 0)
        control_answer_break(asking->answer, "the daemon " CONTROL_ASK_AGAIN);
    else if (errno != EAGAIN && errno != EINTR)
        break_by_errno(asking);
}

void control_asking_go_on(struct control_asking *asking)
{
    if (asking->answer->state != CONTROL_ANSWER_OPEN)
        return;
    if (asking->rest.length > 0)
        send_some(asking);
    else
        receive_some(asking);
}

void control_asking_end(struct control_asking *asking)
{
    if (asking->fd >= 0)
        close(asking->fd);
    asking->fd = -1;
    free(asking->request);
    asking->request = NULL;
}
