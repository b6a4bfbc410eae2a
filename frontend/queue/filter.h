/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which recipients a command of the administrator means.  In a request:
 *
 *     "ids": ["12", ...]     those of these messages
 *     "sender": "a@x"        of messages from there; "<>" or "": from the null sender
 *     "recipient": "b@y"     to this address
 *     "domain": "y"          to addresses of this domain
 *     "backend": "sv1"       for this backend; "relay-host": for the relay host
 *     "older_than_s": 3600   of messages that arrived longer ago
 *     "state": "held"        "pending", "held", "set-aside", or "unknown": pending, and the
 *                            reply to the last attempt was lost
 *
 * All that is given must be true.  Addresses compare without regard to case.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_FILTER_H
#define MAILSTEAD_FRONTEND_QUEUE_FILTER_H

#include <jansson.h>

#include "frontend/queue/store.h"

struct filter {
    uint64_t *ids; /* owned, ascending; NULL: of any message */
    size_t id_count;
    char *sender, *recipient, *domain, *backend, *state; /* owned; NULL: any */
    int64_t arrived_before_ms;                           /* INT64_MAX: any */
};

/* Reads it from a request.  False and `error`, and filter_fini does nothing: something in it makes
 * no sense. */
bool filter_init(struct filter *filter, const json_t *request, int64_t now_ms, const char **error);
void filter_fini(struct filter *filter);

/* Whether a recipient is meant, as far as what is not its id says; the view is store_look's. */
bool filter_matches(const struct filter *filter, const struct store_view *view);

/*
 * The range of rows that is to be looked at after row `cursor`: `*after` and `*last` for
 * store_look.  False at the end.
 */
bool filter_range(const struct filter *filter, uint64_t cursor, uint64_t *after, uint64_t *last);

/* A message id in decimal; 0 when the text is none. */
uint64_t filter_parse_id(const char *text);

#endif
