/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/backends.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"

int backends_find(const struct backends *backends, const char *name)
{
    const struct cluster_config *cluster = &backends->config->cluster;

    for (size_t i = 0; i < cluster->backend_count; i++)
        if (strcmp(cluster->backends[i].name, name) == 0)
            return (int)i;
    return -1;
}

void backends_endpoint(const struct backends *backends, int index, enum protocol protocol,
                       struct endpoint *endpoint)
{
    const struct backend_config *backend = &backends->config->cluster.backends[index];
    const uint16_t ports[PROTOCOL_COUNT] = {
        [PROTOCOL_LMTP] = backend->lmtp_port,
        [PROTOCOL_IMAP] = backend->imap_port,
        [PROTOCOL_POP3] = backend->pop3_port,
    };

    *endpoint = (struct endpoint){ .port = ports[protocol] };
    snprintf(endpoint->host, sizeof(endpoint->host), "%s", backend->address);
}

static struct board_health *backends_health(const struct backends *backends, int index,
                                            enum protocol protocol)
{
    if (index < 0 || index >= BOARD_BACKENDS || backends->is_detached)
        return NULL;
    return &backends->board->health[index][protocol];
}

void backends_reset(const struct backends *backends)
{
    for (int index = 0; index < BOARD_BACKENDS; index++)
        for (int protocol = 0; protocol < PROTOCOL_COUNT; protocol++) {
            struct board_health *health = &backends->board->health[index][protocol];

            atomic_store(&health->state, BOARD_HEALTH_UNKNOWN);
            atomic_store(&health->failures, 0);
            atomic_store(&health->successes, 0);
            atomic_store(&health->accuser, 0);
        }
}

bool backends_is_up(const struct backends *backends, int index, enum protocol protocol)
{
    const struct board_health *health = backends_health(backends, index, protocol);

    return !health || atomic_load(&health->state) != BOARD_HEALTH_DOWN;
}

static void backends_move(const struct backends *backends, int index, enum protocol protocol,
                          struct board_health *health, int state)
{
    if (atomic_exchange(&health->state, state) == state)
        return;
    atomic_store(&health->since_ms, clock_monotonic_ms());
    LOG_EVENT(state == BOARD_HEALTH_DOWN ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, NULL,
              state == BOARD_HEALTH_DOWN ? "backend_down" : "backend_up",
              LOG_TEXT("backend", backends->config->cluster.backends[index].name),
              LOG_TEXT("protocol", protocol_name(protocol)));
}

/* A number for a session, other than 0 (FNV-1a); NULL, a probe, has 0. */
static uint64_t backends_accuser(const char *session_id)
{
    uint64_t hash = 14695981039346656037ULL;

    if (!session_id)
        return 0;
    for (; *session_id; session_id++)
        hash = (hash ^ (unsigned char)*session_id) * 1099511628211ULL;
    return hash | 1;
}

void backends_report(const struct backends *backends, int index, enum protocol protocol,
                     bool is_good, const char *session_id)
{
    uint64_t accuser = backends_accuser(session_id);
    const struct health_config *limits = &backends->config->health;
    struct board_health *health = backends_health(backends, index, protocol);

    if (!health)
        return;
    if (!is_good) {
        uint64_t last = atomic_exchange(&health->accuser, accuser);

        atomic_store(&health->successes, 0);
        if (session_id && last == accuser && atomic_load(&health->failures) > 0)
            return;
        if (atomic_fetch_add(&health->failures, 1) + 1 >= limits->failures)
            backends_move(backends, index, protocol, health, BOARD_HEALTH_DOWN);
        return;
    }
    atomic_store(&health->failures, 0);
    if (atomic_load(&health->state) != BOARD_HEALTH_UP && !session_id &&
        atomic_fetch_add(&health->successes, 1) + 1 >= limits->successes)
        backends_move(backends, index, protocol, health, BOARD_HEALTH_UP);
}
