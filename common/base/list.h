/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked lists.  A node is a member of its element; a list
 * owns nothing.  A node that is in no list is linked to itself.
 */
#ifndef MAILSTEAD_BASE_LIST_H
#define MAILSTEAD_BASE_LIST_H

#include <stdbool.h>

#include "common/base/memory.h"

struct list {
    struct list *next;
    struct list *previous;
};

/* Makes `list` an empty list, or a node that is in none. */
static inline void list_init(struct list *list)
{
    list->next = list;
    list->previous = list;
}

/* True when the list has no element; for a node, when it is in no list. */
static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

/* Appends `node`, which is in no list, at the end of `list`. */
static inline void list_append(struct list *list, struct list *node)
{
    node->next = list;
    node->previous = list->previous;
    list->previous->next = node;
    list->previous = node;
}

/* Takes `node` out of its list, if it is in one. */
static inline void list_remove(struct list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

/* The element of type `type` whose member `member` is `node`. */
#define LIST_ELEMENT(node, type, member) CONTAINER_OF(node, type, member)

/* Walks the list `head`; the body may remove `item` from it, but no other node. */
#define LIST_EACH(item, head)                                                    \
    for (struct list *item = (head)->next, *item##_next = item->next;            \
         item != (head); item = item##_next, item##_next = item->next)

#endif
