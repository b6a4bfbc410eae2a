/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies instead of a shared storage: a node that keeps none does not know these commands, and then
 * there is nothing to ask.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin/failover_run.h"
#include "admin/output.h"

enum { REPLICA_SYNC_MS = 120000 };

/* A node without the section `replica`. */
static bool is_unknown(const char *why)
{
    return strstr(why, "unknown command") != NULL;
}

struct behind {
    int64_t never, late;
};

static void take_account(json_t *object, void *context)
{
    struct behind *behind = context;

    behind->never += json_number(object, "never", 0);
    behind->late += json_number(object, "behind", 0);
}

enum failover_result failover_ask_behind(const struct failover_run *run,
                                         char why[FAILOVER_TEXT_SIZE])
{
    struct behind behind = { .never = 0 };
    json_t *request = json_pack("{s:s, s:o}", "command", "replica-status", "server",
                                json_any_text(run->failover.order->backend));
    enum failover_result result = failover_ask_node(run, run->failover.node, request,
                                                    FAILOVER_ORDER_MS, take_account, &behind, why);

    if (result == FAILOVER_REFUSED && is_unknown(why))
        return FAILOVER_DONE;
    if (result != FAILOVER_DONE || behind.never + behind.late == 0)
        return result;
    snprintf(why, FAILOVER_TEXT_SIZE,
             "%" PRId64 " accounts of %.128s were never copied to %.128s, and %" PRId64
             " are behind (mailstead replica status)",
             behind.never, run->failover.order->backend, run->failover.node, behind.late);
    return FAILOVER_REFUSED;
}

enum failover_result failover_synchronise(const struct failover_run *run,
                                          char why[FAILOVER_TEXT_SIZE])
{
    json_t *request = json_pack("{s:s, s:b}", "command", "replica-sync", "all", 1);
    enum failover_result result =
        failover_ask_node(run, run->failover.node, request, REPLICA_SYNC_MS, NULL, NULL, why);

    return result == FAILOVER_REFUSED && is_unknown(why) ? FAILOVER_DONE : result;
}
