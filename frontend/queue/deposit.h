/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operation that stores a message which a worker handed over: first collected from
 * the worker's messages, then given its destinations, then submitted.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_DEPOSIT_H
#define MAILSTEAD_FRONTEND_QUEUE_DEPOSIT_H

#include "common/base/wire.h"
#include "frontend/queue/committer.h"
#include "frontend/queue/messages.h"

enum { DEPOSIT_RECIPIENTS_MAX = 10000 };

struct deposit_recipient {
    struct span address, text, orcpt;
    enum queue_fate fate;    /* FAILED, DELIVERED: is only reported, where that is wanted */
    unsigned notify;         /* of enum mail_notify */
    int64_t not_before_ms;   /* 0: none */
    const char *destination; /* set by the owner before it is submitted; outlives the deposit */
};

struct deposit {
    struct operation operation; /* the owner sets done */
    struct list node;           /* the owner's */
    uint32_t number;            /* the worker's */
    uint64_t worker;            /* the owner's */
    void *context;              /* the owner's */
    struct store_message message;
    struct deposit_recipient *recipients;
    size_t count;
    int64_t now_ms;
    const char *hostname; /* ours; outlives the deposit */
    struct list memory;   /* copies of the worker's messages, that the spans point into */
    size_t memory_bytes;
    char body_file[QUEUE_FILE_NAME_SIZE];
    uint64_t id;     /* after the run; 0 when only a report was stored */
    bool has_report; /* after the run */
};

/* An empty deposit for the message `number`; deposit_free it. */
struct deposit *deposit_new(uint32_t number, int64_t now_ms, const char *hostname);
void deposit_free(struct deposit *deposit);

/*
 * Take what follows type and number in a QUEUE_RECIPIENTS or a QUEUE_STORE message.  False: the
 * worker broke the contract.
 */
bool deposit_take_recipients(struct deposit *deposit, struct span rest)
    __attribute__((warn_unused_result));
bool deposit_take_store(struct deposit *deposit, struct span rest)
    __attribute__((warn_unused_result));

#endif
