/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and the status. */
#include "frontend/queue/commands.h"

#include <stdlib.h>

#include "frontend/queue/adoption.h"
#include "frontend/queue/listing.h"
#include "frontend/queue/orders.h"
#include "frontend/queue/queue_metrics.h"

/* --- status ---------------------------------------------------------------------------- */

struct counting {
    struct operation operation;
    struct commands *commands;
    struct control_request *request;
    json_t *waiting; /* by destination: {name: [recipients, next_attempt_ms]} */
};

static const char *name_key(const char *destination)
{
    return destination ? destination : "?";
}

static void count_destination(void *context, const char *destination, int64_t recipients,
                              int64_t next_attempt_ms)
{
    json_object_set_new(context, name_key(destination),
                        json_pack("[I,I]", (json_int_t)recipients, (json_int_t)next_attempt_ms));
}

struct describing {
    json_t *destinations;
    json_t *waiting; /* NULL: not asked for */
};

static void add_destination(void *context, const char *name, size_t in_hand, bool is_waiting)
{
    struct describing *describing = context;
    const json_t *counted = json_object_get(describing->waiting, name_key(name));
    json_t *line = json_pack("{s:s?,s:I,s:b}", "backend", name, "in_hand", (json_int_t)in_hand,
                             "is_waiting", is_waiting);

    if (describing->waiting)
        json_object_set_new(line, "recipients",
                            json_integer(json_integer_value(json_array_get(counted, 0))));
    if (counted)
        json_object_set(line, "next_attempt_ms", json_array_get(counted, 1));
    json_array_append_new(describing->destinations, line);
}

static void answer_stat(struct commands *commands, struct control_request *request, json_t *waiting)
{
    const struct store_counts *counts = &commands->committer->counts;
    struct describing describing = { json_array(), waiting };

    scheduler_each(commands->scheduler, add_destination, &describing);
    control_reply(request,
                  json_pack("{s:I,s:I,s:I,s:I,s:o}", "messages", (json_int_t)counts->messages,
                            "recipients", (json_int_t)counts->recipients, "held",
                            (json_int_t)counts->held, "set_aside", (json_int_t)counts->set_aside,
                            "destinations", describing.destinations));
    control_finish(request, NULL);
}

static bool counting_apply(struct operation *operation, struct store *store)
{
    struct counting *counting = CONTAINER_OF(operation, struct counting, operation);

    return store_count_destinations(store, count_destination, counting->waiting);
}

static void counting_done(struct operation *operation, bool is_committed)
{
    struct counting *counting = CONTAINER_OF(operation, struct counting, operation);

    if (is_committed)
        answer_stat(counting->commands, counting->request, counting->waiting);
    else
        control_finish(counting->request, "the queue's database cannot be read now");
    json_decref(counting->waiting);
    free(counting);
}

static void run_stat(struct control_request *request, json_t *arguments, void *context)
{
    struct commands *commands = context;
    struct counting *counting;

    if (!json_is_true(json_object_get(arguments, "waiting"))) {
        answer_stat(commands, request, NULL);
        return;
    }
    counting = memory_new(sizeof(*counting));
    counting->operation.apply = counting_apply;
    counting->operation.done = counting_done;
    counting->commands = commands;
    counting->request = request;
    counting->waiting = json_object();
    committer_submit(commands->committer, &counting->operation);
}

const struct control_command queue_commands[] = {
    { "queue-list", listing_run_list },
    { "queue-show", listing_run_show },
    { "queue-hold", order_run_hold },
    { "queue-release", order_run_release },
    { "queue-flush", order_run_flush },
    { "queue-delete", order_run_delete },
    { "queue-bounce", order_run_bounce },
    { "queue-adopt", adoption_run },
    { "queue-stat", run_stat },
    { "metrics", queue_metrics_run },
    { NULL, NULL },
};
