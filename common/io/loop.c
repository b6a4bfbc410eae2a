/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop.  It never blocks but in the poll.  libuv's own epoll descriptor is one among those
 * that are polled: libuv runs, without waiting, when that is ready, when a timer is due, and when
 * something of it is to be closed or started.
 * A system without resources for it, and a handle that is still open after
 * io_loop_fini has waited, abort: both are beyond what a process can answer.
 */
#include "common/io/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/io/watch.h"

/* A turn's share of what is ready; the kernel gives the others their turn in the next. */
enum { LOOP_EVENTS_PER_TURN = 256 };

/* What epoll says of libuv's descriptor; no watch has the serial 0. */
static const uint64_t LOOP_UV_MARK = 0;

static void loop_require(int result, const char *what)
{
    if (result == 0)
        return;
    fprintf(stderr, "event loop: %s: %s\n", what, uv_strerror(result));
    abort();
}

static void loop_on_anchor(uv_check_t *anchor)
{
    (void)anchor;
}

static void loop_init_uv(struct io_loop *loop)
{
    loop_require(uv_loop_init(&loop->uv), "init");
    loop_require(uv_check_init(&loop->uv, &loop->anchor), "check");
    loop_require(uv_check_start(&loop->anchor, loop_on_anchor), "check");
    uv_unref((uv_handle_t *)&loop->anchor);
}

static void loop_init_epoll(struct io_loop *loop)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = LOOP_UV_MARK };

    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, uv_backend_fd(&loop->uv), &event) != 0)
        loop_require(-errno, "epoll");
}

void io_loop_init(struct io_loop *loop)
{
    signal(SIGPIPE, SIG_IGN);
    *loop = (struct io_loop){ .scratch = memory_new(IO_SCRATCH_SIZE),
                              .out = memory_new(IO_OUT_SIZE),
                              .message = memory_new(IO_MESSAGE_SIZE) };
    list_init(&loop->resume);
    list_init(&loop->closing);
    loop_init_uv(loop);
    loop_init_epoll(loop);
}

/* --- a turn ----------------------------------------------------------------- */

static bool loop_is_alive(const struct io_loop *loop)
{
    return uv_loop_alive(&loop->uv) || !list_is_empty(&loop->resume) ||
           !list_is_empty(&loop->closing);
}

/* How long the poll may take, in milliseconds; -1: for ever. */
static int loop_timeout(const struct io_loop *loop, bool may_wait)
{
    bool is_due = !list_is_empty(&loop->resume) || !list_is_empty(&loop->closing);

    return may_wait && !is_due ? uv_backend_timeout(&loop->uv) : 0;
}

/* Polls and delivers; true when libuv has something on its own descriptor. */
static bool loop_poll(struct io_loop *loop, int timeout_ms)
{
    struct epoll_event events[LOOP_EVENTS_PER_TURN];
    int count = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS_PER_TURN, timeout_ms);
    bool is_uv_ready = false;

    uv_update_time(&loop->uv);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == LOOP_UV_MARK)
            is_uv_ready = true;
        else
            io_watch_deliver(loop, events[i].data.u64, events[i].events);
    }
    return is_uv_ready;
}

static void loop_take_all(struct list *from, struct list *to)
{
    list_init(to);
    while (!list_is_empty(from)) {
        struct list *node = from->next;

        list_remove(node);
        list_append(to, node);
    }
}

static void loop_run_resumptions(struct list *round)
{
    while (!list_is_empty(round)) {
        struct io_resumption *resumption = LIST_ELEMENT(round->next, struct io_resumption, node);

        list_remove(&resumption->node);
        resumption->resume(resumption);
    }
}

static void loop_finish_closing(struct io_loop *loop)
{
    while (!list_is_empty(&loop->closing)) {
        struct io_watch *watch = LIST_ELEMENT(loop->closing.next, struct io_watch, node);

        list_remove(&watch->node);
        if (watch->closed)
            watch->closed(watch->owner);
        free(watch);
    }
}

bool io_loop_turn(struct io_loop *loop, bool may_wait)
{
    int timeout_ms = loop_timeout(loop, may_wait);
    struct list round; /* who asks again during it is called in the next one, after the poll */

    loop->turn++;
    loop_take_all(&loop->resume, &round);
    if (loop_poll(loop, timeout_ms) || uv_backend_timeout(&loop->uv) == 0)
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    loop_run_resumptions(&round);
    loop_finish_closing(loop);
    return loop_is_alive(loop);
}

void io_loop_run(struct io_loop *loop)
{
    while (!loop->is_stopped && loop_is_alive(loop))
        io_loop_turn(loop, true);
    loop->is_stopped = false;
}

void io_loop_stop(struct io_loop *loop)
{
    loop->is_stopped = true;
}

static void loop_run_out(struct io_loop *loop)
{
    while (loop_is_alive(loop))
        io_loop_turn(loop, true);
}

void io_loop_fini(struct io_loop *loop)
{
    loop_run_out(loop);
    uv_close((uv_handle_t *)&loop->anchor, NULL);
    loop_run_out(loop);
    loop_require(uv_loop_close(&loop->uv), "close");
    close(loop->epoll_fd);
    free(loop->watches);
    free(loop->scratch);
    free(loop->out);
    free(loop->message);
}

/* --- what its users need ------------------------------------------------------ */

struct buffer io_loop_out(struct io_loop *loop)
{
    return buffer_over(loop->out, IO_OUT_SIZE);
}

uint64_t io_loop_now_ms(struct io_loop *loop)
{
    return uv_now(&loop->uv);
}

void io_loop_hold(struct io_loop *loop)
{
    if (loop->holds++ == 0)
        uv_ref((uv_handle_t *)&loop->anchor);
}

void io_loop_release(struct io_loop *loop)
{
    if (--loop->holds == 0)
        uv_unref((uv_handle_t *)&loop->anchor);
}

void io_resumption_init(struct io_resumption *resumption,
                        void (*resume)(struct io_resumption *resumption))
{
    list_init(&resumption->node);
    resumption->resume = resume;
}

void io_loop_resume(struct io_loop *loop, struct io_resumption *resumption)
{
    if (list_is_empty(&resumption->node))
        list_append(&loop->resume, &resumption->node);
}

void io_resumption_cancel(struct io_resumption *resumption)
{
    list_remove(&resumption->node);
}
