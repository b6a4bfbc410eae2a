/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many accounts there are for each pair of hostServer and oldHostServer: who serves how many,
 * and whose mail that is.
 */
#ifndef MAILSTEAD_DIRECTORY_HOST_COUNTS_H
#define MAILSTEAD_DIRECTORY_HOST_COUNTS_H

#include "common/service/backend.h"

enum { HOST_COUNTS_MAX = 4096, HOST_COUNTS_ERROR_SIZE = 512 };

struct host_count {
    char host[BACKEND_NAME_SIZE];     /* "": none, several, or one that is too long for a name */
    char old_host[BACKEND_NAME_SIZE]; /* "": none */
    uint64_t accounts;
};

struct host_counts {
    struct host_count *items; /* owned; each pair once */
    size_t count;
};

/* All zero is empty. */
void host_counts_fini(struct host_counts *counts);

/* Adds to a pair; false when there are HOST_COUNTS_MAX others already. */
bool host_counts_add(struct host_counts *counts, const char *host, const char *old_host,
                     uint64_t accounts) __attribute__((warn_unused_result));

/* The sum over the pairs with this host and this old host; NULL is any. */
uint64_t host_counts_sum(const struct host_counts *counts, const char *host, const char *old_host);

/*
 * Reads them from the directory: of the accounts that match `filter` too (RFC 4515; NULL: all).  As
 * who writes, where admin.write_uri says where, else as who follows.  False, with `error`, when
 * that is not possible; what was read then is no count.
 */
bool host_counts_read_directory(const struct config *config, const char *filter,
                                struct host_counts *counts, char error[HOST_COUNTS_ERROR_SIZE])
    __attribute__((warn_unused_result));

#endif
