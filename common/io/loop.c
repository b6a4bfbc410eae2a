/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop.  It never blocks but in the poll, and owns no descriptor but libuv's.
 * A system without resources for it, and a handle that is still open after
 * io_loop_fini has waited, abort: both are beyond what a process can answer.
 */
#include "common/io/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void loop_require(int result, const char *what)
{
    if (result == 0)
        return;
    fprintf(stderr, "event loop: %s: %s\n", what, uv_strerror(result));
    abort();
}

void io_loop_init(struct io_loop *loop)
{
    signal(SIGPIPE, SIG_IGN);
    loop_require(uv_loop_init(&loop->uv), "init");
    loop_require(uv_idle_init(&loop->uv, &loop->resume_idle), "idle");
    loop->scratch = memory_new(IO_SCRATCH_SIZE);
    loop->out = memory_new(IO_OUT_SIZE);
    loop->message = memory_new(IO_MESSAGE_SIZE);
    list_init(&loop->resume);
}

void io_loop_run(struct io_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void io_loop_stop(struct io_loop *loop)
{
    uv_stop(&loop->uv);
}

void io_loop_fini(struct io_loop *loop)
{
    uv_close((uv_handle_t *)&loop->resume_idle, NULL);
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
        ;
    loop_require(uv_loop_close(&loop->uv), "close");
    free(loop->scratch);
    free(loop->out);
    free(loop->message);
}

struct buffer io_loop_out(struct io_loop *loop)
{
    return buffer_over(loop->out, IO_OUT_SIZE);
}

uint64_t io_loop_now_ms(struct io_loop *loop)
{
    return uv_now(&loop->uv);
}

void io_resumption_init(struct io_resumption *resumption,
                        void (*resume)(struct io_resumption *resumption))
{
    list_init(&resumption->node);
    resumption->resume = resume;
}

/* One round: who asks again during it is called in the next one, after the poll. */
static void loop_on_idle(uv_idle_t *idle)
{
    struct io_loop *loop = CONTAINER_OF(idle, struct io_loop, resume_idle);
    struct list round;

    list_init(&round);
    while (!list_is_empty(&loop->resume)) {
        struct list *node = loop->resume.next;

        list_remove(node);
        list_append(&round, node);
    }
    while (!list_is_empty(&round)) {
        struct io_resumption *resumption = LIST_ELEMENT(round.next, struct io_resumption, node);

        list_remove(&resumption->node);
        resumption->resume(resumption);
    }
    if (list_is_empty(&loop->resume))
        uv_idle_stop(idle);
}

void io_loop_resume(struct io_loop *loop, struct io_resumption *resumption)
{
    if (!list_is_empty(&resumption->node))
        return;
    list_append(&loop->resume, &resumption->node);
    if (!uv_is_closing((uv_handle_t *)&loop->resume_idle))
        uv_idle_start(&loop->resume_idle, loop_on_idle);
}

void io_resumption_cancel(struct io_resumption *resumption)
{
    list_remove(&resumption->node);
}
