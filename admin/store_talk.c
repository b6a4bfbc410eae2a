/* SPDX-License-Identifier: Apache-2.0 */
/* Each wait ends at the one deadline; a store that says nothing, or too much, has no more to say.
 */
#include "admin/store_talk.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { REPLY_LINES_MAX = 100 };

static bool await(const struct store_talk *talk, short events)
{
    struct pollfd ready = { .fd = talk->fd, .events = events };
    uint64_t now_ms = clock_monotonic_ms();

    return now_ms < talk->deadline_ms && poll(&ready, 1, (int)(talk->deadline_ms - now_ms)) == 1;
}

static bool finish_connect(const struct store_talk *talk)
{
    int error = ETIMEDOUT;
    socklen_t size = sizeof(error);

    if (await(talk, POLLOUT) && getsockopt(talk->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    errno = error;
    return error == 0;
}

static bool connect_to(struct store_talk *talk, const struct sockaddr *address, socklen_t length)
{
    talk->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (talk->fd < 0)
        return false;
    if (connect(talk->fd, address, length) == 0 ||
        ((errno == EINPROGRESS || errno == EAGAIN) && finish_connect(talk)))
        return true;
    close(talk->fd);
    talk->fd = -1;
    return false;
}

static bool connect_by_name(struct store_talk *talk, const struct endpoint *store,
                            const char **reason)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    char service[8];
    int fault;

    snprintf(service, sizeof(service), "%u", store->port);
    fault = getaddrinfo(store->host, service, &hints, &found);
    if (fault) {
        *reason = gai_strerror(fault);
        return false;
    }
    for (const struct addrinfo *at = found; at && talk->fd < 0; at = at->ai_next)
        if (!connect_to(talk, at->ai_addr, at->ai_addrlen))
            *reason = strerror(errno);
    freeaddrinfo(found);
    return talk->fd >= 0;
}

bool store_talk_begin(struct store_talk *talk, const struct endpoint *store, unsigned timeout_ms,
                      char error[STORE_TALK_ERROR_SIZE])
{
    struct sockaddr_storage address;
    const char *reason = "it is no address";
    socklen_t length;
    bool is_connected;

    *talk = (struct store_talk){ .fd = -1, .deadline_ms = clock_monotonic_ms() + timeout_ms };
    if (endpoint_to_sockaddr(store, &address, &length)) {
        is_connected = connect_to(talk, (const struct sockaddr *)&address, length);
        reason = strerror(errno);
    } else {
        is_connected = connect_by_name(talk, store, &reason);
    }
    if (!is_connected)
        snprintf(error, STORE_TALK_ERROR_SIZE, "%s", reason);
    return is_connected;
}

void store_talk_end(struct store_talk *talk)
{
    if (talk->fd >= 0)
        close(talk->fd);
    talk->fd = -1;
}

bool store_talk_is_silent(const struct store_talk *talk, unsigned for_ms)
{
    struct pollfd socket = { .fd = talk->fd, .events = POLLIN };

    return poll(&socket, 1, (int)for_ms) == 0;
}

bool store_talk_send(struct store_talk *talk, struct span bytes)
{
    while (bytes.length > 0) {
        ssize_t count = send(talk->fd, bytes.data, bytes.length, MSG_NOSIGNAL);

        if (count < 0 && (errno != EAGAIN || !await(talk, POLLOUT)))
            return false;
        if (count > 0)
            bytes = span_drop(bytes, (size_t)count);
    }
    return true;
}

bool store_talk_say(struct store_talk *talk, const char *format, ...)
{
    char text[STORE_LINE_SIZE + 2];
    va_list values;
    int length;

    va_start(values, format);
    length = vsnprintf(text, STORE_LINE_SIZE, format, values);
    va_end(values);
    if (length < 0 || length >= STORE_LINE_SIZE)
        return false;
    memcpy(text + length, "\r\n", 2);
    return store_talk_send(talk, span_of(text, (size_t)length + 2));
}

bool store_talk_hear(struct store_talk *talk)
{
    char *end;

    while (!(end = memchr(talk->held, '\n', talk->held_length))) {
        ssize_t count;

        if (talk->held_length == sizeof(talk->held) || !await(talk, POLLIN))
            return false;
        count = recv(talk->fd, talk->held + talk->held_length,
                     sizeof(talk->held) - talk->held_length, 0);
        if (count <= 0)
            return false;
        talk->held_length += (size_t)count;
    }
    *end = '\0';
    snprintf(talk->line, sizeof(talk->line), "%s", talk->held);
    if (*talk->line && talk->line[strlen(talk->line) - 1] == '\r')
        talk->line[strlen(talk->line) - 1] = '\0';
    talk->held_length -= (size_t)(end + 1 - talk->held);
    memmove(talk->held, end + 1, talk->held_length);
    return true;
}

int store_talk_reply(struct store_talk *talk, const char *word, bool *has_word)
{
    for (int i = 0; i < REPLY_LINES_MAX; i++) {
        if (!store_talk_hear(talk) || strspn(talk->line, "0123456789") != 3)
            return 0;
        if (has_word && talk->line[3] && strncasecmp(talk->line + 4, word, strlen(word)) == 0)
            *has_word = true;
        if (talk->line[3] != '-')
            return atoi(talk->line);
    }
    return 0;
}
