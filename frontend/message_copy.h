/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copies that mail sessions keep until their backends have answered, and the
 * way from there into the queue: the mail_fallback of a frontend.  A copy is in
 * memory (message_blocks.h) as far as that goes, then an unsynced file under the queue's
 * directory.
 */
#ifndef MAILSTEAD_FRONTEND_MESSAGE_COPY_H
#define MAILSTEAD_FRONTEND_MESSAGE_COPY_H

#include "common/service/config.h"
#include "common/session/mail_fallback.h"
#include "frontend/message_blocks.h"
#include "frontend/queue_client.h"

/* The context of message_copy_fallback: one a worker. */
struct message_copies {
    const struct config *config;
    struct queue_client *queue;
    struct message_blocks blocks;
};

extern const struct mail_fallback message_copy_fallback;

#endif
