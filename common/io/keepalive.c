/* SPDX-License-Identifier: Apache-2.0 */
/* Options of TCP sockets.  One that cannot have them goes without: the deadlines of sessions still
 * hold. */
#include "common/io/keepalive.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void socket_option(int fd, int level, int option, int number)
{
    (void)setsockopt(fd, level, option, &number, sizeof(number));
}

void keepalive_set(int fd, unsigned after_s)
{
    int pause_s = after_s < 10 ? 1 : (int)after_s / 10;

    socket_option(fd, SOL_SOCKET, SO_KEEPALIVE, after_s > 0);
    if (after_s == 0)
        return;
    socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)after_s);
    socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, pause_s);
    socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 9);
}

uint64_t keepalive_wait_begin(struct keepalive_wait *wait, uint64_t limit_ms)
{
    uint64_t first_ms = limit_ms < KEEPALIVE_WAIT_MS ? limit_ms : KEEPALIVE_WAIT_MS;

    *wait = (struct keepalive_wait){ .rest_ms = limit_ms - first_ms };
    return first_ms;
}

uint64_t keepalive_wait_on(struct keepalive_wait *wait, int fd)
{
    uint64_t rest_ms = wait->rest_ms;

    wait->rest_ms = 0;
    if (rest_ms > 0) {
        wait->is_asking = true;
        keepalive_set(fd, 1);
    }
    return rest_ms;
}

void nodelay_set(int fd)
{
    socket_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}
