/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long answers are given in slices, as fast as they are read; orders that wait are looked at again
 * and again, a few times a second, while there are any.
 */
#include "backend/replica/orders.h"

#include <stdlib.h>

#include "backend/replica/told.h"
#include "common/base/clock.h"
#include "common/service/metrics.h"

enum {
    ORDERS_TICK_MS = 50,
    ORDERS_SLICE = 200,       /* accounts in a turn */
    ORDERS_UNREAD_MAX = 1000, /* lines */
    ORDERS_PROGRESS_MS = 1000,
    ORDERS_TROUBLE_MS = 10000, /* a peer may be in trouble before an order fails */
    ORDERS_ROUNDS = 3,         /* in which accounts may fail before an order for all does */
    ORDERS_TELL_MS = 5000      /* that the other side may take to write down that all is clean */
};

/* replica-sync. */
struct sync_order {
    struct list node;
    struct control_request *request;
    char account[ROUTE_ADDRESS_SIZE]; /* empty: all */
    char peer[ROUTE_HOST_SIZE];       /* empty: any */
    int64_t since_ms;                 /* wall clock */
    int64_t told_ms;                  /* when the last progress was */
    int64_t clean_ms;                 /* since when nothing is left; 0: something is */
    unsigned rounds;                  /* that are over */
    unsigned attempts;                /* of the account, in vain: those that do not count */
};

/* replica-status with the accounts. */
struct listing {
    struct list node;
    struct orders *orders;
    struct control_request *request;
    char after[ROUTE_ADDRESS_SIZE]; /* of the own ledger: the last account */
    bool wants_accounts;
    /* With another server: */
    char server[ROUTE_HOST_SIZE]; /* empty: the own ledger */
    struct told_reading *reading; /* NULL: it is read */
    struct told told;
    int64_t entry; /* of the mirror: the last */
    struct {
        json_int_t accounts, never, dirty, unsure, failing;
    } counts;
    json_t *lines; /* that come behind the summary */
};

static void orders_activate(struct orders *orders)
{
    if (orders->is_active)
        return;
    orders->is_active = true;
    uv_timer_again(&orders->timer);
}

/* --- replica-sync ---------------------------------------------------------------------------- */

static void sync_finish(struct orders *orders, struct sync_order *order, const char *error)
{
    list_remove(&order->node);
    scheduler_end_order(orders->scheduler);
    control_finish(order->request, error);
    free(order);
}

static void sync_tend_account(struct orders *orders, struct sync_order *order, int64_t now_ms)
{
    char error[LEDGER_WHY_SIZE + ROUTE_ADDRESS_SIZE + 16];
    struct ledger_row row;

    if (!ledger_read(orders->ledger, order->account, &row)) {
        sync_finish(orders, order, "no such account here");
        return;
    }
    if (row.clean_ms >= order->since_ms || row.reason == LEDGER_AWAY) {
        sync_finish(orders, order, NULL);
        return;
    }
    if (row.attempts < order->attempts)
        order->attempts = row.attempts;
    if (row.attempts == order->attempts &&
        (!scheduler_trouble(orders->scheduler) || now_ms - order->since_ms < ORDERS_TROUBLE_MS))
        return;
    snprintf(error, sizeof(error), "%s: %s", order->account, row.why);
    sync_finish(orders, order, error);
}

/* Who asks the other side next, as a failover does, must not hear what was so before. */
static void sync_tend_clean(struct orders *orders, struct sync_order *order, int64_t now_ms)
{
    bool is_for_peer = order->peer[0] != '\0'; /* which then has the accounts, and asks nobody */

    if (order->clean_ms == 0) {
        order->clean_ms = now_ms;
        teller_hurry(orders->teller);
    }
    if (is_for_peer || teller_has_told(orders->teller, order->clean_ms) ||
        now_ms - order->clean_ms > ORDERS_TELL_MS)
        sync_finish(orders, order, NULL);
}

/* What is behind now is tried now, however often it failed. */
static void sync_hurry(struct orders *orders, struct sync_order *order)
{
    order->since_ms = clock_wall_ms();
    if (order->account[0])
        scheduler_touch_now(orders->scheduler, order->account);
    else
        ledger_hurry(orders->ledger, order->peer[0] ? order->peer : NULL);
    scheduler_hurry(orders->scheduler);
}

static void sync_tend_all(struct orders *orders, struct sync_order *order, int64_t now_ms)
{
    const char *trouble = scheduler_trouble(orders->scheduler);
    int64_t untried, failed;
    char error[256];

    ledger_count_left(orders->ledger, order->peer[0] ? order->peer : NULL, order->since_ms,
                      &untried, &failed);
    if (now_ms - order->told_ms >= ORDERS_PROGRESS_MS) {
        order->told_ms = now_ms;
        control_reply(order->request, json_pack("{s:s,s:I,s:I}", "event", "progress", "left",
                                                (json_int_t)untried, "failed", (json_int_t)failed));
    }
    if (untried == 0 && failed == 0) {
        sync_tend_clean(orders, order, now_ms);
        return;
    }
    if (untried > 0 && (!trouble || now_ms - order->since_ms < ORDERS_TROUBLE_MS))
        return;
    if (untried == 0 && ++order->rounds < ORDERS_ROUNDS) {
        sync_hurry(orders, order);
        return;
    }
    snprintf(error, sizeof(error),
             "%jd accounts are not clean, %jd of them were not tried; replica-status says why",
             (intmax_t)(untried + failed), (intmax_t)untried);
    sync_finish(orders, order, error);
}

static void sync_tend(struct orders *orders, struct sync_order *order, int64_t now_ms)
{
    if (!control_is_wanted(order->request))
        sync_finish(orders, order, "nobody waits");
    else if (order->account[0])
        sync_tend_account(orders, order, now_ms);
    else
        sync_tend_all(orders, order, now_ms);
}

static void sync_begin(struct orders *orders, struct sync_order *order)
{
    struct ledger_row row = { .attempts = 0 };

    order->told_ms = clock_wall_ms();
    if (order->account[0] && ledger_read(orders->ledger, order->account, &row))
        order->attempts = row.attempts; /* before: the next one is ours */
    list_append(&orders->syncs, &order->node);
    scheduler_begin_order(orders->scheduler);
    sync_hurry(orders, order);
    orders_activate(orders);
}

/* The account that a name leads to; false when there is none here. */
static bool sync_find(struct orders *orders, const char *name, char account[ROUTE_ADDRESS_SIZE])
{
    struct ledger_row row;
    struct route route;

    resolver_look_up(orders->resolver, ROUTE_KEY_ADDRESS, name, &route);
    if (route.outcome != ROUTE_FOUND)
        return false;
    memcpy(account, route.account, ROUTE_ADDRESS_SIZE);
    if (strcmp(route.host, orders->child->config->node.name) == 0 &&
        ledger_add(orders->ledger, account, clock_wall_ms()))
        teller_knows(orders->teller, ledger_bucket(account));
    return ledger_read(orders->ledger, account, &row);
}

static void orders_sync(struct control_request *request, json_t *arguments, void *context)
{
    struct orders *orders = context;
    const char *account = json_string_value(json_object_get(arguments, "account"));
    const char *server = json_string_value(json_object_get(arguments, "server"));
    bool is_all = json_is_true(json_object_get(arguments, "all"));
    struct sync_order *order;

    if (is_all == (account != NULL)) {
        control_finish(request, "replica-sync: expected an account, or all");
        return;
    }
    order = memory_new(sizeof(*order));
    order->request = request;
    if (account && !sync_find(orders, account, order->account)) {
        free(order);
        control_finish(request, "no such account here");
        return;
    }
    if (server && strcmp(server, orders->child->config->node.name) != 0)
        snprintf(order->peer, sizeof(order->peer), "%s", server);
    sync_begin(orders, order);
}

/* --- replica-status --------------------------------------------------------------------------- */

static void listing_finish(struct listing *listing, const char *error)
{
    list_remove(&listing->node);
    if (listing->reading)
        told_read_cancel(listing->reading);
    else
        told_release(&listing->told);
    json_decref(listing->lines);
    control_finish(listing->request, error);
    free(listing);
}

static json_t *listing_line(const char *account, const char *state, int64_t dirty_ms)
{
    json_t *line = json_pack("{s:s,s:s}", "account", account, "state", state);

    if (dirty_ms > 0)
        json_object_set_new(line, "dirty_age_ms", json_integer(clock_wall_ms() - dirty_ms));
    return line;
}

static void listing_add_row(void *context, const struct ledger_row *row)
{
    struct listing *listing = context;
    json_t *line = listing_line(row->account, ledger_state(row), row->dirty_ms);

    if (row->clean_ms > 0)
        json_object_set_new(line, "clean_age_ms", json_integer(clock_wall_ms() - row->clean_ms));
    if (row->attempts > 0) {
        json_object_set_new(line, "attempts", json_integer(row->attempts));
        json_object_set_new(line, "why", json_string(row->why));
    }
    control_reply(listing->request, line);
    memcpy(listing->after, row->account, sizeof(listing->after));
}

/* An entry of the mirror: is it one of the server's accounts, and what is known of its copy? */
static void listing_judge(void *context, const struct route_entry *entry)
{
    struct listing *listing = context;
    const char *own = listing->orders->child->config->node.name;
    bool is_adopted =
        strcmp(entry->host, own) == 0 && strcmp(entry->old_host, listing->server) == 0;
    const json_t *behind = json_object_get(listing->told.behind, entry->account);
    const char *state = json_string_value(json_array_get(behind, 1));

    if (entry->has_several_hosts || (strcmp(entry->host, listing->server) != 0 && !is_adopted))
        return;
    if (!json_object_get(listing->told.known, entry->account))
        state = "never";
    listing->counts.accounts++;
    if (!state)
        return;
    listing->counts.never += strcmp(state, "never") == 0;
    listing->counts.dirty += strcmp(state, "dirty") == 0;
    listing->counts.unsure += strcmp(state, "unsure") == 0;
    listing->counts.failing += strcmp(state, "failing") == 0;
    if (listing->wants_accounts)
        json_array_append_new(
            listing->lines,
            listing_line(entry->account, state, json_integer_value(json_array_get(behind, 2))));
}

/* Goes through the mirror, then gives the summary and the lines. */
static void listing_tend_told(struct listing *listing)
{
    int64_t at_ms = listing->told.at_ms;
    json_t *line;
    size_t i;
    int count = mirror_walk_entries(listing->orders->resolver->mirror, &listing->entry,
                                    ORDERS_SLICE * 10, listing_judge, listing);

    if (count < 0) {
        listing_finish(listing, "the mirror cannot be read");
        return;
    }
    if (count > 0)
        return;
    control_reply(
        listing->request,
        json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b}", "node",
                  listing->orders->child->config->node.name, "server", listing->server, "accounts",
                  listing->counts.accounts, "never", listing->counts.never, "dirty",
                  listing->counts.dirty, "unsure", listing->counts.unsure, "failing",
                  listing->counts.failing, "behind",
                  listing->counts.dirty + listing->counts.unsure + listing->counts.failing,
                  "told_age_ms", (json_int_t)(at_ms > 0 ? clock_wall_ms() - at_ms : -1),
                  "is_complete", at_ms > 0 && listing->told.is_complete));
    json_array_foreach (listing->lines, i, line)
        control_reply(listing->request, json_incref(line));
    listing_finish(listing, NULL);
}

static void listing_tend(struct listing *listing)
{
    if (!control_is_wanted(listing->request))
        listing_finish(listing, "nobody waits");
    else if (listing->reading || control_unread(listing->request) > ORDERS_UNREAD_MAX)
        return;
    else if (listing->told.error)
        listing_finish(listing, listing->told.error);
    else if (listing->server[0])
        listing_tend_told(listing);
    else if (ledger_each_behind(listing->orders->ledger, listing->after, ORDERS_SLICE,
                                listing_add_row, listing) < ORDERS_SLICE)
        listing_finish(listing, NULL);
}

static void listing_read(void *context, struct told *told)
{
    struct listing *listing = context;

    listing->reading = NULL;
    listing->told = *told;
    listing_tend(listing);
}

static json_t *orders_summary(struct orders *orders)
{
    const struct config *config = orders->child->config;
    const char *trouble = scheduler_trouble(orders->scheduler);
    struct ledger_counts counts;
    struct scheduler_lags lags;
    int64_t now_ms = clock_wall_ms();

    ledger_count(orders->ledger, &counts);
    scheduler_lags(orders->scheduler, &lags);
    return json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s*,s:I}", "node", config->node.name,
        "peer", config->replica.to, "accounts", (json_int_t)counts.accounts, "never",
        (json_int_t)counts.never, "dirty", (json_int_t)counts.dirty, "unsure",
        (json_int_t)counts.unsure, "failing", (json_int_t)counts.failing, "oldest_dirty_ms",
        (json_int_t)(counts.oldest_dirty_ms > 0 ? now_ms - counts.oldest_dirty_ms : 0),
        "lag_median_ms", (json_int_t)lags.median_ms, "lag_p99_ms", (json_int_t)lags.p99_ms,
        "running", (json_int_t)scheduler_running(orders->scheduler), "synced",
        (json_int_t)lags.synced, "failures", (json_int_t)lags.failed, "trouble", trouble,
        "told_age_ms", (json_int_t)teller_age_ms(orders->teller));
}

static void orders_status(struct control_request *request, json_t *arguments, void *context)
{
    struct orders *orders = context;
    const char *server = json_string_value(json_object_get(arguments, "server"));
    bool is_own = !server || strcmp(server, orders->child->config->node.name) == 0;
    struct listing *listing;

    if (is_own)
        control_reply(request, orders_summary(orders));
    if (is_own && !json_is_true(json_object_get(arguments, "behind"))) {
        control_finish(request, NULL);
        return;
    }
    listing = memory_new(sizeof(*listing));
    listing->orders = orders;
    listing->request = request;
    listing->wants_accounts = json_is_true(json_object_get(arguments, "behind"));
    list_append(&orders->listings, &listing->node);
    if (!is_own) {
        snprintf(listing->server, sizeof(listing->server), "%s", server);
        listing->lines = json_array();
        listing->reading =
            told_read(&orders->child->loop, orders->child->config, server, listing_read, listing);
    }
    orders_activate(orders);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void orders_metrics(struct control_request *request, json_t *arguments, void *context)
{
    struct orders *orders = context;
    struct ledger_counts counts;
    struct scheduler_lags lags;
    int64_t age_ms = 0;

    (void)arguments;
    ledger_count(orders->ledger, &counts);
    scheduler_lags(orders->scheduler, &lags);
    if (counts.oldest_dirty_ms > 0)
        age_ms = clock_wall_ms() - counts.oldest_dirty_ms;
    const struct {
        const char *name, *label, *value;
        int64_t count;
    } rows[] = {
        { "mailstead_replica_backlog", NULL, NULL, counts.dirty + counts.never + counts.unsure },
        { "mailstead_replica_accounts", "state", "never", counts.never },
        { "mailstead_replica_accounts", "state", "dirty", counts.dirty },
        { "mailstead_replica_accounts", "state", "unsure", counts.unsure },
        { "mailstead_replica_accounts", "state", "failing", counts.failing },
        { "mailstead_replica_accounts", "state", "all", counts.accounts },
        { "mailstead_replica_synchronisations", "result", "done", (int64_t)lags.synced },
        { "mailstead_replica_synchronisations", "result", "failed", (int64_t)lags.failed },
    };
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        control_reply(request, METRICS_SAMPLE(rows[i].name, (double)rows[i].count, rows[i].label,
                                              rows[i].value, NULL));
    control_reply(request, METRICS_SAMPLE("mailstead_replica_lag_seconds",
                                          age_ms > 0 ? (double)age_ms / 1000 : 0, NULL));
    control_finish(request, NULL);
}

const struct control_command orders_commands[] = {
    { "metrics", orders_metrics },
    { "replica-status", orders_status },
    { "replica-sync", orders_sync },
    { NULL, NULL },
};

/* --- life ------------------------------------------------------------------------------------- */

static void orders_tick(uv_timer_t *timer)
{
    struct orders *orders = CONTAINER_OF(timer, struct orders, timer);
    int64_t now_ms = clock_wall_ms();

    LIST_EACH (node, &orders->syncs)
        sync_tend(orders, LIST_ELEMENT(node, struct sync_order, node), now_ms);
    LIST_EACH (node, &orders->listings)
        listing_tend(LIST_ELEMENT(node, struct listing, node));
    orders->is_active = !list_is_empty(&orders->syncs) || !list_is_empty(&orders->listings);
    if (!orders->is_active)
        uv_timer_stop(timer);
}

void orders_start(struct orders *orders)
{
    list_init(&orders->syncs);
    list_init(&orders->listings);
    uv_timer_init(&orders->child->loop.uv, &orders->timer);
    uv_timer_start(&orders->timer, orders_tick, ORDERS_TICK_MS, ORDERS_TICK_MS);
    orders->is_active = true;
}

static void orders_timer_closed(uv_handle_t *handle)
{
    struct orders *orders = CONTAINER_OF(handle, struct orders, timer);

    orders->stopped(orders->context);
}

void orders_stop(struct orders *orders, void (*stopped)(void *context), void *context)
{
    orders->stopped = stopped;
    orders->context = context;
    while (!list_is_empty(&orders->syncs))
        sync_finish(orders, LIST_ELEMENT(orders->syncs.next, struct sync_order, node),
                    "the replica process ends");
    while (!list_is_empty(&orders->listings))
        listing_finish(LIST_ELEMENT(orders->listings.next, struct listing, node),
                       "the replica process ends");
    uv_close((uv_handle_t *)&orders->timer, orders_timer_closed);
}
