/* SPDX-License-Identifier: Apache-2.0 */
/* The other process writes its complaint into a pipe, and nothing when there is none. */
#include "common/service/config_certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void judge(const char *certificate, const char *key, int fd)
{
    char error[TLS_ERROR_SIZE] = "";
    SSL_CTX *context = tls_server_context(certificate, key, NULL, error);

    if (!context && write(fd, error, strlen(error)) < 0)
        _exit(1);
    _exit(0);
}

/* What comes until the end, cut at the room for it. */
static void read_text(int fd, char text[TLS_ERROR_SIZE])
{
    size_t length = 0;
    ssize_t count;

    do {
        count = read(fd, text + length, TLS_ERROR_SIZE - 1 - length);
        if (count > 0)
            length += (size_t)count;
    } while (count > 0 || (count < 0 && errno == EINTR));
    text[length] = '\0';
}

static bool has_ended_well(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool config_certificate_is_usable(const char *certificate, const char *key,
                                  char error[TLS_ERROR_SIZE])
{
    int ends[2];
    pid_t pid;

    snprintf(error, TLS_ERROR_SIZE, "cannot be checked");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid = fork();
    if (pid == 0)
        judge(certificate, key, ends[1]);
    close(ends[1]);
    if (pid > 0)
        read_text(ends[0], error);
    close(ends[0]);
    if (pid < 0)
        return false;
    if (!has_ended_well(pid))
        snprintf(error, TLS_ERROR_SIZE, "cannot be checked");
    return *error == '\0';
}
