/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/crowd.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"

enum {
    CROWD_OTHER_DESCRIPTORS = 64, /* what a worker has besides its sessions, and to spare */
    CROWD_SESSIONS_LEAST = 16,
    CROWD_TELL_MS = 60000
};

void crowd_init(struct crowd *crowd, struct session_service *service)
{
    struct rlimit limit = { .rlim_cur = 0 };
    size_t least = CROWD_OTHER_DESCRIPTORS + 2 * CROWD_SESSIONS_LEAST;

    *crowd = (struct crowd){ .service = service };
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < least)
        limit.rlim_cur = least;
    service->sessions_max = (limit.rlim_cur - CROWD_OTHER_DESCRIPTORS) / 2;
}

static void crowd_tell(struct crowd *crowd)
{
    const struct session_service *service = crowd->service;
    uint64_t now_ms = io_loop_now_ms(service->loop);

    if (crowd->told_ms > 0 && now_ms - crowd->told_ms < CROWD_TELL_MS)
        return;
    crowd->told_ms = now_ms;
    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "worker_full",
              LOG_INTEGER("sessions", service->session_count),
              LOG_INTEGER("most", service->sessions_max));
}

/* RFC 9051 section 7.1.5 and RFC 5530; RFC 2449 section 8.1 and RFC 3206; RFC 5321 section 3.8. */
static const char *crowd_refusal(const struct listener_config *listener)
{
    if (listener->tls == TLS_MODE_IMPLICIT)
        return "";
    switch (listener->protocol) {
    case PROTOCOL_IMAP:
        return "* BYE [UNAVAILABLE] too many connections, try again later\r\n";
    case PROTOCOL_POP3:
        return "-ERR [SYS/TEMP] too many connections, try again later\r\n";
    case PROTOCOL_SIEVE: /* RFC 5804 section 1.3 */
        return "BYE (TRYLATER) \"Too many connections, try again later.\"\r\n";
    case PROTOCOL_SMTP:
    case PROTOCOL_SUBMISSION:
    case PROTOCOL_LMTP:
        return "421 4.3.2 Too many connections, try again later\r\n";
    default:
        return "";
    }
}

bool crowd_admits(struct crowd *crowd, const struct listener_config *listener, int fd)
{
    struct session_service *service = crowd->service;
    struct span words = span_from_string(crowd_refusal(listener));

    if (service->session_count < service->sessions_max)
        return true;
    crowd_tell(crowd);
    if (session_service_make_room(service))
        return true;
    if (words.length > 0)
        (void)!send(fd, words.data, words.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
    return false;
}
