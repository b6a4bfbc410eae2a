/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copies that mail sessions keep until their backends have answered, and the
 * way from there into the queue: the mail_fallback of a frontend.  A copy is in
 * memory up to MESSAGE_COPY_MEMORY bytes, then an unsynced file under the queue's
 * directory; all copies of a worker together stay under MESSAGE_COPIES_MEMORY.
 */
#ifndef MAILSTEAD_FRONTEND_MESSAGE_COPY_H
#define MAILSTEAD_FRONTEND_MESSAGE_COPY_H

#include "common/service/config.h"
#include "common/session/mail_fallback.h"
#include "frontend/queue_client.h"

enum { MESSAGE_COPY_MEMORY = 256 * 1024, MESSAGE_COPIES_MEMORY = 64 * 1024 * 1024 };

/* The context of message_copy_fallback: one a worker. */
struct message_copies {
    const struct config *config;
    struct queue_client *queue;
    size_t memory_bytes; /* held by all copies */
};

extern const struct mail_fallback message_copy_fallback;

#endif
