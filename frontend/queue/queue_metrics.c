/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database and the disk are asked by the committer, beside its commits.  A database that cannot
 * be read now leaves its metrics out; that it cannot, the board shows.
 */
#include "frontend/queue/queue_metrics.h"

#include <stdlib.h>

#include "common/service/metrics.h"

struct measuring {
    struct operation operation;
    struct commands *commands;
    struct control_request *request;
    int64_t oldest_ms; /* its arrival; 0: the queue is empty */
    uint64_t free_bytes;
    bool has_room; /* free_bytes is known */
};

static bool measuring_apply(struct operation *operation, struct store *store)
{
    struct measuring *measuring = CONTAINER_OF(operation, struct measuring, operation);

    measuring->has_room = store_find_room(store, &measuring->free_bytes);
    return store_find_oldest(store, &measuring->oldest_ms);
}

static void reply_counts(struct control_request *request, const struct store_counts *counts)
{
    control_reply(request,
                  METRICS_SAMPLE("mailstead_queue_recipients_held", (double)counts->held, NULL));
    control_reply(request, METRICS_SAMPLE("mailstead_queue_recipients_set_aside",
                                          (double)counts->set_aside, NULL));
}

static void measuring_done(struct operation *operation, bool is_committed)
{
    struct measuring *measuring = CONTAINER_OF(operation, struct measuring, operation);
    struct commands *commands = measuring->commands;
    int64_t age_ms = 0;

    if (measuring->oldest_ms > 0)
        age_ms = commands->now_ms(commands->context) - measuring->oldest_ms;
    reply_counts(measuring->request, &commands->committer->counts);
    if (is_committed)
        control_reply(measuring->request,
                      METRICS_SAMPLE("mailstead_queue_oldest_age_seconds",
                                     age_ms > 0 ? (double)age_ms / 1000 : 0, NULL));
    if (measuring->has_room)
        control_reply(measuring->request, METRICS_SAMPLE("mailstead_queue_disk_free_bytes",
                                                         (double)measuring->free_bytes, NULL));
    control_finish(measuring->request, NULL);
    free(measuring);
}

void queue_metrics_run(struct control_request *request, json_t *arguments, void *context)
{
    struct commands *commands = context;
    struct measuring *measuring = memory_new(sizeof(*measuring));

    (void)arguments;
    measuring->operation.apply = measuring_apply;
    measuring->operation.done = measuring_done;
    measuring->commands = commands;
    measuring->request = request;
    committer_submit(commands->committer, &measuring->operation);
}
