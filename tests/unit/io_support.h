/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of io share: sockets, a loop that does not run for ever, and a transport's owner.
 */
#ifndef MAILSTEAD_TESTS_IO_SUPPORT_H
#define MAILSTEAD_TESTS_IO_SUPPORT_H

#include "tests/unit/unit.h"

#include "common/io/transport.h"

/* A connected pair of non-blocking unix stream sockets. */
void io_make_pair(int fds[2]);

/* A connected pair of non-blocking TCP sockets on the loopback; buffers of about `size` if not 0.
 */
void io_make_tcp_pair(int fds[2], int buffer_size);

/* A non-blocking TCP socket that listens on 127.0.0.1, and the port that it got. */
int io_listen_tcp(uint16_t *port);

/* Runs the loop until `is_done(context)`; the test fails when that takes 20 seconds. */
void io_run_until(struct io_loop *loop, bool (*is_done)(void *context), void *context);

/* Runs the loop until `*flag`, with the same limit. */
void io_run_until_set(struct io_loop *loop, const bool *flag);

/* Runs `turns` turns of the loop without waiting in any. */
void io_run_turns(struct io_loop *loop, int turns);

/* Nothing is due, and no descriptor is about to tell anything: the next turn would wait. */
void io_assert_quiet(const struct io_loop *loop);

/* A transport's owner that reads what comes and remembers what happened. */
struct peer {
    struct transport transport;
    struct bytes received;
    size_t read_size; /* bytes a read asks for; 0: IO_SCRATCH_SIZE */
    bool reads_once;  /* one read for each event, instead of all */
    bool is_secured;
    bool has_ended;  /* a read gave END */
    bool has_failed; /* a read gave ERROR */
    bool is_closed;
    unsigned readable_count; /* events */
    unsigned writable_count;
    void (*on_ready)(struct peer *peer, unsigned readiness); /* in place of reading, if set */
};

/* Takes over `fd` and reads from it. */
void peer_init(struct peer *peer, struct io_loop *loop, int fd);

/* Reads until AGAIN, the end or an error. */
void peer_drain(struct peer *peer);

/* Closes it, runs the loop until that is done, frees. */
void peer_fini(struct peer *peer);

#endif
