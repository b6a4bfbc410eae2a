/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/preferred.h"

#include <stdlib.h>

#include "common/base/memory.h"
#include "common/base/random.h"
#include "directory/link_settings.h"

enum { PREFERRED_CONNECT_MS = 4000 };

struct preferred {
    struct io_loop *loop;
    const struct directory_config *config;
    void (*found)(void *context);
    void *context;
    struct ldap_link *link; /* NULL: not trying */
    uv_timer_t timer;       /* the next try */
};

static void preferred_on_ready(void *context)
{
    struct preferred *preferred = context;

    preferred_rest(preferred);
    preferred->found(preferred->context);
}

static void preferred_on_ended(void *context, const char *reason)
{
    (void)reason; /* it is tried again, and the other one serves */
    preferred_seek(context);
}

static void preferred_on_due(uv_timer_t *timer)
{
    static const struct ldap_link_events events = { .ready = preferred_on_ready,
                                                    .ended = preferred_on_ended };
    struct preferred *preferred = timer->data;
    struct ldap_settings settings =
        link_settings(preferred->config, preferred->config->uri.items[0], PREFERRED_CONNECT_MS);

    preferred->link = ldap_link_open(preferred->loop, &settings, &events, preferred);
}

void preferred_rest(struct preferred *preferred)
{
    uv_timer_stop(&preferred->timer);
    if (preferred->link)
        ldap_link_close(preferred->link);
    preferred->link = NULL;
}

void preferred_seek(struct preferred *preferred)
{
    uint64_t interval_ms = 1000 * (uint64_t)preferred->config->return_s;

    preferred_rest(preferred);
    if (interval_ms > 0)
        uv_timer_start(&preferred->timer, preferred_on_due,
                       interval_ms / 2 + random_below(interval_ms), 0);
}

struct preferred *preferred_start(struct io_loop *loop, const struct directory_config *config,
                                  void (*found)(void *context), void *context)
{
    struct preferred *preferred = memory_new(sizeof(*preferred));

    preferred->loop = loop;
    preferred->config = config;
    preferred->found = found;
    preferred->context = context;
    uv_timer_init(&loop->uv, &preferred->timer);
    preferred->timer.data = preferred;
    return preferred;
}

static void preferred_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void preferred_stop(struct preferred *preferred)
{
    preferred_rest(preferred);
    uv_close((uv_handle_t *)&preferred->timer, preferred_on_closed);
}
