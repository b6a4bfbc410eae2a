/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports (RFC 3464): a message of our own to the sender of one that could not be delivered,
 * stored in the same batch in which the failed recipients are taken out; or of one that is late, in
 * the batch that notes that he knows.  The null sender never gets one.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_BOUNCE_H
#define MAILSTEAD_FRONTEND_QUEUE_BOUNCE_H

#include "frontend/queue/store.h"

enum { BOUNCE_HEAD_MAX = 65536 }; /* bytes of a message that its report may need */

/* A recipient that was given up, or is late; strings are borrowed. */
struct bounce_recipient {
    const char *address;
    const char *text; /* the reply, or our own words that begin with the status: "4.4.7 ..." */
    const char *destination; /* whose reply it was; NULL or "": nobody's */
};

/*
 * Adds a report about `recipients` of `message`, whose body is at least its first
 * BOUNCE_HEAD_MAX bytes.  It waits for its destination to be found.  True also when
 * none is due: the sender is null.  `is_answered` as for store_add.  False: the store failed.
 */
bool bounce_add(struct store *store, const char *hostname, const struct store_message *message,
                const struct bounce_recipient *recipients, size_t count, bool is_answered,
                int64_t now_ms) __attribute__((warn_unused_result));

/* The same about recipients that are late, and are tried until `retry_until_ms`. */
bool bounce_add_delay(struct store *store, const char *hostname,
                      const struct store_message *message,
                      const struct bounce_recipient *recipients, size_t count, int64_t now_ms,
                      int64_t retry_until_ms) __attribute__((warn_unused_result));

/* Whether a sender who said `notify` (enum store_notify; 0: nothing) wants to hear of that. */
bool bounce_is_wanted(unsigned notify, enum store_notify event);

/* The head of a body that is a file: up to BOUNCE_HEAD_MAX bytes; free() `head->data`'s memory. */
char *bounce_read_head(int fd, struct span *head);

#endif
