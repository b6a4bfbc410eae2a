/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the queue client share; for them alone. */
#ifndef MAILSTEAD_FRONTEND_QUEUE_CLIENT_PRIVATE_H
#define MAILSTEAD_FRONTEND_QUEUE_CLIENT_PRIVATE_H

#include "common/io/channel.h"
#include "frontend/queue_client.h"

struct queue_client {
    struct io_loop *loop;
    const struct config *config;
    const struct queue_client_events *events;
    void *context;
    struct channel channel;
    uv_timer_t timer; /* connects */
    unsigned slots;
    uint32_t last_number;
    struct list deliveries; /* in the worker's hand */
    struct list results;    /* not yet committed by the queue */
    struct list stores;     /* in any state */
    size_t unfinished;      /* deliveries and results */
    unsigned open_handles;  /* and files being written */
    bool is_connected, is_refusing, is_stopping;
};

/* QUEUE_STORED has come. */
void queue_client_take_stored(struct queue_client *client, struct wire_reader *reader);

/* Answers every store that was handed to the queue with "not stored". */
void queue_client_fail_sent(struct queue_client *client);

/* One handle or file less; at 0 a stopped client is freed. */
void queue_client_release(struct queue_client *client);

#endif
