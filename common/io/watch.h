/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A watch tells when a descriptor is ready, and owns the descriptor.  It is on the loop's own
 * epoll instance: what epoll(7) is asked for stays as it is while a connection lives, so that an
 * ordinary one costs one epoll_ctl in its life.
 */
#ifndef MAILSTEAD_IO_WATCH_H
#define MAILSTEAD_IO_WATCH_H

#include <sys/epoll.h>

#include "common/io/loop.h"

enum io_readiness {
    IO_READABLE = 1,
    IO_WRITABLE = 2,
    /*
     * The peer has shut its direction down, or the connection failed: behind what can still be
     * read there is an end or an error.
     */
    IO_HUNG_UP = 4
};

struct io_watch {
    struct io_loop *loop;
    int fd;
    uint32_t serial;     /* tells its events from those of an earlier watch of the same number */
    uint32_t registered; /* what epoll watches; 0: nothing */
    unsigned fired;      /* the io_readiness of the last event */
    bool is_closing;
    bool is_background; /* does not keep the loop alive */
    void *owner;
    /* `readiness` is a set of io_readiness; a failed connection is all of them. */
    void (*ready)(void *owner, unsigned readiness);
    void (*closed)(void *owner);
    struct list node; /* in loop->closing */
};

/* Takes over `fd`; nothing is watched yet.  The watch frees itself behind its closed event. */
struct io_watch *io_watch_new(struct io_loop *loop, int fd,
                              void (*ready)(void *owner, unsigned readiness), void *owner)
    __attribute__((returns_nonnull, warn_unused_result));

/* Gives it to another owner; what is watched stays so. */
void io_watch_give(struct io_watch *watch, void (*ready)(void *owner, unsigned readiness),
                   void *owner);

/*
 * From now on tells each change towards `readiness` (IO_READABLE, IO_WRITABLE), once: the owner
 * remembers it until a read or a write found the descriptor dry or full.  What is so already is
 * told too.  Nothing is taken back: it is a system call only when something is new.
 */
void io_watch_edges(struct io_watch *watch, unsigned readiness);

/* Tells in each turn what of `readiness` is so; 0 stops it. */
void io_watch_levels(struct io_watch *watch, unsigned readiness);

/* The loop may end while only such watches are left. */
void io_watch_put_in_background(struct io_watch *watch);

/* For the loop: what epoll reported with `mark`, as readiness to the watch that it is of, if any.
 */
void io_watch_deliver(struct io_loop *loop, uint64_t mark, uint32_t events);

/*
 * Ends it, idempotent: the descriptor is closed at once, nothing is told any more but `closed`
 * (may be NULL), at the end of the turn.  Then the owner's memory may be freed.
 */
void io_watch_close(struct io_watch *watch, void (*closed)(void *owner));

/* As above, but the descriptor was only borrowed and stays open. */
void io_watch_return(struct io_watch *watch, void (*closed)(void *owner));

#endif
