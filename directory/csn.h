/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a server or a follower has come, in OpenLDAP's own terms: for each server
 * identifier the change sequence number (CSN) of its last change.  A CSN is
 * "20260131235959.123456Z#000000#SID#000000"; those of one server compare as texts.
 */
#ifndef MAILSTEAD_DIRECTORY_CSN_H
#define MAILSTEAD_DIRECTORY_CSN_H

#include <stdbool.h>

#include "common/base/span.h"

enum { CSN_SIZE = 64, CSN_SERVERS_MAX = 32 };

struct csn_set {
    char items[CSN_SERVERS_MAX][CSN_SIZE]; /* one a server */
    size_t count;
};

/* Adds a CSN; of one server the newer one stays.  False when it is none, or there are too many. */
bool csn_set_add(struct csn_set *set, struct span csn);

/* The CSNs of a synchronisation cookie ("rid=...,csn=...;..."); none for another server's cookie.
 */
struct csn_set csn_set_from_cookie(struct span cookie);

/* The CSN in `set` of the server that made `csn`, or NULL. */
const char *csn_set_find(const struct csn_set *set, const char *csn);

/* True when `set` has all that `goal` has: no change of `goal` is newer.  An empty goal is. */
bool csn_set_has_reached(const struct csn_set *set, const struct csn_set *goal);

/*
 * By how much the slowest server's changes in `set` are behind `goal`, in milliseconds of the
 * servers' clocks; -1 when nothing can be said.
 */
int64_t csn_set_lag_ms(const struct csn_set *set, const struct csn_set *goal);

#endif
