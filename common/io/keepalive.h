/* SPDX-License-Identifier: Apache-2.0 */
/* TCP keepalive: a peer that vanished without a word is found out while nobody has bytes for it. */
#ifndef MAILSTEAD_IO_KEEPALIVE_H
#define MAILSTEAD_IO_KEEPALIVE_H

/*
 * Has the kernel ask the peer of `fd` after `after_s` seconds (up to 32767) of silence, then each
 * tenth of that; nine questions without an answer break the connection.  0: never.  What is
 * accepted from a listening socket inherits this.  Nothing happens on another kind of socket.
 */
void keepalive_set(int fd, unsigned after_s);

#endif
