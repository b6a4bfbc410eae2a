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

void backends_report(const struct backends *backends, int index, enum protocol protocol,
                     bool is_good, bool is_probe)
{
    const struct health_config *limits = &backends->config->health;
    struct board_health *health = backends_health(backends, index, protocol);

    if (!health)
        return;
    if (!is_good) {
        atomic_store(&health->successes, 0);
        if (atomic_fetch_add(&health->failures, 1) + 1 >= limits->failures)
            backends_move(backends, index, protocol, health, BOARD_HEALTH_DOWN);
        return;
    }
    atomic_store(&health->failures, 0);
    if (atomic_load(&health->state) != BOARD_HEALTH_UP && is_probe &&
        atomic_fetch_add(&health->successes, 1) + 1 >= limits->successes)
        backends_move(backends, index, protocol, health, BOARD_HEALTH_UP);
}
