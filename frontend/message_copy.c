/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy that cannot be kept (full disk) says so at the append; the message may
 * still reach its backend, and is refused with 451 when it does not.
 */
#include "frontend/message_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

struct mail_copy {
    struct message_copies *owner;
    struct message_content content; /* empty once it is in a file */
    int fd;                         /* -1: in memory */
    char file_name[QUEUE_FILE_NAME_SIZE];
    mail_stored *done;
    void *done_context;
};

static struct mail_copy *message_copy_new(void *context)
{
    struct mail_copy *copy = memory_new(sizeof(*copy));

    copy->owner = context;
    message_content_init(&copy->content, &copy->owner->blocks);
    copy->fd = -1;
    return copy;
}

static void message_copy_free(struct mail_copy *copy)
{
    if (copy->fd >= 0)
        queue_incoming_discard(copy->owner->config, copy->file_name, copy->fd);
    message_content_fini(&copy->content);
    free(copy);
}

static bool message_copy_fail(const struct mail_copy *copy)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "copy_failed",
              LOG_TEXT("directory", copy->owner->config->queue.directory),
              LOG_TEXT("file", copy->file_name), LOG_TEXT("why", strerror(errno)));
    return false;
}

/* Moves what is in memory to a file; what follows goes there too. */
static bool message_copy_spill(struct mail_copy *copy)
{
    copy->fd = queue_incoming_create(copy->owner->config, copy->file_name);
    if (copy->fd < 0 || !message_content_write(&copy->content, copy->fd))
        return false;
    message_content_fini(&copy->content);
    return true;
}

static bool message_copy_append(struct mail_copy *copy, struct span more)
{
    if (copy->fd < 0)
        message_content_append(&copy->content, &more);
    if (more.length == 0)
        return true;
    if (copy->fd < 0 && !message_copy_spill(copy))
        return message_copy_fail(copy);
    return message_write(copy->fd, more) || message_copy_fail(copy);
}

static void message_copy_stored(void *context, bool stored, struct span message_id)
{
    struct mail_copy *copy = context;
    mail_stored *done = copy->done;
    void *done_context = copy->done_context;

    (void)message_id; /* the queue logs it beside the session's id */
    message_copy_free(copy);
    done(done_context, stored);
}

static enum queue_fate message_copy_fate(enum mail_fate fate)
{
    switch (fate) {
    case MAIL_FATE_FAILED:
        return QUEUE_FAILED;
    case MAIL_FATE_UNKNOWN:
        return QUEUE_UNKNOWN;
    case MAIL_FATE_DELIVERED:
        return QUEUE_DELIVERED;
    case MAIL_FATE_PENDING:
    case MAIL_FATE_NONE:
        break;
    }
    return QUEUE_PENDING;
}

/* In the pool's thread, while nobody touches the copy. */
static bool message_copy_write(const void *context, int fd)
{
    return message_content_write(context, fd);
}

static void message_copy_store(void *context, struct mail_copy *copy,
                               const struct mail_stored_envelope *envelope, mail_stored *done,
                               void *done_context)
{
    struct message_copies *copies = context;
    struct queue_recipient *recipients = memory_new(envelope->count * sizeof(*recipients));
    struct queue_store store = {
        .session_id = span_from_string(envelope->session_id),
        .reverse_path = span_from_string(envelope->reverse_path),
        .parameters = envelope->parameters,
        .may_relay = envelope->may_relay,
        .recipients = recipients,
        .recipient_count = envelope->count,
        .body = message_content_span(&copy->content),
        .fd = copy->fd,
        .file_name = copy->fd >= 0 ? copy->file_name : NULL,
    };
    bool is_parted = copy->fd < 0 && message_content_is_parted(&copy->content);

    for (unsigned i = 0; i < envelope->count; i++) {
        enum mail_fate fate = envelope->recipients[i].fate;

        recipients[i] = (struct queue_recipient){
            .address = span_from_string(envelope->recipients[i].recipient),
            .fate = message_copy_fate(fate),
            .not_before_s = fate == MAIL_FATE_UNKNOWN ? copies->config->queue.unknown_delay_s : 0,
            .text = span_from_string(envelope->recipients[i].text),
            .notify = envelope->recipients[i].notify,
            .orcpt = span_from_string(envelope->recipients[i].orcpt),
        };
    }
    if (is_parted) {
        store.body = SPAN_EMPTY;
        store.write = message_copy_write;
        store.write_context = &copy->content;
        store.write_length = copy->content.length;
    }
    copy->done = done;
    copy->done_context = done_context;
    copy->fd = -1; /* the client has taken the file over */
    queue_client_store(copies->queue, &store, message_copy_stored, copy);
    free(recipients);
}

static enum mail_fallback_state message_copy_state(void *context)
{
    const struct message_copies *copies = context;

    if (!queue_client_is_connected(copies->queue))
        return MAIL_FALLBACK_AWAY;
    return queue_client_is_refusing(copies->queue) ? MAIL_FALLBACK_FULL : MAIL_FALLBACK_READY;
}

const struct mail_fallback message_copy_fallback = {
    .state = message_copy_state,
    .copy_new = message_copy_new,
    .copy_append = message_copy_append,
    .copy_free = message_copy_free,
    .store = message_copy_store,
};
