/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which hosts have how many accounts: the whole mirror is read, in many short turns of the loop.
 * What changes meanwhile may be missed or counted; after an error every host has some.
 */
#ifndef MAILSTEAD_DIRECTORY_HOST_CENSUS_H
#define MAILSTEAD_DIRECTORY_HOST_CENSUS_H

#include "common/io/loop.h"
#include "directory/host_counts.h"
#include "directory/mirror_writer.h"

/* The numbers of hostServer and oldHostServer in the mirror, and how many accounts have them. */
struct host_pair {
    int64_t host, old_host;
    uint64_t accounts;
};

struct host_census {
    struct io_loop *loop;
    struct mirror_writer *writer;
    void (*done)(void *context);
    void *context;
    struct host_pair *pairs; /* owned; of the rows up to `after` */
    size_t count;
    size_t last; /* the pair of the row before */
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

/* After `done`: adds them all to `counts`; false when they could not be counted. */
bool host_census_give(const struct host_census *census, struct host_counts *counts)
    __attribute__((warn_unused_result));

/* Ends it; `done` does not come any more. */
void host_census_fini(struct host_census *census);

#endif
