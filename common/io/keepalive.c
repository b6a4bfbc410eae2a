/* SPDX-License-Identifier: Apache-2.0 */
/* Keepalive.  A socket that cannot have it goes without: the deadlines of sessions still hold. */
#include "common/io/keepalive.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void keepalive_option(int fd, int level, int option, int number)
{
    (void)setsockopt(fd, level, option, &number, sizeof(number));
}

void keepalive_set(int fd, unsigned after_s)
{
    int pause_s = after_s < 10 ? 1 : (int)after_s / 10;

    keepalive_option(fd, SOL_SOCKET, SO_KEEPALIVE, after_s > 0);
    if (after_s == 0)
        return;
    keepalive_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)after_s);
    keepalive_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, pause_s);
    keepalive_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 9);
}
