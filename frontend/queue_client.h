/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's connection to the queue process.  It connects by itself, and again when
 * the connection breaks (the queue process was started anew).  Two directions:
 *
 * Storing: queue_client_store() hands a message over and calls back once it is
 * committed, or is not.  Only `stored` true may become a 250.
 *
 * Delivering: the queue gives deliveries through the `deliver` callback.  The worker
 * delivers, sets each recipient's fate, and calls queue_delivery_finish().  The result
 * is kept here until the queue has committed it, and sent again after a reconnect; deliveries
 * that still run are claimed at each reconnect, so that nobody else gets them.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_CLIENT_H
#define MAILSTEAD_FRONTEND_QUEUE_CLIENT_H

#include "common/io/loop.h"
#include "common/proto/mail.h"
#include "common/service/config.h"
#include "frontend/queue/messages.h"

struct queue_client;

/* A recipient to store; spans are borrowed for the call. */
struct queue_recipient {
    struct span address; /* as given in RCPT, without brackets */
    /*
     * PENDING: deliver as soon as possible; UNKNOWN: a backend may have it already; FAILED: only
     * report `text` to the sender; DELIVERED: the same, of a success.  Others are not for storing.
     */
    enum queue_fate fate;
    unsigned not_before_s; /* earliest attempt, from now */
    struct span text;      /* the last reply, "550 5.1.1 no such user"; may be empty */
    unsigned notify;       /* of enum mail_notify */
    struct span orcpt;     /* may be empty */
};

/* What is stored.  All spans are borrowed for the call, except `body`. */
struct queue_store {
    struct span session_id;
    struct span reverse_path; /* without brackets; empty: the null sender, never reported to */
    const struct mail_parameters *parameters; /* of MAIL, but for the size; NULL: none */
    bool may_relay; /* authenticated: recipients of foreign domains go to the relay host */
    const struct queue_recipient *recipients;
    size_t recipient_count; /* at least 1 */
    /*
     * The message with its trace headers, in CRLF lines, not dot-stuffed: either `body`, which
     * must stay valid until the callback, or a file of queue_incoming_create: `fd` and `file_name`,
     * which the client takes over (synced, then given to the queue, or closed and removed).
     */
    struct span body;
    int fd; /* -1: `body` */
    const char *file_name;
    /*
     * Or, in place of both, a message that is not in one piece: `write` puts its `write_length`
     * bytes into a file, from another thread, before the callback; false and errno when it cannot.
     */
    bool (*write)(const void *context, int fd); /* NULL: `body` or `fd` */
    const void *write_context;
    size_t write_length;
};

/*
 * The end of a store, once, never from inside queue_client_store: `message_id` is empty when not
 * stored. Not stored means: answer 451; the queue process failed to commit or is away.
 */
typedef void queue_stored(void *context, bool stored, struct span message_id);

struct queue_delivery_recipient {
    uint64_t row;
    struct span address;   /* as given in RCPT: for X-Original-To */
    struct span recipient; /* for RCPT TO: the canonical name with the detail kept */
    unsigned notify;       /* of enum mail_notify */
    struct span orcpt;     /* may be empty */
    enum queue_fate fate;  /* PENDING until set */
    unsigned not_before_s;
    char text[QUEUE_TEXT_MAX + 1];
};

/* A delivery in this worker's hand; owned by the client until queue_delivery_finish. */
struct queue_delivery {
    uint64_t attempt;
    char message_id[QUEUE_ID_SIZE];
    struct span session_id; /* of the session in which the message came */
    const char *backend;    /* a hostServer value; "": the relay host */
    struct span reverse_path;
    struct mail_parameters parameters;
    struct queue_delivery_recipient *recipients;
    size_t recipient_count;
    struct span body; /* when `fd` is -1 */
    int fd;           /* for reading, shared with nobody; closed by finish */
    void *context;    /* the worker's own, NULL at first */
    /* ... own members below */
    struct queue_client *client;
    struct list node;
    char *memory; /* what the spans point into */
};

struct queue_client_events {
    /* A delivery to make; the worker ends it with queue_delivery_finish, at once or later. */
    void (*deliver)(void *context, struct queue_delivery *delivery);
    /* Last call after queue_client_stop; may be NULL. */
    void (*stopped)(void *context);
};

/*
 * Starts; `slots` is how many deliveries the worker takes at a time (0: none).
 * The client is on the heap and owns itself until `stopped`.  `config` outlives it.
 */
struct queue_client *queue_client_start(struct io_loop *loop, const struct config *config,
                                        unsigned slots, const struct queue_client_events *events,
                                        void *context);

/* Changes the number of slots; 0 when the worker drains. */
void queue_client_set_slots(struct queue_client *client, unsigned slots);

/* True while connected; for the answer to RCPT (451 before DATA is better than after). */
bool queue_client_is_connected(const struct queue_client *client);

/* True while the queue process says that it cannot write: the disk is full, or worse. */
bool queue_client_is_refusing(const struct queue_client *client);

/* Deliveries in hand and results not yet committed: a draining worker waits until it is 0. */
size_t queue_client_unfinished(const struct queue_client *client);

/* Stores a message; `done` is called once, later, with `context`.  Not after queue_client_stop. */
void queue_client_store(struct queue_client *client, const struct queue_store *message,
                        queue_stored *done, void *context);

/* Sets the fate of recipient `index`; `text` (the reply) is cut and its line breaks become spaces.
 */
void queue_delivery_set(struct queue_delivery *delivery, size_t index, enum queue_fate fate,
                        unsigned not_before_s, struct span text);

/* Sets the same fate for every recipient. */
void queue_delivery_set_all(struct queue_delivery *delivery, enum queue_fate fate,
                            unsigned not_before_s, struct span text);

/* The delivery is over: its result goes to the queue.  The delivery is gone after this call. */
void queue_delivery_finish(struct queue_delivery *delivery);

/*
 * Ends it: stores that wait for their answer are answered "not stored", deliveries that still
 * run are freed (the queue counts their outcome as unknown).
 */
void queue_client_stop(struct queue_client *client);

/*
 * Makes an empty file for a large body in queue.directory/incoming: a descriptor for reading and
 * writing, or -1 and errno.  Write with plain write(2), do not sync.
 */
int queue_incoming_create(const struct config *config, char name[QUEUE_FILE_NAME_SIZE])
    __attribute__((warn_unused_result));

/* Removes a file that is not stored after all, and closes `fd`. */
void queue_incoming_discard(const struct config *config, const char *name, int fd);

#endif
