/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a single-threaded process has once: its event loop, and the scratch area
 * that all reads and all machine output go through, so that an idle session owns no
 * buffer.  What is in the scratch areas is valid until control returns to the loop.
 *
 * Connections are watched on an epoll instance of our own (watch.h).  Timers, signals, the thread
 * pool and foreign descriptors are libuv's, which runs only in the turns in which it has to.
 */
#ifndef MAILSTEAD_IO_LOOP_H
#define MAILSTEAD_IO_LOOP_H

#include <uv.h>

#include "common/base/buffer.h"
#include "common/base/list.h"

enum { IO_SCRATCH_SIZE = 262144, IO_OUT_SIZE = 65536, IO_MESSAGE_SIZE = 131072 };

struct io_loop {
    uv_loop_t uv;        /* never run but by a turn of this loop */
    char *scratch;       /* IO_SCRATCH_SIZE bytes, for one read */
    char *out;           /* IO_OUT_SIZE bytes, for what a machine writes in one turn */
    char *message;       /* IO_MESSAGE_SIZE bytes, for one message of a channel and nothing else */
    struct list resume;  /* of struct io_resumption */
    struct list closing; /* of struct io_watch: their closed events are due */
    unsigned turn;       /* counts the turns */
    /* The implementation's own: */
    int epoll_fd;
    struct io_watch **watches; /* by descriptor, watch_capacity of them */
    size_t watch_capacity;
    uint32_t watch_serial; /* of the newest watch; never 0 */
    unsigned holds;
    uv_check_t anchor; /* what keeps the loop alive while it is held */
    bool is_stopped;
};

/*
 * A call that the loop owes without any readiness of a descriptor: to a transport
 * whose input already is inside the TLS library, for example.
 */
struct io_resumption {
    struct list node;
    void (*resume)(struct io_resumption *resumption);
};

/*
 * Makes a loop; aborts when the system has no resources for one.  The whole process
 * ignores SIGPIPE from then on.
 */
void io_loop_init(struct io_loop *loop);

/* Runs until nothing is active any more or io_loop_stop. */
void io_loop_run(struct io_loop *loop);

/*
 * One turn: waits until something happens, or when `may_wait` is false only looks; then makes the
 * calls that are due.  False when nothing is active any more.
 */
bool io_loop_turn(struct io_loop *loop, bool may_wait);

/* Makes io_loop_run return at the end of this turn. */
void io_loop_stop(struct io_loop *loop);

/*
 * Closes the loop's own handles, lets the last close events run, frees.  Whatever else uses the
 * loop must be closing by now: this waits for it.
 */
void io_loop_fini(struct io_loop *loop);

/* An empty output buffer over the loop's area; one at a time. */
struct buffer io_loop_out(struct io_loop *loop);

/* Monotonic milliseconds, cached for this turn. */
uint64_t io_loop_now_ms(struct io_loop *loop);

/* Keeps the loop alive until it is released as often. */
void io_loop_hold(struct io_loop *loop);
void io_loop_release(struct io_loop *loop);

/* A resumption that is not asked for. */
void io_resumption_init(struct io_resumption *resumption,
                        void (*resume)(struct io_resumption *resumption));

/* Has `resumption` called once, in the next turn; asked for twice is asked for once. */
void io_loop_resume(struct io_loop *loop, struct io_resumption *resumption);

/* Takes the request back, if there is one. */
void io_resumption_cancel(struct io_resumption *resumption);

#endif
