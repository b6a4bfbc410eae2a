/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operation that writes down what became of recipients of one message: takes the
 * delivered ones out, reports the failed ones, gives the others their next attempt.
 * Repeating it does nothing: a row that is not there is done.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_SETTLE_H
#define MAILSTEAD_FRONTEND_QUEUE_SETTLE_H

#include "frontend/queue/committer.h"
#include "frontend/queue/messages.h"

struct outcome {
    uint64_t row;
    enum queue_fate fate;
    int64_t not_before_ms; /* 0: none */
    char text[QUEUE_TEXT_MAX + 1];
    bool is_held; /* PENDING, but waits for the administrator */
    bool is_ours; /* PENDING for a failure of our own, by which nothing expires */
};

struct settle_rules {
    const char *hostname; /* ours */
    int64_t retry_min_ms, retry_max_ms;
    int64_t unknown_delay_ms; /* before a recipient whose outcome is unknown is tried again */
    int64_t expiry_ms;        /* 0: nothing expires now */
    int64_t lifetime_ms;      /* the configured expiry, also while nothing expires */
    int64_t delay_ms;         /* after it a sender hears that his message is late; 0: never */
};

struct settle {
    struct operation operation; /* the owner sets done */
    struct settle_rules rules;  /* the owner may change expiry_ms between two runs */
    int64_t now_ms;             /* the same */
    unsigned jitter_permille;   /* one for all rows, so that they stay together */
    void *context, *job;        /* the owner's */
    uint64_t attempt, worker;   /* the owner's */
    bool has_report;            /* after the run: a report was stored */
    int64_t next_ms;            /* after the run: the earliest new attempt; INT64_MAX: none */
    size_t count;
    struct outcome outcomes[]; /* all of one message */
};

/* A settle operation for `count` (above 0) outcomes, zeroed but for `rules` and the jitter; free()
 * it. */
struct settle *settle_new(const struct settle_rules *rules, size_t count);

/* Writes it down within a batch: the operation's apply, for who does it inside another one. */
bool settle_apply(struct operation *operation, struct store *store)
    __attribute__((warn_unused_result));

/*
 * Tells the sender of a message that these of its recipients are late, within a batch; those
 * of whom he knows are left out.
 */
bool settle_tell_delay(struct store *store, const struct settle_rules *rules, const uint64_t *rows,
                       size_t count, int64_t now_ms) __attribute__((warn_unused_result));

/* The time after attempt number `attempts` (from 0) failed, by which it is tried again. */
int64_t settle_backoff_ms(const struct settle_rules *rules, unsigned attempts,
                          unsigned jitter_permille);

#endif
