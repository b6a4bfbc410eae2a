/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What connections ask of TCP.  Keepalive: a peer that vanished without a word is found out while
 * nobody has bytes for it.  No delay: Nagle's algorithm and a peer's delayed acknowledgement would
 * wait for each other for 40 ms.
 */
#ifndef MAILSTEAD_IO_KEEPALIVE_H
#define MAILSTEAD_IO_KEEPALIVE_H

/*
 * Has the kernel ask the peer of `fd` after `after_s` seconds (up to 32767) of silence, then each
 * tenth of that; nine questions without an answer break the connection.  0: never.  What is
 * accepted from a listening socket inherits this.  Nothing happens on another kind of socket.
 */
void keepalive_set(int fd, unsigned after_s);

/* Has the kernel send what is written at once.  Inherited, and without effect, as above. */
void nodelay_set(int fd);

#endif
