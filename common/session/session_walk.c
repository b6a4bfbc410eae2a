/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/session_walk.h"

void session_walk_begin(struct session_walk *walk, struct session_service *service)
{
    *walk = (struct session_walk){ .next = service->registry.next,
                                   .left = service->session_count,
                                   .service = service };
    list_append(&service->walks, &walk->node);
}

struct session *session_walk_next(struct session_walk *walk)
{
    struct list *found = walk->next;

    if (walk->left == 0 || found == &walk->service->registry)
        return NULL;
    walk->left--;
    walk->next = found->next;
    return LIST_ELEMENT(found, struct session, registry_node);
}

void session_walk_end(struct session_walk *walk)
{
    list_remove(&walk->node);
}

void session_walk_pass_over(struct session *session)
{
    LIST_EACH (node, &session->service->walks) {
        struct session_walk *walk = LIST_ELEMENT(node, struct session_walk, node);

        if (walk->next == &session->registry_node) {
            walk->next = walk->next->next;
            walk->left -= walk->left > 0;
        }
    }
    list_remove(&session->registry_node);
}
