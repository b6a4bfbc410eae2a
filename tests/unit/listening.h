/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of loopback: one that answers, for tests of who only connects, and some for servers to
 * come. After tests/unit/unit.h. */
#ifndef MAILSTEAD_TESTS_LISTENING_H
#define MAILSTEAD_TESTS_LISTENING_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* A listening socket on loopback; the kernel accepts for it, and nobody greets.  The caller's. */
static inline int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* `count` (at most 8) ports that are free now, below those that the kernel gives to whoever
 * connects: between two starts of a server no client of another test gets its port. */
static inline void find_ports(uint16_t *ports, size_t count)
{
    int fds[8];

    for (size_t i = 0; i < count;) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

        assert_int_equal(getrandom(&ports[i], sizeof(ports[i]), 0), sizeof(ports[i]));
        ports[i] = (uint16_t)(10000 + ports[i] % 20000);
        address.sin_port = htons(ports[i]);
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(fds[i], (struct sockaddr *)&address, sizeof(address)) == 0)
            i++;
        else
            close(fds[i]);
    }
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

#endif
