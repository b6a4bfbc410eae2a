/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/alive.h"

#include <stdlib.h>

#include "common/base/memory.h"

enum { ALIVE_SILENCE_MS = 15000, ALIVE_ANSWER_MS = 10000 };

struct alive {
    struct ldap_link *link; /* NULL: none */
    void (*lost)(void *context);
    void *context;
    uv_timer_t timer;
    bool was_heard; /* since the timer came last */
};

static void alive_on_done(void *context, const struct ldap_answer *answer)
{
    struct alive *alive = context;

    if (answer->code == LDAP_CODE_TIMEOUT)
        alive->lost(alive->context);
}

static void alive_ignore_entry(void *context, const struct ldap_entry *entry)
{
    (void)context;
    (void)entry;
}

/* After a silence asks for the root of the server's tree; any answer will do. */
static void alive_on_due(uv_timer_t *timer)
{
    static const char *const attributes[] = { "1.1", NULL };
    static const struct ldap_search_events events = { .entry = alive_ignore_entry,
                                                      .done = alive_on_done };
    static const struct ldap_search root = { .base = "",
                                             .scope = LDAP_SCOPE_OF_BASE,
                                             .filter = "(objectClass=*)",
                                             .attributes = attributes,
                                             .timeout_ms = ALIVE_ANSWER_MS };
    struct alive *alive = timer->data;

    if (!alive->was_heard)
        (void)ldap_link_search(alive->link, &root, &events, alive);
    alive->was_heard = false;
}

void alive_watch(struct alive *alive, struct ldap_link *link)
{
    alive->link = link;
    alive->was_heard = true;
    if (link)
        uv_timer_start(&alive->timer, alive_on_due, ALIVE_SILENCE_MS, ALIVE_SILENCE_MS);
    else
        uv_timer_stop(&alive->timer);
}

void alive_heard(struct alive *alive)
{
    alive->was_heard = true;
}

struct alive *alive_start(struct io_loop *loop, void (*lost)(void *context), void *context)
{
    struct alive *alive = memory_new(sizeof(*alive));

    alive->lost = lost;
    alive->context = context;
    uv_timer_init(&loop->uv, &alive->timer);
    alive->timer.data = alive;
    return alive;
}

static void alive_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void alive_stop(struct alive *alive)
{
    uv_close((uv_handle_t *)&alive->timer, alive_on_closed);
}
