/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports (RFC 3464): a message of our own to the sender of one that could not be delivered,
 * stored in the same batch in which the failed recipients are taken out; of one that is late, in
 * the batch that notes that he knows; or of one that was delivered, when he asked for that (RFC
 * 3461).  The null sender never gets one.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_BOUNCE_H
#define MAILSTEAD_FRONTEND_QUEUE_BOUNCE_H

#include "common/proto/report.h"
#include "frontend/queue/store.h"

enum { BOUNCE_HEAD_MAX = 65536 }; /* bytes of a message that its report may need */

/* A recipient that a report is about; strings are borrowed. */
struct bounce_recipient {
    const char *address;
    const char *text; /* the reply, or our own words that begin with the status: "4.4.7 ..." */
    const char *destination; /* whose reply it was; NULL or "": nobody's */
    const char *orcpt;       /* NULL or "": none */
    bool is_relayed;         /* SUCCESS: to a system that says nothing of what follows */
};

/* A report about `recipients` of `message`, whose body is at least its first BOUNCE_HEAD_MAX bytes.
 */
struct bounce {
    enum report_kind kind;
    const char *hostname; /* ours */
    const struct store_message *message;
    const struct bounce_recipient *recipients;
    size_t count;     /* 0: nothing is to be reported */
    bool is_answered; /* as for store_add */
    int64_t now_ms;
    int64_t retry_until_ms; /* DELAYED */
};

/*
 * Adds a report.  It waits for its destination to be found.  True also when none is due: the
 * sender is null, or there are no recipients.  False: the store failed.
 */
bool bounce_add(struct store *store, const struct bounce *bounce)
    __attribute__((warn_unused_result));

/* Whether a sender who said `notify` (enum mail_notify; 0: nothing) wants to hear of that. */
bool bounce_is_wanted(unsigned notify, enum mail_notify event);

/* The head of a body that is a file: up to BOUNCE_HEAD_MAX bytes; free() `head->data`'s memory. */
char *bounce_read_head(int fd, struct span *head);

#endif
