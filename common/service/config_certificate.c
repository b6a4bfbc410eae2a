/* SPDX-License-Identifier: Apache-2.0 */
/* The other process writes its complaint into a pipe, and nothing when there is none. */
#include "common/service/config_certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/memory.h"

/* What the other process writes. */
struct complaint {
    size_t wrong;
    char error[TLS_ERROR_SIZE]; /* empty: there is none */
};

struct tls_server_options config_tls_options(const struct tls_config *tls,
                                             struct tls_certificate *certificates)
{
    certificates[0] = (struct tls_certificate){ tls->pem.certificate, tls->pem.key };
    for (size_t i = 0; i < tls->other_count; i++) {
        const struct pem_config *pem = &tls->others[i].pem;

        certificates[i + 1] = (struct tls_certificate){ pem->certificate, pem->key };
    }
    return (struct tls_server_options){ .certificates = certificates,
                                        .certificate_count = tls->other_count + 1,
                                        .min_version = tls->min_version,
                                        .ciphers = tls->ciphers,
                                        .client_ca_file = tls->client_ca };
}

static void judge(const struct tls_config *tls, int fd)
{
    struct tls_certificate *certificates =
        memory_new((tls->other_count + 1) * sizeof(*certificates));
    const struct tls_server_options options = config_tls_options(tls, certificates);
    struct complaint complaint = { .wrong = 0 };

    if (!tls_server_context(&options, &complaint.wrong, complaint.error) &&
        write(fd, &complaint, sizeof(complaint)) != sizeof(complaint))
        _exit(1);
    _exit(0);
}

/* False when it is not whole, and not empty. */
static bool read_complaint(int fd, struct complaint *complaint)
{
    size_t length = 0;
    ssize_t count;

    do {
        count = read(fd, (char *)complaint + length, sizeof(*complaint) - length);
        if (count > 0)
            length += (size_t)count;
    } while ((count > 0 && length < sizeof(*complaint)) || (count < 0 && errno == EINTR));
    return count >= 0 && (length == 0 || length == sizeof(*complaint));
}

static bool has_ended_well(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool config_certificates_are_usable(const struct tls_config *tls, size_t *wrong,
                                    char error[TLS_ERROR_SIZE])
{
    struct complaint complaint = { .wrong = tls->other_count + 1 };
    bool is_judged = false;
    int ends[2];
    pid_t pid;

    *wrong = complaint.wrong;
    snprintf(error, TLS_ERROR_SIZE, "cannot be checked");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid = fork();
    if (pid == 0)
        judge(tls, ends[1]);
    close(ends[1]);
    if (pid > 0)
        is_judged = read_complaint(ends[0], &complaint);
    close(ends[0]);
    if (pid < 0 || !has_ended_well(pid) || !is_judged)
        return false;
    *wrong = complaint.wrong;
    memcpy(error, complaint.error, TLS_ERROR_SIZE);
    error[TLS_ERROR_SIZE - 1] = '\0';
    return *error == '\0';
}
