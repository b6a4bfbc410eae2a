/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which hosts have accounts: the whole mirror is read, in many short turns of the loop.  What
 * changes meanwhile may be missed or counted; an error counts every host.
 */
#ifndef MAILSTEAD_DIRECTORY_HOST_CENSUS_H
#define MAILSTEAD_DIRECTORY_HOST_CENSUS_H

#include "common/io/loop.h"
#include "directory/mirror_writer.h"

struct host_census {
    struct io_loop *loop;
    struct mirror_writer *writer;
    void (*done)(void *context);
    void *context;
    struct row_set hosts; /* those of the rows up to `after` */
    int64_t after;
    bool has_failed;
    struct io_resumption more;
};

/* What is given is borrowed. */
void host_census_init(struct host_census *census, struct io_loop *loop,
                      struct mirror_writer *writer, void (*done)(void *context), void *context);

/* Begins, or begins anew; `done` comes later, from the loop. */
void host_census_start(struct host_census *census);

/* After `done`: false only when no account is on `host`. */
bool host_census_has(const struct host_census *census, const char *host);

/* Ends it; `done` does not come any more. */
void host_census_fini(struct host_census *census);

#endif
