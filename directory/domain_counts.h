/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many accounts each domain has in the mirror, and how many of them the directory did not
 * show: whether so many missing ones may be believed.
 */
#ifndef MAILSTEAD_DIRECTORY_DOMAIN_COUNTS_H
#define MAILSTEAD_DIRECTORY_DOMAIN_COUNTS_H

#include "common/service/config.h"
#include "directory/mirror_writer.h"

struct domain_counts; /* on the heap */

/*
 * Begins to count: missing are the rows that are not in `shown`, or with NULL those that are
 * held.  Both are borrowed while it counts.
 */
struct domain_counts *domain_counts_new(struct mirror_writer *writer, const struct row_set *shown);

/* Counts some rows; true when all are counted.  About a second a million accounts in all. */
bool domain_counts_step(struct domain_counts *counts);

/* NULL is allowed. */
void domain_counts_free(struct domain_counts *counts);

/* Says what is doubtful from now on, by the limits of `config`: a domain, or everything. */
void domain_counts_judge(struct domain_counts *counts, const struct directory_config *config);

/* True when a missing account is to be held; for mirror_writer_sweep. */
bool domain_counts_is_doubtful(void *counts, struct span account);

/* True when everything is: the missing ones are unusually many of all accounts. */
bool domain_counts_is_all_doubtful(const struct domain_counts *counts);

/* Missing accounts that would be held. */
uint64_t domain_counts_doubtful(struct domain_counts *counts);

/* Raises the alarm: what is doubtful, and which `action` follows. */
void domain_counts_log(struct domain_counts *counts, const char *action);

/*
 * Shows the domains with missing accounts that are doubtful (with `all`: every one), those with the
 * most first, at most `limit`; accounts without a domain are "".
 */
void domain_counts_each(struct domain_counts *counts, bool all, size_t limit,
                        void (*visit)(void *context, const char *domain, uint64_t missing,
                                      uint64_t accounts),
                        void *context);

#endif
