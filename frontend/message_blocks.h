/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for the copies of messages: a small block at first, then large ones, all under one
 * cap for the worker.  Large blocks that are given back are kept for the next message, since
 * memory that is fresh from the kernel costs more than the copying.
 */
#ifndef MAILSTEAD_FRONTEND_MESSAGE_BLOCKS_H
#define MAILSTEAD_FRONTEND_MESSAGE_BLOCKS_H

#include "common/base/list.h"
#include "common/base/span.h"

enum {
    MESSAGE_BLOCK_SMALL = 8192,
    MESSAGE_BLOCK_LARGE = 65536,
    MESSAGE_BLOCKS_MEMORY = 64 * 1024 * 1024 /* of all messages of a worker */
};

/* One a worker. */
struct message_blocks {
    struct list free; /* of large blocks */
    unsigned free_count;
    size_t used_bytes; /* of all blocks that messages hold */
};

/* The content of one message, in order. */
struct message_content {
    struct message_blocks *owner;
    struct list blocks; /* of struct message_block */
    size_t length, size_bytes;
};

struct message_block {
    struct list node;
    size_t length, capacity;
    char bytes[];
};

void message_blocks_init(struct message_blocks *blocks);
void message_blocks_fini(struct message_blocks *blocks); /* no message holds any */

void message_content_init(struct message_content *content, struct message_blocks *owner);
void message_content_fini(struct message_content *content);

/*
 * Takes as much off the front of `*more` as there is memory for; what is left is not empty when
 * this message, or all together, hold as much as they may.  A message of at most
 * MESSAGE_BLOCK_LARGE bytes is in one block.
 */
void message_content_append(struct message_content *content, struct span *more);

/* All of a message that is in one block, or empty. */
struct span message_content_span(const struct message_content *content);

/* True when it is in more than one. */
static inline bool message_content_is_parted(const struct message_content *content)
{
    return content->blocks.next != content->blocks.previous;
}

/* Writes all of it to `fd`; false and errno when that fails.  May run in another thread. */
bool message_content_write(const struct message_content *content, int fd)
    __attribute__((warn_unused_result));

/* write(2) until all is written; false and errno. */
bool message_write(int fd, struct span bytes) __attribute__((warn_unused_result));

#endif
