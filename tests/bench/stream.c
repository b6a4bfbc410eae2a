/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void bench_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

union stream_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_un local;
};

/* "IPV4:PORT" or "unix:PATH". */
static union stream_address parse_endpoint(const char *endpoint, socklen_t *length)
{
    union stream_address address = { .in = { .sin_family = AF_INET } };
    const char *colon = strrchr(endpoint, ':');
    char host[64] = "";

    *length = sizeof(address.in);
    if (strncmp(endpoint, "unix:", 5) == 0) {
        *length = sizeof(address.local);
        address.local = (struct sockaddr_un){ .sun_family = AF_UNIX };
        snprintf(address.local.sun_path, sizeof(address.local.sun_path), "%s", endpoint + 5);
        return address;
    }
    if (colon && (size_t)(colon - endpoint) < sizeof(host))
        memcpy(host, endpoint, (size_t)(colon - endpoint));
    if (!colon || inet_pton(AF_INET, host, &address.in.sin_addr) != 1) {
        errno = EINVAL;
        bench_die(endpoint);
    }
    address.in.sin_port = htons((uint16_t)atoi(colon + 1));
    return address;
}

int stream_listen(const char *endpoint)
{
    socklen_t length;
    union stream_address address = parse_endpoint(endpoint, &length);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, &address.any, length) != 0 || listen(fd, 4096) != 0)
        bench_die(endpoint);
    return fd;
}

void stream_init(struct stream *stream, int fd)
{
    int on = 1;

    stream->fd = fd;
    stream->ssl = NULL;
    stream->start = stream->end = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

bool stream_connect(struct stream *stream, const char *endpoint, SSL_CTX *context)
{
    socklen_t length;
    union stream_address address = parse_endpoint(endpoint, &length);
    struct timeval limit = { .tv_sec = 60 };
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        bench_die("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    stream_init(stream, fd);
    if (connect(fd, &address.any, length) != 0)
        goto failed;
    if (context) {
        stream->ssl = SSL_new(context);
        SSL_set_fd(stream->ssl, fd);
        if (stream->session)
            SSL_set_session(stream->ssl, stream->session);
        if (SSL_connect(stream->ssl) != 1)
            goto failed;
        stream->resumed += SSL_session_reused(stream->ssl);
    }
    return true;

failed:
    stream_close(stream);
    return false;
}

/* TLS 1.3: the ticket comes behind the handshake, with what was read since. */
static void keep_session(struct stream *stream)
{
    SSL_SESSION *session = SSL_get1_session(stream->ssl);

    if (!session || !SSL_SESSION_is_resumable(session)) {
        SSL_SESSION_free(session);
        return;
    }
    SSL_SESSION_free(stream->session);
    stream->session = session;
}

void stream_close(struct stream *stream)
{
    if (stream->ssl && stream->resumes) {
        keep_session(stream);
        SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN); /* else the session counts as broken */
    }
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    close(stream->fd);
}

/* Reads more behind what is unread; false at the end or when the buffer is full. */
static bool fill(struct stream *stream)
{
    ssize_t count;

    memmove(stream->bytes, stream->bytes + stream->start, stream->end - stream->start);
    stream->end -= stream->start;
    stream->start = 0;
    if (stream->end == STREAM_SIZE)
        return false;
    if (stream->ssl)
        count =
            SSL_read(stream->ssl, stream->bytes + stream->end, (int)(STREAM_SIZE - stream->end));
    else
        count = recv(stream->fd, stream->bytes + stream->end, STREAM_SIZE - stream->end, 0);
    if (count <= 0)
        return false;
    stream->end += (size_t)count;
    return true;
}

char *stream_line(struct stream *stream)
{
    char *line, *end;

    while (!(end = memchr(stream->bytes + stream->start, '\n', stream->end - stream->start)))
        if (!fill(stream))
            return NULL;
    line = stream->bytes + stream->start;
    stream->start = (size_t)(end + 1 - stream->bytes);
    if (end > line && end[-1] == '\r')
        end--;
    *end = '\0';
    return line;
}

bool stream_skip_content(struct stream *stream)
{
    static const char end_mark[] = "\r\n.\r\n";
    const size_t mark_size = sizeof(end_mark) - 1;
    char *found;

    for (;;) {
        size_t size = stream->end - stream->start;

        found = memmem(stream->bytes + stream->start, size, end_mark, mark_size);
        if (found)
            break;
        if (size > mark_size - 1)
            stream->start = stream->end - (mark_size - 1); /* the mark may be half there */
        if (!fill(stream))
            return false;
    }
    stream->start = (size_t)(found - stream->bytes) + mark_size;
    return true;
}

bool stream_skip(struct stream *stream, size_t count)
{
    while (count > 0) {
        size_t size = stream->end - stream->start;
        size_t taken = size < count ? size : count;

        stream->start += taken;
        count -= taken;
        if (count > 0 && !fill(stream))
            return false;
    }
    return true;
}

bool stream_write(struct stream *stream, const void *octets, size_t size)
{
    const char *next = octets;

    while (size > 0) {
        ssize_t count = stream->ssl ? SSL_write(stream->ssl, next, (int)size)
                                    : send(stream->fd, next, size, MSG_NOSIGNAL);

        if (count <= 0)
            return false;
        next += count;
        size -= (size_t)count;
    }
    return true;
}

bool stream_print(struct stream *stream, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return size >= 0 && (size_t)size < sizeof(text) && stream_write(stream, text, (size_t)size);
}
