/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/mail_pool.h"

enum {
    MAIL_POOL_SURPLUS = 4, /* times as many as usual: for a moment, under load */
    MAIL_POOL_SURPLUS_S = 1
};

void mail_pool_init(struct mail_pool *pool, unsigned per_target_max, unsigned idle_s)
{
    *pool = (struct mail_pool){ .per_target_max = per_target_max, .idle_s = idle_s };
    list_init(&pool->idle);
    list_init(&pool->asking);
}

void mail_pool_close(struct mail_pool *pool)
{
    pool->is_closed = true;
    while (!list_is_empty(&pool->idle))
        mail_link_close(LIST_ELEMENT(pool->idle.next, struct mail_link, node));
}

static bool mail_pool_has_same_endpoints(const struct target *a, const struct target *b)
{
    if (a->endpoint_count != b->endpoint_count)
        return false;
    for (size_t i = 0; i < a->endpoint_count; i++)
        if (strcmp(a->endpoints[i].host, b->endpoints[i].host) != 0 ||
            a->endpoints[i].port != b->endpoints[i].port ||
            a->endpoints[i].is_unix != b->endpoints[i].is_unix)
            return false;
    return true;
}

/* Whether a connection to `a` is one to `b`, down to its certificate's name. */
static bool mail_pool_is_same(const struct target *a, const struct target *b)
{
    return strcmp(a->name, b->name) == 0 && a->tls == b->tls && a->tls_context == b->tls_context &&
           strcmp(a->tls_name, b->tls_name) == 0 && mail_pool_has_same_endpoints(a, b);
}

struct mail_link *mail_pool_take(struct mail_pool *pool, const struct target *target,
                                 const struct mail_link_options *options)
{
    for (struct list *node = pool->idle.previous; node != &pool->idle; node = node->previous) {
        struct mail_link *link = LIST_ELEMENT(node, struct mail_link, node);

        if (link->options.flavor != options->flavor || link->options.user != options->user ||
            link->options.tells_client != options->tells_client ||
            !smtp_client_is_ready(&link->machine) || !mail_pool_is_same(&link->target, target))
            continue;
        list_remove(node);
        mail_link_expect(link, 0);
        return link;
    }
    return NULL;
}

bool mail_pool_put(struct mail_pool *pool, struct mail_link *link)
{
    unsigned waiting = 0;

    LIST_EACH (node, &pool->idle)
        waiting +=
            mail_pool_is_same(&LIST_ELEMENT(node, struct mail_link, node)->target, &link->target);
    if (pool->is_closed || waiting >= MAIL_POOL_SURPLUS * pool->per_target_max)
        return false;
    list_append(&pool->idle, &link->node);
    mail_link_expect(link, waiting < pool->per_target_max ? pool->idle_s : MAIL_POOL_SURPLUS_S);
    return true;
}
