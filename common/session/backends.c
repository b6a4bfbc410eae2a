/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/backends.h"

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"

enum { BACKENDS_RELAPSES_MAX = 4 }; /* each doubles the good probes that it takes to come up */

void backends_init(struct backends *backends, const struct config *config, struct board *board)
{
    backend_set_init(&backends->set, config);
    backends->board = board;
}

void backends_fini(struct backends *backends)
{
    backend_set_fini(&backends->set);
}

bool backends_read(struct backends *backends, struct mirror *mirror, bool *has_changed)
{
    struct bytes list = bytes_empty(BACKENDS_LIST_MAX);
    bool is_known = false, is_read;

    *has_changed = false;
    if (!backends->set.config->directory.backend_base)
        return true;
    is_read = mirror_read_backends(mirror, &list, &is_known);
    if (is_known && !backend_set_update_packed(&backends->set, bytes_span(&list), has_changed))
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "backends_malformed");
    bytes_release(&list);
    return is_read;
}

const struct backend *backends_find(const struct backends *backends, const char *name)
{
    return backend_set_find(&backends->set, name);
}

static struct board_health *backends_health(const struct backends *backends,
                                            const struct backend *backend, enum protocol protocol)
{
    struct board_backend *row = board_backend(backends->board, backend->key);

    return row ? &row->health[protocol] : NULL;
}

/* The row of a backend's offers; of a node's own store for the id 0. */
static struct board_health *backends_row(const struct backends *backends, unsigned id,
                                         enum protocol protocol)
{
    const struct backend *backend = id ? backend_set_by_id(&backends->set, id) : NULL;
    struct board_backend *row;

    if (backend)
        return backends_health(backends, backend, protocol);
    if (id || !backends->is_node)
        return NULL;
    row = board_backend(backends->board, hash_string(backends->set.config->node.name) | 1);
    return row ? &row->health[protocol] : NULL;
}

void backends_learn_offers(const struct backends *backends, unsigned id, enum protocol protocol,
                           uint64_t offers)
{
    struct board_health *row = backends_row(backends, id, protocol);

    if (row)
        atomic_store(&row->offers, offers);
}

uint64_t backends_offers(const struct backends *backends, unsigned id, enum protocol protocol)
{
    const struct board_health *row = backends_row(backends, id, protocol);

    return row ? atomic_load(&row->offers) : 0;
}

uint64_t backends_common_offers(const struct backends *backends, enum protocol protocol)
{
    uint64_t common = UINT64_MAX;

    if (backends->is_node)
        return backends_offers(backends, 0, protocol);
    for (size_t i = 0; i < backends->set.count; i++) {
        const struct backend *backend = backend_set_at(&backends->set, i);
        uint64_t offers = backends_offers(backends, backend->id, protocol);

        if (backend->state != BACKEND_DOWN && offers)
            common &= offers;
    }
    return common == UINT64_MAX ? 0 : common;
}

bool backends_is_up(const struct backends *backends, const struct backend *backend,
                    enum protocol protocol)
{
    const struct board_health *health = backends_health(backends, backend, protocol);

    return backend->state != BACKEND_DOWN &&
           (!health || atomic_load(&health->state) != BOARD_HEALTH_DOWN);
}

void backends_forget(const struct backends *backends, const struct backend *backend,
                     enum protocol protocol)
{
    struct board_health *health = backends_health(backends, backend, protocol);

    if (!health)
        return;
    atomic_store(&health->state, BOARD_HEALTH_UNKNOWN);
    atomic_store(&health->failures, 0);
    atomic_store(&health->successes, 0);
    atomic_store(&health->relapses, 0);
    atomic_store(&health->accuser, 0);
    atomic_store(&health->since_ms, clock_monotonic_ms());
    if (backend->state == BACKEND_DOWN)
        ramp_arm(&health->returning);
}

bool backends_may_begin(const struct backends *backends, unsigned id, enum protocol protocol,
                        bool has_waited)
{
    const struct backend *backend = id ? backend_set_by_id(&backends->set, id) : NULL;
    struct board_health *health = backend ? backends_health(backends, backend, protocol) : NULL;
    struct ramp_rules rules = backend_ramp_rules(&backends->set.config->health);
    uint64_t now_us;

    if (!health)
        return true;
    now_us = clock_monotonic_us();
    if (ramp_is_steep(&health->returning, &rules, now_us))
        return ramp_take(&health->returning, &rules, now_us);
    return !has_waited || ramp_take_of_crowd(&health->crowd, &rules, now_us);
}

/* It has gone down: again, before its ramp was over? */
static void backends_count_relapse(const struct backends *backends, struct board_health *health)
{
    uint64_t ramp_ms = backends->set.config->health.ramp_s * UINT64_C(1000);
    uint64_t up_ms = clock_monotonic_ms() - atomic_load(&health->since_ms);

    if (up_ms >= ramp_ms)
        atomic_store(&health->relapses, 0);
    else if (atomic_load(&health->relapses) < BACKENDS_RELAPSES_MAX)
        atomic_fetch_add(&health->relapses, 1);
}

static void backends_move(const struct backends *backends, const struct backend *backend,
                          enum protocol protocol, struct board_health *health, int state)
{
    int before = atomic_exchange(&health->state, state);

    if (before == state)
        return;
    if (before == BOARD_HEALTH_UP)
        backends_count_relapse(backends, health);
    if (state == BOARD_HEALTH_DOWN)
        ramp_arm(&health->returning);
    atomic_store(&health->since_ms, clock_monotonic_ms());
    LOG_EVENT(state == BOARD_HEALTH_DOWN ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, NULL,
              state == BOARD_HEALTH_DOWN ? "backend_down" : "backend_up",
              LOG_TEXT("backend", backend->name), LOG_TEXT("protocol", protocol_name(protocol)));
}

/* A number for a session, other than 0; NULL, a probe, has 0. */
static uint64_t backends_accuser(const char *session_id)
{
    return session_id ? hash_string(session_id) | 1 : 0;
}

static void backends_report_failure(const struct backends *backends, const struct backend *backend,
                                    enum protocol protocol, const char *session_id)
{
    struct board_health *health = backends_health(backends, backend, protocol);
    uint64_t accuser = backends_accuser(session_id), last;

    if (!health)
        return;
    last = atomic_exchange(&health->accuser, accuser);
    atomic_store(&health->successes, 0);
    if (session_id && last == accuser && atomic_load(&health->failures) > 0)
        return;
    if (atomic_fetch_add(&health->failures, 1) + 1 >= backends->set.config->health.failures)
        backends_move(backends, backend, protocol, health, BOARD_HEALTH_DOWN);
}

static void backends_report_success(const struct backends *backends, const struct backend *backend,
                                    enum protocol protocol, const char *session_id)
{
    struct board_health *health = backends_health(backends, backend, protocol);
    unsigned wanted;

    if (!health)
        return;
    atomic_store(&health->failures, 0);
    wanted = backends->set.config->health.successes << atomic_load(&health->relapses);
    if (atomic_load(&health->state) != BOARD_HEALTH_UP && !session_id &&
        atomic_fetch_add(&health->successes, 1) + 1 >= wanted)
        backends_move(backends, backend, protocol, health, BOARD_HEALTH_UP);
}

void backends_report(const struct backends *backends, unsigned id, enum protocol protocol,
                     bool is_good, const char *session_id)
{
    const struct backend *backend = id ? backend_set_by_id(&backends->set, id) : NULL;

    if (!backend || backend->state == BACKEND_DOWN)
        return;
    if (is_good)
        backends_report_success(backends, backend, protocol, session_id);
    else
        backends_report_failure(backends, backend, protocol, session_id);
}
