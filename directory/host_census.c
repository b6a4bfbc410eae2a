/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/host_census.h"

enum { CENSUS_ROWS = 10000 /* a turn */ };

static void census_on_more(struct io_resumption *more)
{
    struct host_census *census = CONTAINER_OF(more, struct host_census, more);

    if (!mirror_writer_collect_hosts(census->writer, &census->after, CENSUS_ROWS, &census->hosts))
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
    row_set_clear(&census->hosts);
    census->after = 0;
    census->has_failed = false;
    io_loop_resume(census->loop, &census->more);
}

bool host_census_has(const struct host_census *census, const char *host)
{
    int64_t id = mirror_writer_find_host(census->writer, host);

    return census->has_failed || (id > 0 && row_set_has(&census->hosts, id));
}

void host_census_fini(struct host_census *census)
{
    io_resumption_cancel(&census->more);
    row_set_fini(&census->hosts);
}
