/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message on its way through a mail session: its recipients, grouped by the
 * backend that owns them, the deliveries that are open towards those backends, and the
 * copy that is kept until the answer is known.
 *
 * Exactly one group with an open delivery is cut through; all else goes to the
 * fallback.  Without a fallback what cannot be delivered is refused temporarily.
 */
#ifndef MAILSTEAD_SESSION_MAIL_TRANSACTION_H
#define MAILSTEAD_SESSION_MAIL_TRANSACTION_H

#include "common/proto/trace.h"
#include "common/session/delivery.h"
#include "common/session/mail_fallback.h"

struct mail_transaction;

struct mail_group {
    struct list asking_node; /* in the pool's list, from its delivery's start to DATA */
    struct target target;
    struct delivery *delivery; /* NULL: none was needed, or it failed */
    struct mail_transaction *transaction;
    unsigned recipient_count; /* accepted ones */
    unsigned asked_count;     /* those that the delivery was given */
    bool peer_reports;        /* its backend does what NOTIFY asks for */
};

struct mail_recipient {
    char *path;      /* as given in RCPT */
    char *recipient; /* as the backend knows it */
    char *account;   /* at a node: the account's canonical name; else NULL */
    char *orcpt;     /* NULL: none */
    unsigned notify; /* of enum mail_notify */
    struct mail_group *group;
    unsigned index; /* in the group's delivery */
    unsigned moves; /* how often a node has said that it is another's, and we knew whose */
    enum mail_result result;
    struct mail_reply reply;
};

/* The answers that a session waits for; each comes once, maybe from inside the call that asked. */
struct mail_transaction_events {
    void (*rcpt_decided)(struct mail_transaction *transaction, const struct mail_reply *reply);
    void (*data_decided)(struct mail_transaction *transaction, const struct mail_reply *reply);
    /*
     * The message's fate is settled; `reply` is the answer to an SMTP client.  For LMTP see
     * mail_transaction_recipient_reply.  `is_lost`: a reply of the store never came and
     * nothing could be queued, or the sender is gone and nothing was: say nothing, close.
     */
    void (*concluded)(struct mail_transaction *transaction, const struct mail_reply *reply,
                      bool is_lost);
    /* Whether the sender is still there; what it will send again must not be queued too. */
    bool (*is_awaited)(const struct mail_transaction *transaction);
    /* Content may flow again after mail_transaction_is_full. */
    void (*writable)(struct mail_transaction *transaction);
    /* At a node: a recipient's account has another owner now, or none. */
    void (*moved)(struct mail_transaction *transaction);
};

struct mail_transaction {
    struct list node; /* in service->transactions, at a node */
    struct session *session;
    const struct mail_transaction_events *events;
    enum mail_flavor flavor; /* towards the backend */
    char reverse_path[MAIL_PATH_SIZE];
    struct mail_parameters parameters;
    struct forwarded forwarded;        /* whose message it is */
    bool may_relay;                    /* its sender may send to the world */
    struct mail_recipient *recipients; /* accepted ones */
    unsigned recipient_count, recipient_capacity;
    struct mail_group **groups;
    unsigned group_count;
    struct mail_recipient pending; /* the RCPT in question */
    struct mail_group *pending_group;
    struct delivery *cut; /* the delivery that the content goes to; borrowed from its group */
    struct mail_copy *copy;
    bool copy_is_broken;
    struct header_scan scan;
    struct mail_reply refusal; /* of the whole message, because of what is in it; code 0: none */
    bool is_storing;           /* the fallback will call back */
    bool is_courtesy;          /* what it stores are reports of success alone: `answer` stands */
    struct mail_reply answer;  /* is_courtesy */
    bool is_abandoned;         /* free it when the fallback has called back */
    uint64_t content_bytes;
};

/* A transaction of `session` from `reverse_path`. */
struct mail_transaction *mail_transaction_new(struct session *session, const char *reverse_path,
                                              const struct mail_parameters *parameters,
                                              const struct mail_transaction_events *events);

/* Gives it up at any stage: no backend gets an end of the content from now on.  Frees it. */
void mail_transaction_free(struct mail_transaction *transaction);

/* Decides about a recipient that `route` was found for; rcpt_decided follows. */
void mail_transaction_rcpt(struct mail_transaction *transaction, const char *path,
                           const struct mail_recipient_parameters *parameters,
                           const struct route *route);

/*
 * The directory says that `account` has the owner `host` now, or none (empty); or that any may have
 * another: `moved` follows when that concerns a recipient.
 */
void mail_transaction_follow(struct mail_transaction *transaction, struct span account,
                             struct span host);
void mail_transaction_follow_all(struct mail_transaction *transaction);

/* Decides whether content may come; data_decided follows (354 or a refusal). */
void mail_transaction_data(struct mail_transaction *transaction);

/*
 * Content; trace fields first.  While mail_transaction_is_full, stop until `writable`.
 * `is_scanned`: as smtp_server.content_is_scanned.
 */
void mail_transaction_content(struct mail_transaction *transaction, struct span content,
                              bool is_scanned);
bool mail_transaction_is_full(const struct mail_transaction *transaction);

/* No more content comes for now: nothing of it waits here. */
void mail_transaction_flush(struct mail_transaction *transaction);

/* Our own header fields, before any content. */
void mail_transaction_trace(struct mail_transaction *transaction, struct span fields);

/* The content is complete; concluded follows. */
void mail_transaction_end(struct mail_transaction *transaction);

/* After concluded, for LMTP: the answer for accepted recipient `index`. */
struct mail_reply mail_transaction_recipient_reply(const struct mail_transaction *transaction,
                                                   unsigned index);

/* After concluded with `is_lost`: so many recipients, from the first on, have a reply. */
unsigned mail_transaction_known_replies(const struct mail_transaction *transaction);

#endif
