/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches.  close(2) takes a descriptor off epoll, unless a forked child still has it; so an event
 * names its watch by descriptor and serial, never by address, and what is not found is dropped: the
 * rest of a turn's events of a watch that was closed in it, too.
 * That epoll refuses a descriptor is beyond what a process can answer, and aborts.
 */
#include "common/io/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void loop_make_room(struct io_loop *loop, size_t count)
{
    size_t capacity = loop->watch_capacity > 0 ? loop->watch_capacity : 64;

    if (count <= loop->watch_capacity)
        return;
    while (capacity < count)
        capacity *= 2;
    loop->watches = memory_resize(loop->watches, capacity * sizeof(struct io_watch *));
    for (size_t i = loop->watch_capacity; i < capacity; i++)
        loop->watches[i] = NULL;
    loop->watch_capacity = capacity;
}

struct io_watch *io_watch_new(struct io_loop *loop, int fd,
                              void (*ready)(void *owner, unsigned readiness), void *owner)
{
    struct io_watch *watch = memory_new(sizeof(*watch));

    assert(fd >= 0);
    if (++loop->watch_serial == 0)
        loop->watch_serial = 1;
    *watch = (struct io_watch){
        .loop = loop, .fd = fd, .serial = loop->watch_serial, .ready = ready, .owner = owner
    };
    list_init(&watch->node);
    loop_make_room(loop, (size_t)fd + 1);
    assert(!loop->watches[fd]);
    loop->watches[fd] = watch;
    io_loop_hold(loop);
    return watch;
}

void io_watch_give(struct io_watch *watch, void (*ready)(void *owner, unsigned readiness),
                   void *owner)
{
    assert(!watch->is_closing);
    watch->ready = ready;
    watch->owner = owner;
}

static void watch_register(struct io_watch *watch, uint32_t events)
{
    struct epoll_event event = { .events = events,
                                 .data.u64 = (uint64_t)watch->serial << 32 | (uint32_t)watch->fd };
    int operation = EPOLL_CTL_MOD;

    if (events == watch->registered || watch->is_closing)
        return;
    if (watch->registered == 0)
        operation = EPOLL_CTL_ADD;
    if (events == 0)
        operation = EPOLL_CTL_DEL;
    watch->registered = events;
    if (epoll_ctl(watch->loop->epoll_fd, operation, watch->fd, &event) == 0)
        return;
    perror("event loop: epoll_ctl");
    abort();
}

static uint32_t events_of_readiness(unsigned readiness)
{
    return (readiness & IO_READABLE ? (uint32_t)(EPOLLIN | EPOLLRDHUP) : 0) |
           (readiness & IO_WRITABLE ? (uint32_t)EPOLLOUT : 0);
}

void io_watch_edges(struct io_watch *watch, unsigned readiness)
{
    watch_register(watch, watch->registered | events_of_readiness(readiness) | (uint32_t)EPOLLET);
}

void io_watch_levels(struct io_watch *watch, unsigned readiness)
{
    watch_register(watch, events_of_readiness(readiness));
}

void io_watch_put_in_background(struct io_watch *watch)
{
    if (watch->is_background || watch->is_closing)
        return;
    watch->is_background = true;
    io_loop_release(watch->loop);
}

static unsigned readiness_of_events(uint32_t events)
{
    unsigned readiness = 0;

    if (events & (EPOLLERR | EPOLLHUP))
        return IO_READABLE | IO_WRITABLE | IO_HUNG_UP;
    if (events & EPOLLIN)
        readiness |= IO_READABLE;
    if (events & EPOLLOUT)
        readiness |= IO_WRITABLE;
    if (events & EPOLLRDHUP)
        readiness |= IO_READABLE | IO_HUNG_UP;
    return readiness;
}

void io_watch_deliver(struct io_loop *loop, uint64_t mark, uint32_t events)
{
    size_t fd = (uint32_t)mark;
    struct io_watch *watch = fd < loop->watch_capacity ? loop->watches[fd] : NULL;

    if (!watch || watch->serial != (uint32_t)(mark >> 32))
        return;
    watch->fired = readiness_of_events(events);
    watch->ready(watch->owner, watch->fired);
}

static void watch_end(struct io_watch *watch, void (*closed)(void *owner))
{
    watch->loop->watches[watch->fd] = NULL;
    if (!watch->is_background)
        io_loop_release(watch->loop);
    watch->is_closing = true;
    watch->closed = closed;
    list_append(&watch->loop->closing, &watch->node);
}

void io_watch_close(struct io_watch *watch, void (*closed)(void *owner))
{
    if (watch->is_closing)
        return;
    if ((watch->registered & EPOLLET) == 0)
        watch_register(watch, 0); /* one that a child still has would be told of in each turn */
    close(watch->fd);
    watch_end(watch, closed);
}

void io_watch_return(struct io_watch *watch, void (*closed)(void *owner))
{
    if (watch->is_closing)
        return;
    watch_register(watch, 0);
    watch_end(watch, closed);
}
