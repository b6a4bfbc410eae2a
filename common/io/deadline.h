/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One deadline of a session.  Moving it further away costs no system call and no
 * heap operation: the timer fires at the old moment, sees the new one, and waits on.
 */
#ifndef MAILSTEAD_IO_DEADLINE_H
#define MAILSTEAD_IO_DEADLINE_H

#include "common/io/loop.h"

struct deadline {
    uv_timer_t timer;
    struct io_loop *loop;
    uint64_t at_ms; /* io_loop_now_ms at which it expires; 0: not set */
    void (*expired)(struct deadline *deadline);
    void (*closed)(struct deadline *deadline);
};

/* Prepares a deadline that is not set. */
void deadline_init(struct deadline *deadline, struct io_loop *loop,
                   void (*expired)(struct deadline *deadline));

/* Expires `after_ms` from now, unless set anew or cleared before; `expired` is called once. */
void deadline_set(struct deadline *deadline, uint64_t after_ms);

/* Will not expire until set again. */
void deadline_clear(struct deadline *deadline);

/* Ends it; `closed` is called later from the loop, then the memory may be freed. */
void deadline_close(struct deadline *deadline, void (*closed)(struct deadline *deadline));

#endif
