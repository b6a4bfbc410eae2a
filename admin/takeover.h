/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The takeover table, and what it comes to: who would carry whose accounts after one failure, and
 * after a second one.  Pure: it is given what is known, and asks nobody.
 *
 * The accounts of a backend that fails go as a whole to the first of its siblings that is not
 * away; when that one fails too, all that it carries goes to the first of its own.
 */
#ifndef MAILSTEAD_ADMIN_TAKEOVER_H
#define MAILSTEAD_ADMIN_TAKEOVER_H

#include "common/service/backend.h"

enum { TAKEOVER_NOBODY = BACKENDS_MAX };

struct takeover_backend {
    const char *name;
    const struct string_list *siblings; /* NULL: none */
    unsigned weight;
    bool is_away; /* nothing should go there: set leaving or down, left, or it does not answer */
    uint64_t accounts; /* with this hostServer */
};

/* Both borrowed. */
struct takeover_table {
    const struct takeover_backend *backends;
    size_t count; /* at most BACKENDS_MAX */
};

/* Why nobody takes a backend's accounts over. */
enum takeover_lack {
    TAKEOVER_FOUND,
    TAKEOVER_NO_SIBLINGS, /* it has none */
    TAKEOVER_UNKNOWN,     /* none of them is a backend */
    TAKEOVER_AWAY,        /* those that there are do not serve */
    TAKEOVER_LOOP         /* the table leads back to what has failed already */
};

/* The index of the backend called so, or TAKEOVER_NOBODY. */
size_t takeover_find(const struct takeover_table *table, const char *name);

struct takeover_failure {
    size_t failed;
    size_t to; /* or TAKEOVER_NOBODY */
    enum takeover_lack lack;
    uint64_t accounts; /* of the failed one, which are lost when nobody takes them */
    uint64_t carried;  /* accounts that the taker then has */
    unsigned percent;  /* of its share by weight, takeover_percent */
};

/* What it comes to when backend `index` fails. */
struct takeover_failure takeover_fail(const struct takeover_table *table, size_t index);

/*
 * After that failure, another: the one that would cost most.  That is the one with the most
 * accounts that nobody takes over, or else the one whose taker has most, for its share, to carry.
 * `failed` is TAKEOVER_NOBODY when there is no other backend.
 */
struct takeover_failure takeover_fail_again(const struct takeover_table *table,
                                            const struct takeover_failure *first);

/*
 * How much of its share by weight among all backends `accounts` are for a backend: 100 is just
 * that share.  0 when there are no accounts at all, UINT_MAX when its weight is 0.
 */
unsigned takeover_percent(const struct takeover_table *table, size_t index, uint64_t accounts);

/* How many other backends have it as their first sibling. */
size_t takeover_first_choices(const struct takeover_table *table, size_t index);

#endif
