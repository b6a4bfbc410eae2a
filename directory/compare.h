/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares the whole mirror with the directory: now and then by itself, slowly, and at once for
 * `mailstead mirror verify`.  Pages of the directory are held against the mirror's rows by
 * entryUUID; whatever differs, or is in one of the two only, is read again singly (recheck.h), and
 * only that changes the mirror.  So changes that arrive meanwhile do no harm.
 *
 * Missing accounts are held, as after a refresh, when they are unusually many.  What is held is
 * looked for once a minute: the directory may show it again without telling.
 */
#ifndef MAILSTEAD_DIRECTORY_COMPARE_H
#define MAILSTEAD_DIRECTORY_COMPARE_H

#include "directory/recheck.h"

struct compare; /* on the heap; frees itself after compare_stop */

struct compare_report {
    uint64_t entries;   /* of the directory, so far */
    uint64_t differing; /* in both, with other content; or in the directory only */
    uint64_t missing;   /* in the mirror only */
    uint64_t held;      /* of the missing ones */
    struct recheck_tally tally;
    uint64_t elapsed_ms;
};

struct compare_events {
    /* Once a second while it runs. */
    void (*progress)(void *context, const struct compare_report *report);
    /* It is over; `error` NULL: it looked at everything. */
    void (*done)(void *context, const struct compare_report *report, const char *error);
};

/* Everything is borrowed until compare_stop. */
struct compare *compare_start(struct io_loop *loop, const struct directory_config *config,
                              struct account_reader *reader, struct mirror_writer *writer,
                              struct recheck *recheck);
/* What runs is over, with an error. */
void compare_stop(struct compare *compare);

/* The link of a follower that follows, or NULL: what runs is over. */
void compare_use(struct compare *compare, struct ldap_link *link);

/*
 * Compares at once, at COMPARE_URGENT times the configured rate; one that runs slowly is given up.
 * False when there is no link, or somebody else waits for one: nothing is called then.
 */
bool compare_now(struct compare *compare, const struct compare_events *events, void *context);

/* Something may be wrong: the next slow comparison starts within a minute. */
void compare_soon(struct compare *compare);

enum { COMPARE_URGENT = 10 };

#endif
