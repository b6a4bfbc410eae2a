/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What connections ask of TCP.  Keepalive: a peer that vanished without a word is found out while
 * nobody has bytes for it.  No delay: Nagle's algorithm and a peer's delayed acknowledgement would
 * wait for each other for 40 ms.
 */
#ifndef MAILSTEAD_IO_KEEPALIVE_H
#define MAILSTEAD_IO_KEEPALIVE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Has the kernel ask the peer of `fd` after `after_s` seconds (up to 32767) of silence, then each
 * tenth of that; nine questions without an answer break the connection.  0: never.  What is
 * accepted from a listening socket inherits this.  Nothing happens on another kind of socket.
 */
void keepalive_set(int fd, unsigned after_s);

/*
 * A wait for a peer's answer, as a deadline with two times.  Until the first, two seconds on,
 * nothing is spent on it.  Then the kernel asks the peer every second: a machine that is off, or
 * its address on another machine, which knows nothing of the connection, is found out long before
 * the limit.
 */
enum { KEEPALIVE_WAIT_MS = 2000 };
struct keepalive_wait {
    uint64_t rest_ms; /* what is left after the first time; 0: no more */
    bool is_asking;   /* the peer is asked every second */
};

/* In how many milliseconds the deadline is to come first, for a wait of `limit_ms`. */
uint64_t keepalive_wait_begin(struct keepalive_wait *wait, uint64_t limit_ms);

/* It has come: has the peer of `fd` asked, and says how much longer to wait; 0: the wait is over.
 */
uint64_t keepalive_wait_on(struct keepalive_wait *wait, int fd);

/* Has the kernel send what is written at once.  Inherited, and without effect, as above. */
void nodelay_set(int fd);

#endif
