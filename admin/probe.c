/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All sockets at once, one poll(2), one deadline.  Names are resolved first, by the C library,
 * with its own time limits.  Sends nothing; of a greeting at most the first line is shown.
 * Whatever cannot be reached counts as no answer, with its reason; what cannot be resolved as not
 * known.
 */
#include "admin/probe.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/io/endpoint.h"

enum { ATTEMPTS_MAX = 24, GREETING_SIZE = 128 };

struct attempt {
    const char *protocol;
    char address[NI_MAXHOST];
    uint16_t port;
    int fd; /* -1: over */
    bool is_connected;
    int error;
    char greeting[GREETING_SIZE]; /* what it said; empty: nothing yet */
};

struct probe {
    struct attempt attempts[ATTEMPTS_MAX];
    size_t count;
    const char *unresolved;    /* one of the addresses; NULL: there is none */
    const char *resolve_error; /* of that */
};

static void attempt_end(struct attempt *attempt, int error)
{
    if (attempt->fd >= 0)
        close(attempt->fd);
    attempt->fd = -1;
    attempt->error = error;
}

static void attempt_start(struct attempt *attempt, const struct addrinfo *address)
{
    if (getnameinfo(address->ai_addr, address->ai_addrlen, attempt->address,
                    sizeof(attempt->address), NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(attempt->address, sizeof(attempt->address), "?");
    attempt->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->fd < 0)
        attempt->error = errno;
    else if (connect(attempt->fd, address->ai_addr, address->ai_addrlen) != 0 &&
             errno != EINPROGRESS)
        attempt_end(attempt, errno);
}

static void probe_start(struct probe *probe, const char *protocol, const char *host, uint16_t port)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    char service[8];
    int fault;

    snprintf(service, sizeof(service), "%u", port);
    fault = getaddrinfo(host, service, &hints, &found);
    if (fault) {
        probe->unresolved = host;
        probe->resolve_error = gai_strerror(fault);
        return;
    }
    for (const struct addrinfo *at = found; at && probe->count < ATTEMPTS_MAX; at = at->ai_next) {
        struct attempt *attempt = &probe->attempts[probe->count++];

        *attempt = (struct attempt){ .protocol = protocol, .port = port };
        attempt_start(attempt, at);
    }
    freeaddrinfo(found);
}

/* Keeps the first line, of printable characters. */
static void attempt_read(struct attempt *attempt)
{
    ssize_t count = read(attempt->fd, attempt->greeting, GREETING_SIZE - 1);
    size_t length = 0;

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    while (count > 0 && length < (size_t)count && isprint((unsigned char)attempt->greeting[length]))
        length++;
    attempt->greeting[length] = '\0';
    attempt_end(attempt, 0);
}

static void attempt_continue(struct attempt *attempt)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (attempt->is_connected) {
        attempt_read(attempt);
        return;
    }
    if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    if (error)
        attempt_end(attempt, error);
    else
        attempt->is_connected = true;
}

/* One poll; false when nothing is left to wait for. */
static bool probe_wait(struct probe *probe, int timeout_ms)
{
    struct pollfd polled[ATTEMPTS_MAX];
    bool is_open = false;

    for (size_t i = 0; i < probe->count; i++) {
        const struct attempt *attempt = &probe->attempts[i];

        polled[i] = (struct pollfd){ .fd = attempt->fd,
                                     .events = attempt->is_connected ? POLLIN : POLLOUT };
        is_open |= attempt->fd >= 0;
    }
    if (!is_open || (poll(polled, probe->count, timeout_ms) < 0 && errno != EINTR))
        return false;
    for (size_t i = 0; i < probe->count; i++)
        if (probe->attempts[i].fd >= 0 && polled[i].revents)
            attempt_continue(&probe->attempts[i]);
    return true;
}

/* How much an attempt says: a greeting more than a connection, that more than an error. */
static int rank_of(const struct attempt *attempt)
{
    return attempt->greeting[0] ? 2 : attempt->is_connected ? 1 : 0;
}

static const struct attempt *probe_best(const struct probe *probe)
{
    const struct attempt *best = &probe->attempts[0];

    for (size_t i = 1; i < probe->count; i++)
        if (rank_of(&probe->attempts[i]) > rank_of(best))
            best = &probe->attempts[i];
    return best;
}

static void describe(const struct attempt *attempt, char text[PROBE_TEXT_SIZE])
{
    struct endpoint endpoint = { .port = attempt->port };
    char address[ENDPOINT_TEXT_SIZE];

    snprintf(endpoint.host, sizeof(endpoint.host), "%.100s", attempt->address);
    endpoint_format(&endpoint, address);
    if (attempt->greeting[0])
        snprintf(text, PROBE_TEXT_SIZE, "%s at %s says \"%s\"", attempt->protocol, address,
                 attempt->greeting);
    else if (attempt->is_connected)
        snprintf(text, PROBE_TEXT_SIZE, "%s at %s accepts connections, but greets nobody",
                 attempt->protocol, address);
    else
        snprintf(text, PROBE_TEXT_SIZE, "%s at %s does not answer: %s", attempt->protocol, address,
                 strerror(attempt->error ? attempt->error : ETIMEDOUT));
}

/* What could be tried was. */
static enum probe_result probe_judge(const struct probe *probe, char text[PROBE_TEXT_SIZE])
{
    const struct attempt *best = probe->count > 0 ? probe_best(probe) : NULL;

    if ((!best || !best->is_connected) && probe->unresolved) {
        snprintf(text, PROBE_TEXT_SIZE, "%.200s cannot be resolved: %s", probe->unresolved,
                 probe->resolve_error);
        return PROBE_UNKNOWN;
    }
    describe(best, text);
    return best->is_connected ? PROBE_ANSWERS : PROBE_SILENT;
}

static int time_left_ms(uint64_t end_ms)
{
    uint64_t now_ms = clock_monotonic_ms();

    return now_ms < end_ms ? (int)(end_ms - now_ms) : 0;
}

enum probe_result probe_backend(const struct backend *backend, unsigned timeout_ms,
                                char text[PROBE_TEXT_SIZE])
{
    enum probe_result result;
    struct probe probe = { .count = 0 };
    uint64_t end_ms;
    int left_ms;

    for (size_t i = 0; i < backend->address_count; i++) {
        probe_start(&probe, "lmtp", backend->addresses[i], backend->lmtp_port);
        probe_start(&probe, "imap", backend->addresses[i], backend->imap_port);
        probe_start(&probe, "pop3", backend->addresses[i], backend->pop3_port);
    }
    end_ms = clock_monotonic_ms() + timeout_ms; /* resolving has taken whatever it takes */
    do
        left_ms = time_left_ms(end_ms);
    while (probe_wait(&probe, left_ms) && left_ms > 0 && rank_of(probe_best(&probe)) < 2);
    result = probe_judge(&probe, text);
    for (size_t i = 0; i < probe.count; i++)
        attempt_end(&probe.attempts[i], 0);
    return result;
}
