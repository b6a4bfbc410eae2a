/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/replica/census.h"

#include <string.h>

#include "common/base/clock.h"

enum { CENSUS_SLICE = 500, CENSUS_SLICE_MS = 10, CENSUS_LOOK_MS = 1000 };

static void census_visit(void *context, const struct route_entry *entry)
{
    struct census *census = context;

    if (!entry->has_several_hosts && strcmp(entry->host, census->node) == 0 &&
        ledger_add(census->ledger, entry->account, clock_wall_ms()))
        census->added(census->context, entry->account);
}

static void census_tick(uv_timer_t *timer)
{
    struct census *census = CONTAINER_OF(timer, struct census, timer);
    uint64_t revision = resolver_revision(census->resolver);
    int count;

    if (!census->is_walking && revision == census->revision)
        return;
    if (!census->is_walking)
        census->revision = revision;
    count = mirror_walk_entries(census->resolver->mirror, &census->after, CENSUS_SLICE,
                                census_visit, census);
    census->is_walking = count < 0 || count == CENSUS_SLICE;
    uv_timer_set_repeat(timer, census->is_walking && count > 0 ? CENSUS_SLICE_MS : CENSUS_LOOK_MS);
    uv_timer_again(timer);
}

void census_start(struct census *census, struct io_loop *loop, struct resolver *resolver,
                  struct ledger *ledger, const char *node,
                  void (*added)(void *context, const char *account), void *context)
{
    *census = (struct census){ .resolver = resolver,
                               .ledger = ledger,
                               .node = node,
                               .is_walking = true,
                               .added = added,
                               .context = context };
    uv_timer_init(&loop->uv, &census->timer);
    uv_timer_start(&census->timer, census_tick, 0, CENSUS_SLICE_MS);
}

void census_restart(struct census *census)
{
    census->after = 0;
    census->is_walking = true;
}

static void census_timer_closed(uv_handle_t *handle)
{
    struct census *census = CONTAINER_OF(handle, struct census, timer);

    census->stopped(census->context);
}

void census_stop(struct census *census, void (*stopped)(void *context))
{
    census->stopped = stopped;
    uv_close((uv_handle_t *)&census->timer, census_timer_closed);
}
