/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storages that the node had before its start.  While it was away another may have attached
 * them, and a hook that brings them here may be the harm itself.  So they wait until the directory
 * was heard, or an operator overrides that; then the directory process counts where their accounts
 * are.  One that is this node's alone is attached; any other waits for an order, also when its
 * accounts come back without one, since who moved them may not have had it released yet.
 *
 * Nothing is attached because of an answer that did not come, or makes no sense: it is asked again.
 *
 * What a node without storages was told to let go of is held in the same way, and forgotten when
 * none of its accounts is here any more.
 */
#include <stdio.h>

#include "backend/hold.h"
#include "backend/node_private.h"
#include "common/base/clock.h"

enum { HOLDS_AGAIN_MS = 10000, HOLDS_VOID_MS = 2000, HOLDS_FAILED_MS = 1000 };

#define HOLDS_COMMAND "mirror-hosts"

static void storage_judge(struct storage *storage, const struct host_counts *counts,
                          const char *node)
{
    char why[STORAGE_WHY_SIZE];
    bool is_ours = hold_is_ours(counts, node, storage->server, why);
    bool was_void = storage->is_void;

    /* Seen twice: the directory may have told of a change that never comes to be. */
    storage->is_void = !storage_has_claim(storage) && hold_is_void(counts, node, storage->server);
    if (storage->is_void ? was_void : is_ours && !storage->is_barred)
        storage_attach(storage, false, false);
    else if (storage->is_void)
        storage_hold(storage, STORAGE_BARRED, "none of its accounts is here any more");
    else if (is_ours)
        storage_hold(storage, STORAGE_BARRED, "its accounts are here; it waits for an order");
    else
        storage_hold(storage, STORAGE_BARRED, why);
}

static void holds_judge(struct node *node)
{
    LIST_EACH (item, &node->storages.list) {
        struct storage *storage = LIST_ELEMENT(item, struct storage, node);

        if (storage->hold != STORAGE_FREE)
            storage_judge(storage, &node->holds.counts, node->child->config->node.name);
        if (storage->is_void)
            node->holds.next_ms = clock_monotonic_ms() + HOLDS_VOID_MS;
    }
}

/* Those that were judged before keep what was said of them. */
static void holds_explain(struct node *node, const char *error)
{
    char why[STORAGE_WHY_SIZE];

    snprintf(why, sizeof(why), "it waits for the directory: %.300s", error);
    LIST_EACH (item, &node->storages.list) {
        struct storage *storage = LIST_ELEMENT(item, struct storage, node);

        if (storage->hold == STORAGE_UNJUDGED)
            storage_hold(storage, STORAGE_UNJUDGED, why);
    }
}

static void holds_on_line(struct control_inquiry *inquiry, struct span json)
{
    struct node_holds *holds = CONTAINER_OF(inquiry, struct node_holds, inquiry);
    json_t *line = json_loadb(json.data, json.length, 0, NULL);
    const char *host = json_string_value(json_object_get(line, "host"));
    const char *old_host = json_string_value(json_object_get(line, "old_host"));
    const json_t *accounts = json_object_get(line, "accounts");

    if (!host || !old_host || !json_is_integer(accounts) ||
        !host_counts_add(&holds->counts, host, old_host, (uint64_t)json_integer_value(accounts)))
        holds->is_wrong = true;
    json_decref(line);
}

static void holds_on_answered(struct control_inquiry *inquiry, const char *error, bool is_lost)
{
    struct node *node = CONTAINER_OF(inquiry, struct node, holds.inquiry);
    struct node_holds *holds = &node->holds;

    (void)is_lost;
    if (holds->is_wrong)
        error = "its counts make no sense";
    holds->is_asked = false;
    holds->next_ms = clock_monotonic_ms() + (error ? HOLDS_FAILED_MS : HOLDS_AGAIN_MS);
    if (error)
        holds->revision = 0;
    if (error)
        holds_explain(node, error);
    else if (node->phase.current == NODE_PHASE_HERE)
        holds_judge(node);
    host_counts_fini(&holds->counts);
}

static void holds_ask(struct node *node)
{
    static const char request[] = "{\"command\":\"" HOLDS_COMMAND "\"}";
    struct node_holds *holds = &node->holds;

    holds->inquiry.line = holds_on_line;
    holds->inquiry.answered = holds_on_answered;
    holds->is_wrong = false;
    holds->revision = atomic_load(&node->child->board->mirror_revision);
    holds->is_asked = control_client_ask(node->control, &holds->inquiry, HOLDS_COMMAND,
                                         span_from_string(request));
}

/* Whether any is held of which something new could be said. */
static bool holds_are_open(const struct node *node)
{
    bool is_changed = atomic_load(&node->child->board->mirror_revision) != node->holds.revision;

    LIST_EACH (item, &node->storages.list) {
        const struct storage *storage = LIST_ELEMENT(item, struct storage, node);

        if (storage->hold == STORAGE_UNJUDGED || storage->is_void ||
            (storage->hold == STORAGE_BARRED && is_changed))
            return true;
    }
    return false;
}

void node_holds_look(struct node *node)
{
    const struct board *board = node->child->board;

    if (!node->holds.is_asked && node->phase.current == NODE_PHASE_HERE &&
        clock_monotonic_ms() >= node->holds.next_ms &&
        (atomic_load(&board->mirror_is_synchronised) || atomic_load(&board->node.is_overridden)) &&
        holds_are_open(node))
        holds_ask(node);
}

void node_holds_stop(struct node *node)
{
    if (node->holds.is_asked)
        control_client_withdraw(node->control, &node->holds.inquiry);
    node->holds.is_asked = false;
    host_counts_fini(&node->holds.counts);
}
