/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For cluster managers and balancers, which want to know it every few seconds.  Blocking, one
 * listener after the other, under one deadline.  Any greeting counts, a refusal too: who refuses
 * because he is full is not dead.  Never logs in, and verifies no certificate.
 */
#include "admin/serving.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "common/base/clock.h"
#include "common/io/network.h"
#include "common/io/tls.h"
#include "common/proto/proxy_header.h"

enum { SERVING_TIMEOUT_MS = 3000, WHY_SIZE = 256 };

struct visit {
    const struct config *config;
    const struct listener_config *listener;
    uint64_t end_ms;
    int fd;
    char *why; /* of WHY_SIZE: what is wrong */
};

/* The time that is left for each single call; false when it is over. */
static bool visit_set_time(const struct visit *visit)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t left_ms = now_ms < visit->end_ms ? visit->end_ms - now_ms : 0;
    const struct timeval left = { .tv_sec = (time_t)(left_ms / 1000),
                                  .tv_usec = (suseconds_t)(left_ms % 1000 * 1000) };

    return left_ms > 0 &&
           setsockopt(visit->fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof(left)) == 0 &&
           setsockopt(visit->fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) == 0;
}

static bool visit_failed(const struct visit *visit, const char *what)
{
    bool is_late = errno == EAGAIN || errno == EINPROGRESS || errno == ETIMEDOUT;

    snprintf(visit->why, WHY_SIZE, "%s: %s", what,
             is_late ? "nothing came in time" : strerror(errno));
    return false;
}

/* Where a listener on any address can be reached from here. */
static void prefer_loopback(struct sockaddr_storage *address, bool is_any_family)
{
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)address;

    if (is_any_family && address->ss_family == AF_INET6)
        *ipv4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = ipv6->sin6_port };
    if (address->ss_family == AF_INET && ipv4->sin_addr.s_addr == htonl(INADDR_ANY))
        ipv4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&ipv6->sin6_addr))
        ipv6->sin6_addr = in6addr_loopback;
}

static bool visit_connect(struct visit *visit)
{
    const struct endpoint *endpoint = &visit->listener->endpoint;
    struct sockaddr_storage address;
    socklen_t length;

    if (!endpoint_to_sockaddr(endpoint, &address, &length)) {
        snprintf(visit->why, WHY_SIZE, "\"%.100s\" is no address", endpoint->host);
        return false;
    }
    prefer_loopback(&address, strcmp(endpoint->host, "*") == 0);
    visit->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (visit->fd < 0)
        return visit_failed(visit, "no socket");
    errno = ETIMEDOUT;
    if (!visit_set_time(visit) ||
        connect(visit->fd, (const struct sockaddr *)&address,
                address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : length) != 0)
        return visit_failed(visit, "does not accept connections");
    return true;
}

/* Where we count as a balancer, the PROXY header comes before all else. */
static bool visit_introduce(const struct visit *visit)
{
    const struct string_list *balancers = &visit->listener->proxy_protocol_from;
    struct sockaddr_storage self = { .ss_family = AF_UNSPEC };
    socklen_t length = sizeof(self);

    if (getsockname(visit->fd, (struct sockaddr *)&self, &length) != 0)
        return visit_failed(visit, "does not accept connections");
    for (size_t i = 0; i < balancers->count; i++) {
        struct network network;

        if (!network_parse(balancers->items[i], &network) ||
            !network_list_has_peer(&network, 1, &self))
            continue;
        if (send(visit->fd, PROXY_HEADER_NOBODY, sizeof(PROXY_HEADER_NOBODY) - 1, MSG_NOSIGNAL) < 0)
            return visit_failed(visit, "takes no PROXY header");
        return true;
    }
    return true;
}

/* What a read of `count` bytes means; `errno` is that of the read. */
static bool visit_judge(const struct visit *visit, ssize_t count)
{
    if (count > 0)
        return true;
    if (count < 0 && errno != ECONNRESET)
        return visit_failed(visit, "does not greet");
    snprintf(visit->why, WHY_SIZE, "hangs up without a word%s",
             visit->config->node.name ? "; is this machine's own address in node.frontends?" : "");
    return false;
}

static bool visit_plain(const struct visit *visit)
{
    char greeting[64];

    return visit_judge(visit, recv(visit->fd, greeting, sizeof(greeting), 0));
}

static bool visit_tls(const struct visit *visit)
{
    char error[TLS_ERROR_SIZE], greeting[64];
    SSL_CTX *context = tls_client_context(NULL, false, error);
    SSL *tls = context ? SSL_new(context) : NULL;
    bool is_greeted = false;

    errno = 0;
    if (!tls || SSL_set_fd(tls, visit->fd) != 1) {
        snprintf(visit->why, WHY_SIZE, "no TLS here");
    } else if (SSL_connect(tls) != 1) {
        if (errno)
            visit_failed(visit, "no TLS handshake");
        else
            snprintf(visit->why, WHY_SIZE, "no TLS handshake");
    } else {
        int count = SSL_read(tls, greeting, sizeof(greeting));

        is_greeted = visit_judge(visit, count > 0 ? count : errno ? -1 : 0);
    }
    SSL_free(tls);
    SSL_CTX_free(context);
    return is_greeted;
}

static bool visit_listener(struct visit *visit)
{
    bool is_greeted =
        visit_connect(visit) && visit_introduce(visit) &&
        (visit->listener->tls == TLS_MODE_IMPLICIT ? visit_tls(visit) : visit_plain(visit));

    if (visit->fd >= 0)
        close(visit->fd);
    return is_greeted;
}

static void add_trouble(json_t *troubles, const char *part, const char *why)
{
    json_array_append_new(troubles, json_pack("{s:o, s:o}", "part", json_any_text(part), "error",
                                              json_any_text(why)));
}

/* Half of the time at most is for it, and the rest for the listeners. */
static void ask_control(const struct config *config, json_t *troubles)
{
    char error[CONFIG_ERROR_SIZE];
    json_t *lines =
        daemon_ask(config, json_pack("{s:s}", "command", "status"), SERVING_TIMEOUT_MS / 2, error);

    if (!lines)
        add_trouble(troubles, "control.sock", error);
    json_decref(lines);
}

static void visit_all(const struct config *config, uint64_t end_ms, json_t *troubles)
{
    char why[WHY_SIZE];
    struct visit visit = { .config = config, .end_ms = end_ms, .why = why };

    for (size_t i = 0; i < config->listener_count; i++) {
        visit.listener = &config->listeners[i];
        visit.fd = -1;
        if (!visit_listener(&visit))
            add_trouble(troubles, visit.listener->name, why);
    }
}

static void print_troubles(const json_t *troubles)
{
    const json_t *trouble;
    size_t i;

    json_array_foreach (troubles, i, trouble) {
        print_harmless(stdout, json_text(trouble, "part"));
        fputs(": ", stdout);
        print_harmless(stdout, json_text(trouble, "error"));
        fputc('\n', stdout);
    }
}

enum command_status serving_run(const struct arguments *arguments)
{
    struct config *config = daemon_config(arguments, false);
    uint64_t end_ms = clock_monotonic_ms() + SERVING_TIMEOUT_MS;
    json_t *troubles = json_array();
    bool serves = false;

    if (config) {
        ask_control(config, troubles);
        visit_all(config, end_ms, troubles);
        config_free(config);
        serves = json_array_size(troubles) == 0;
        if (arguments->is_json)
            print_json(troubles);
        else if (serves)
            printf("ok\n");
        else
            print_troubles(troubles);
    }
    json_decref(troubles);
    return serves ? COMMAND_OK : COMMAND_FAILED;
}
