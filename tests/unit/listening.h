/* SPDX-License-Identifier: Apache-2.0 */
/* A port of loopback that answers, for tests of who only connects.  After tests/unit/unit.h. */
#ifndef MAILSTEAD_TESTS_LISTENING_H
#define MAILSTEAD_TESTS_LISTENING_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

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

#endif
