/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/host_census.h"

#include <stdlib.h>

#include "common/base/memory.h"

enum { CENSUS_ROWS = 10000 /* a turn */ };

/* Accounts of one kind come one after the other: mostly it is the pair of the row before. */
static struct host_pair *census_find(struct host_census *census, int64_t host, int64_t old_host)
{
    for (size_t i = 0; i < census->count; i++) {
        size_t at = (census->last + i) % census->count;

        if (census->pairs[at].host == host && census->pairs[at].old_host == old_host) {
            census->last = at;
            return &census->pairs[at];
        }
    }
    return NULL;
}

static void census_on_row(void *context, int64_t host, int64_t old_host)
{
    struct host_census *census = context;
    struct host_pair *pair = census_find(census, host, old_host);

    if (!pair && census->count == HOST_COUNTS_MAX) {
        census->has_failed = true;
        return;
    }
    if (!pair) {
        census->pairs = memory_resize(census->pairs, (census->count + 1) * sizeof(*census->pairs));
        pair = &census->pairs[census->count++];
        *pair = (struct host_pair){ .host = host, .old_host = old_host };
    }
    pair->accounts++;
}

static void census_on_more(struct io_resumption *more)
{
    struct host_census *census = CONTAINER_OF(more, struct host_census, more);

    if (!mirror_writer_walk_hosts(census->writer, &census->after, CENSUS_ROWS, census_on_row,
                                  census))
        census->has_failed = true;
    if (census->after > 0 && !census->has_failed)
        io_loop_resume(census->loop, &census->more);
    else
        census->done(census->context);
}

void host_census_init(struct host_census *census, struct io_loop *loop,
                      struct mirror_writer *writer, void (*done)(void *context), void *context)
{
    *census =
        (struct host_census){ .loop = loop, .writer = writer, .done = done, .context = context };
    io_resumption_init(&census->more, census_on_more);
}

void host_census_start(struct host_census *census)
{
    census->count = 0;
    census->last = 0;
    census->after = 0;
    census->has_failed = false;
    io_loop_resume(census->loop, &census->more);
}

bool host_census_has(const struct host_census *census, const char *host)
{
    int64_t id = mirror_writer_find_host(census->writer, host);

    for (size_t i = 0; i < census->count && id > 0; i++)
        if (census->pairs[i].host == id)
            return true;
    return census->has_failed;
}

bool host_census_give(const struct host_census *census, struct host_counts *counts)
{
    char host[BACKEND_NAME_SIZE], old_host[BACKEND_NAME_SIZE];

    for (size_t i = 0; i < census->count && !census->has_failed; i++) {
        const struct host_pair *pair = &census->pairs[i];

        mirror_writer_host_name(census->writer, pair->host, host, sizeof(host));
        mirror_writer_host_name(census->writer, pair->old_host, old_host, sizeof(old_host));
        if (!host_counts_add(counts, host, old_host, pair->accounts))
            return false;
    }
    return !census->has_failed;
}

void host_census_fini(struct host_census *census)
{
    io_resumption_cancel(&census->more);
    free(census->pairs);
    census->pairs = NULL;
    census->count = 0;
}
