/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking connections for the load generator and the sink: a thread each, lines
 * in, bytes out.  Only for benches; the programs have transports.
 */
#ifndef MAILSTEAD_BENCH_STREAM_H
#define MAILSTEAD_BENCH_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STREAM_SIZE = 65536 };

struct stream {
    int fd;
    SSL *ssl;             /* NULL: plain */
    bool resumes;         /* each TLS connection asks to go on with the session of the one before */
    SSL_SESSION *session; /* NULL: none yet */
    long resumed;         /* how many connections did */
    size_t start, end;    /* the unread part of `bytes` */
    char bytes[STREAM_SIZE];
};

/* Ends the program with a message that names `what` and errno. */
void bench_die(const char *what) __attribute__((noreturn));

/* Listens on "ADDRESS:PORT" (IPv4); dies when it cannot. */
int stream_listen(const char *endpoint);

/*
 * Connects to "ADDRESS:PORT", with TLS (certificates unchecked) when `context` is given.  False on
 * failure.  Memory that is zeroed before the first time, but for `resumes`.
 */
bool stream_connect(struct stream *stream, const char *endpoint, SSL_CTX *context);

void stream_init(struct stream *stream, int fd);
void stream_close(struct stream *stream);

/* The next line without its line end, NUL-terminated, valid until the next call; NULL at the end or
 * past STREAM_SIZE. */
char *stream_line(struct stream *stream);

/* Reads and drops a message's content up to CRLF.CRLF.  False when the peer left before. */
bool stream_skip_content(struct stream *stream);

/* Reads and drops `count` bytes.  False when the peer left before. */
bool stream_skip(struct stream *stream, size_t count);

/* All of it, or false. */
bool stream_write(struct stream *stream, const void *octets, size_t size);
bool stream_print(struct stream *stream, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
