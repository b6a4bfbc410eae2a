/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cheapest possible mail store, so that what a bench measures is what stands in
 * front of it: every login succeeds, every message is taken and dropped.
 *
 *     sink imap=ADDRESS:PORT pop3=ADDRESS:PORT lmtp=ADDRESS:PORT count=ADDRESS:PORT ...
 *
 * Who connects to "count" gets the number of messages that were taken so far (one for each
 * recipient) and is disconnected.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/stream.h"

static _Atomic long taken;

static bool starts(const char *line, const char *word)
{
    return strncasecmp(line, word, strlen(word)) == 0;
}

/* Reads the literals that `line` announces; false when the peer left. */
static bool finish_literals(struct stream *stream, char *line)
{
    size_t length;

    while ((length = strlen(line)) > 0 && line[length - 1] == '}') {
        bool is_synchronising = length < 2 || line[length - 2] != '+';

        if (is_synchronising && !stream_print(stream, "+ OK\r\n"))
            return false;
        /* A literal with a line break in it would confuse us; a login has none. */
        line = stream_line(stream);
        if (!line)
            return false;
    }
    return true;
}

/* "FETCH SIZE": as many octets in a literal; not IMAP, but it costs what IMAP costs. */
static bool answer_fetch(struct stream *stream, const char *tag, size_t size)
{
    static const char octets[STREAM_SIZE];

    if (!stream_print(stream, "* 1 FETCH (BODY[] {%zu}\r\n", size))
        return false;
    for (size_t part; size > 0; size -= part) {
        part = size < sizeof(octets) ? size : sizeof(octets);
        if (!stream_write(stream, octets, part))
            return false;
    }
    return stream_print(stream, ")\r\n%s OK done\r\n", tag);
}

static bool answer_imap(struct stream *stream, char *line)
{
    char tag[64];
    const char *command;

    snprintf(tag, sizeof(tag), "%.*s", (int)strcspn(line, " "), line);
    command = line + strcspn(line, " ");
    command += strspn(command, " ");
    if (starts(command, "AUTHENTICATE")) {
        if (!strchr(command + strcspn(command, " ") + 1, ' ') &&
            (!stream_print(stream, "+ \r\n") || !stream_line(stream)))
            return false;
        return stream_print(stream, "%s OK [CAPABILITY IMAP4rev1 IDLE] logged in\r\n", tag);
    }
    if (starts(command, "ID"))
        return stream_print(stream, "* ID NIL\r\n%s OK done\r\n", tag);
    if (starts(command, "CAPABILITY"))
        return stream_print(stream,
                            "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID\r\n%s OK done\r\n", tag);
    if (starts(command, "FETCH "))
        return answer_fetch(stream, tag, strtoul(command + strlen("FETCH "), NULL, 10));
    if (starts(command, "LOGOUT")) {
        (void)stream_print(stream, "* BYE\r\n%s OK done\r\n", tag);
        return false;
    }
    return finish_literals(stream, line) && stream_print(stream, "%s OK done\r\n", tag);
}

static void serve_imap(struct stream *stream)
{
    char *line;

    if (!stream_print(stream, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] sink\r\n"))
        return;
    while ((line = stream_line(stream)) && answer_imap(stream, line))
        ;
}

static bool answer_pop3(struct stream *stream, const char *line)
{
    if (starts(line, "QUIT")) {
        (void)stream_print(stream, "+OK\r\n");
        return false;
    }
    if (starts(line, "CAPA"))
        return stream_print(stream, "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\n"
                                    "AUTH-RESP-CODE\r\nUSER\r\nSASL PLAIN\r\n.\r\n");
    if (starts(line, "AUTH PLAIN") && line[strlen("AUTH PLAIN")] == '\0' &&
        (!stream_print(stream, "+ \r\n") || !stream_line(stream)))
        return false;
    return stream_print(stream, "+OK 0 0\r\n");
}

static void serve_pop3(struct stream *stream)
{
    char *line;

    if (!stream_print(stream, "+OK sink\r\n"))
        return;
    while ((line = stream_line(stream)) && answer_pop3(stream, line))
        ;
}

/* The address that the client of `stream` has connected to. */
static void format_own_address(const struct stream *stream, char text[INET_ADDRSTRLEN])
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof(address);

    if (getsockname(stream->fd, (struct sockaddr *)&address, &length) != 0 ||
        !inet_ntop(AF_INET, &address.sin_addr, text, INET_ADDRSTRLEN))
        bench_die("getsockname");
}

/*
 * LMTP, and SMTP when it began with EHLO: one answer for each recipient, or one in all.  The
 * answer to RCPT tells where the recipient has come to.
 */
static void serve_lmtp(struct stream *stream)
{
    char own_address[INET_ADDRSTRLEN];
    unsigned recipients = 0;
    bool is_lmtp = true;
    char *line;
    bool is_alive = stream_print(stream, "220 sink\r\n");

    format_own_address(stream, own_address);
    while (is_alive && (line = stream_line(stream))) {
        if (starts(line, "LHLO") || starts(line, "EHLO")) {
            is_lmtp = starts(line, "LHLO");
            is_alive = stream_print(
                stream,
                "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n");
        } else if (starts(line, "DATA")) {
            is_alive = stream_print(stream, "354 go on\r\n") && stream_skip_content(stream);
            atomic_fetch_add(&taken, is_alive ? recipients : 0);
            for (unsigned i = 0; is_alive && i < (is_lmtp ? recipients : 1); i++)
                is_alive = stream_print(stream, "250 2.0.0 taken\r\n");
            recipients = 0;
        } else if (starts(line, "QUIT")) {
            (void)stream_print(stream, "221 2.0.0 bye\r\n");
            is_alive = false;
        } else {
            if (starts(line, "MAIL") || starts(line, "RSET"))
                recipients = 0;
            recipients += starts(line, "RCPT");
            is_alive = stream_print(stream, "250 2.1.0 %s\r\n",
                                    starts(line, "RCPT") ? own_address : "fine");
        }
    }
}

static void serve_count(struct stream *stream)
{
    (void)stream_print(stream, "%ld\n", atomic_load(&taken));
}

struct service {
    const char *name;
    void (*serve)(struct stream *stream);
};

static const struct service services[] = { { "imap=", serve_imap },
                                           { "pop3=", serve_pop3 },
                                           { "lmtp=", serve_lmtp },
                                           { "count=", serve_count } };

struct connection {
    const struct service *service;
    int fd;
};

static void *run_connection(void *argument)
{
    struct connection *connection = argument;
    struct stream *stream = malloc(sizeof(*stream));

    if (!stream)
        bench_die("malloc");
    stream_init(stream, connection->fd);
    connection->service->serve(stream);
    stream_close(stream);
    free(stream);
    free(connection);
    return NULL;
}

static void *run_listener(void *argument)
{
    struct connection *listener = argument;
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, (size_t)128 * 1024);
    for (;;) {
        struct connection *connection = malloc(sizeof(*connection));

        if (!connection)
            bench_die("malloc");
        *connection = *listener;
        connection->fd = accept(listener->fd, NULL, NULL);
        if (connection->fd < 0 || pthread_create(&thread, &attributes, run_connection, connection))
            bench_die("accept");
    }
    return NULL;
}

static void start_listener(const char *argument)
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        struct connection *listener;
        pthread_t thread;

        if (!starts(argument, services[i].name))
            continue;
        listener = malloc(sizeof(*listener));
        if (!listener)
            bench_die("malloc");
        listener->service = &services[i];
        listener->fd = stream_listen(argument + strlen(services[i].name));
        if (pthread_create(&thread, NULL, run_listener, listener))
            bench_die("thread");
        return;
    }
    fprintf(stderr, "sink: what is %s?\n", argument);
    exit(2);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        start_listener(argv[i]);
    for (;;)
        pause();
}
