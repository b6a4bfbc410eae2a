/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/message_blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/memory.h"

/* What one message may hold for itself alone; what is kept for the next ones. */
enum { CONTENT_MAX = 4 * 1024 * 1024, FREE_BLOCKS_MAX = 64 };

void message_blocks_init(struct message_blocks *blocks)
{
    *blocks = (struct message_blocks){ .free_count = 0 };
    list_init(&blocks->free);
}

void message_blocks_fini(struct message_blocks *blocks)
{
    while (!list_is_empty(&blocks->free)) {
        struct list *node = blocks->free.next;

        list_remove(node);
        free(LIST_ELEMENT(node, struct message_block, node));
    }
}

static struct message_block *block_new(struct message_blocks *blocks, size_t capacity)
{
    struct message_block *block;

    if (capacity == MESSAGE_BLOCK_LARGE && blocks->free_count > 0) {
        block = LIST_ELEMENT(blocks->free.previous, struct message_block, node);
        list_remove(&block->node);
        blocks->free_count--;
    } else {
        block = memory_new(sizeof(*block) + capacity);
        list_init(&block->node);
    }
    block->length = 0;
    block->capacity = capacity;
    blocks->used_bytes += capacity;
    return block;
}

static void block_free(struct message_blocks *blocks, struct message_block *block)
{
    list_remove(&block->node);
    blocks->used_bytes -= block->capacity;
    if (block->capacity == MESSAGE_BLOCK_LARGE && blocks->free_count < FREE_BLOCKS_MAX) {
        list_append(&blocks->free, &block->node);
        blocks->free_count++;
    } else {
        free(block);
    }
}

void message_content_init(struct message_content *content, struct message_blocks *owner)
{
    *content = (struct message_content){ .owner = owner };
    list_init(&content->blocks);
}

void message_content_fini(struct message_content *content)
{
    while (!list_is_empty(&content->blocks))
        block_free(content->owner, LIST_ELEMENT(content->blocks.next, struct message_block, node));
    content->length = content->size_bytes = 0;
}

/* A block more at the end; NULL when there is no memory for it. */
static struct message_block *content_grow(struct message_content *content, size_t capacity)
{
    struct message_block *block;

    if (content->size_bytes + capacity > CONTENT_MAX ||
        content->owner->used_bytes + capacity > MESSAGE_BLOCKS_MEMORY)
        return NULL;
    block = block_new(content->owner, capacity);
    list_append(&content->blocks, &block->node);
    content->size_bytes += capacity;
    return block;
}

/* The message has outgrown its small block: it moves to a large one. */
static struct message_block *content_enlarge(struct message_content *content,
                                             struct message_block *small)
{
    struct message_block *large = content_grow(content, MESSAGE_BLOCK_LARGE);

    if (!large)
        return NULL;
    memcpy(large->bytes, small->bytes, small->length);
    large->length = small->length;
    content->size_bytes -= small->capacity;
    block_free(content->owner, small);
    return large;
}

/* The block that takes the next byte; NULL when there is none. */
static struct message_block *content_last(struct message_content *content, size_t wanted)
{
    struct message_block *last;

    if (list_is_empty(&content->blocks))
        return content_grow(content, wanted <= MESSAGE_BLOCK_SMALL ? MESSAGE_BLOCK_SMALL
                                                                   : MESSAGE_BLOCK_LARGE);
    last = LIST_ELEMENT(content->blocks.previous, struct message_block, node);
    if (last->length + wanted <= last->capacity)
        return last;
    if (last->capacity == MESSAGE_BLOCK_SMALL)
        return content_enlarge(content, last);
    return last->length < last->capacity ? last : content_grow(content, MESSAGE_BLOCK_LARGE);
}

void message_content_append(struct message_content *content, struct span *more)
{
    while (more->length > 0) {
        struct message_block *last = content_last(content, more->length);
        struct span part;

        if (!last)
            return;
        part = span_take(*more, last->capacity - last->length);
        memcpy(last->bytes + last->length, part.data, part.length);
        last->length += part.length;
        content->length += part.length;
        *more = span_drop(*more, part.length);
    }
}

struct span message_content_span(const struct message_content *content)
{
    const struct message_block *first;

    if (list_is_empty(&content->blocks))
        return SPAN_EMPTY;
    first = LIST_ELEMENT(content->blocks.next, struct message_block, node);
    return span_of(first->bytes, first->length);
}

bool message_write(int fd, struct span bytes)
{
    while (bytes.length > 0) {
        ssize_t written = write(fd, bytes.data, bytes.length);

        if (written < 0 && errno != EINTR)
            return false;
        bytes = span_drop(bytes, written > 0 ? (size_t)written : 0);
    }
    return true;
}

bool message_content_write(const struct message_content *content, int fd)
{
    for (const struct list *node = content->blocks.next; node != &content->blocks;
         node = node->next) {
        const struct message_block *block = LIST_ELEMENT(node, struct message_block, node);

        if (!message_write(fd, span_of(block->bytes, block->length)))
            return false;
    }
    return true;
}
