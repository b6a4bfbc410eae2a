/* SPDX-License-Identifier: Apache-2.0 */
/* Each function leaves no descriptor behind when it fails, and errno as the failure set it. */
#include "common/io/unix_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int close_and_fail(int fd)
{
    int error = errno;

    close(fd);
    errno = error;
    return -1;
}

/* A socket, and the address of `path` for it; -1 and errno. */
static int open_socket(const char *path, int type, struct sockaddr_un *address)
{
    size_t length = strlen(path);

    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (length >= sizeof(address->sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address->sun_path, path, length);
    return socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int unix_socket_connect(const char *path, int type)
{
    struct sockaddr_un address;
    int fd = open_socket(path, type, &address);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    return close_and_fail(fd);
}

/* A chmod after the bind might meet something else at the path. */
static bool bind_with_mode(int fd, const struct sockaddr_un *address, unsigned mode)
{
    struct stat old;
    mode_t mask = umask(0777 & ~(mode_t)mode);
    bool is_bound;

    if (lstat(address->sun_path, &old) == 0 && S_ISSOCK(old.st_mode))
        unlink(address->sun_path);
    is_bound = bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    umask(mask);
    return is_bound;
}

int unix_socket_listen(const char *path, int type, unsigned mode, int backlog)
{
    struct sockaddr_un address;
    int fd = open_socket(path, type, &address);

    if (fd < 0 || (bind_with_mode(fd, &address, mode) && listen(fd, backlog) == 0))
        return fd;
    return close_and_fail(fd);
}
