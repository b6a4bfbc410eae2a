/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run: connect and ask what the server can, list the entries page by page, then let
 * lanes change them: one with transactions (two connections with a transaction each crash OpenLDAP
 * 2.5), else two.  The first entry is changed alone, so that a server that
 * refuses is found out without a transaction.  The first trouble decides how it ends; the
 * lanes complete their batches and take no more.
 */
#include "directory/reassign/reassign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "directory/page_value.h"
#include "directory/reassign/lane.h"

enum {
    REASSIGN_LANES = 2,
    REASSIGN_CONNECT_MS = 5000,
    REASSIGN_SEARCH_MS = 120000,
    REASSIGN_PAGE_SIZE = 1000,
    REASSIGN_PROGRESS_MS = 200
};

static const char reassign_oid_transactions[] = "1.3.6.1.1.21.1"; /* RFC 5805 section 2.1 */
static const char reassign_oid_assertion[] = "1.3.6.1.1.12";      /* RFC 4528 section 4 */

struct reassign;

/* One of the connections: its link, and its lane once it works. */
struct reassign_connection {
    struct reassign *run;
    struct ldap_link *link; /* NULL: none any more */
    struct lane lane;
    bool has_lane, is_working;
};

struct reassign {
    struct io_loop loop;
    const struct config *config;
    const struct reassign_plan *plan;
    struct reassign_result *result;
    struct reassign_connection connections[REASSIGN_LANES];
    bool has_transactions, has_assertions;
    struct plan_item **items; /* owned, each too */
    size_t item_count, item_capacity, next;
    char filter[PLAN_FILTER_SIZE];
    char page[PAGE_COOKIE_MAX];
    size_t page_length;
    bool is_unpaged; /* the server knows no pages */
    bool is_stopping;
    uv_timer_t timer;
    uint64_t started_ms;
};

static void reassign_list(struct reassign *run);
static void reassign_open(struct reassign_connection *connection);

/* --- how it ends --------------------------------------------------------------------------- */

/* Notes how the run ends, and why; the first one counts. */
static void reassign_stop(struct reassign *run, enum reassign_end end, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void reassign_stop(struct reassign *run, enum reassign_end end, const char *format, ...)
{
    va_list arguments;

    run->is_stopping = true;
    if (run->result->end != REASSIGN_DONE)
        return;
    run->result->end = end;
    va_start(arguments, format);
    vsnprintf(run->result->error, sizeof(run->result->error), format, arguments);
    va_end(arguments);
}

/* Before the lanes work, any trouble ends everything. */
static void reassign_abort(struct reassign *run, const char *what, const char *why)
{
    reassign_stop(run, REASSIGN_FAILED, "%s: %s", what, why);
    io_loop_stop(&run->loop);
}

static const char *reassign_uri(const struct reassign *run)
{
    return run->config->admin.write_uri ? run->config->admin.write_uri
                                        : run->config->directory.uri.items[0];
}

static void reassign_show_progress(struct reassign *run)
{
    struct reassign_progress *progress = &run->result->progress;

    progress->elapsed_ms = clock_monotonic_ms() - run->started_ms;
    if (run->plan->progress)
        run->plan->progress(run->plan->context, progress);
}

static void reassign_complain(struct reassign *run, const char *dn, const char *why)
{
    if (run->plan->complain)
        run->plan->complain(run->plan->context, dn, why);
}

/* --- what lanes tell ---------------------------------------------------------------------------
 */

static size_t reassign_take(void *context, struct plan_item ***items)
{
    struct reassign *run = context;
    size_t count = run->item_count - run->next;

    if (count > 0 && !run->is_stopping && run->plan->should_stop &&
        run->plan->should_stop(run->plan->context))
        reassign_stop(run, REASSIGN_INTERRUPTED, "stopped, as asked");
    if (run->is_stopping)
        return 0;
    if (run->next == 0 && count > 1)
        count = 1;
    if (count > LANE_BATCH_MAX)
        count = LANE_BATCH_MAX;
    *items = run->items + run->next;
    run->next += count;
    return count;
}

static void reassign_on_moved(void *context, size_t count)
{
    struct reassign *run = context;

    run->result->progress.moved += count;
}

static void reassign_on_skipped(void *context, const struct plan_item *item, const char *why)
{
    struct reassign *run = context;

    run->result->progress.skipped++;
    reassign_complain(run, item->dn, why);
}

static void reassign_on_failed(void *context, const struct plan_item *item, const char *why)
{
    struct reassign *run = context;

    run->result->progress.failed++;
    reassign_complain(run, item->dn, why);
}

static void reassign_on_contended(void *context, const struct plan_item *item)
{
    struct reassign *run = context;

    reassign_on_skipped(run, item, "somebody else has changed it meanwhile");
    reassign_stop(run, REASSIGN_CONTENDED, "somebody else changes these entries too: %s", item->dn);
}

static void reassign_on_refused(void *context, const struct ldap_answer *answer)
{
    struct reassign *run = context;

    if (answer->code == LDAP_CODE_REFERRAL)
        reassign_stop(run, REASSIGN_REFUSED,
                      "%s is a replica that takes no changes; they go to %s: set admin.write_uri",
                      reassign_uri(run), answer->referral ? answer->referral : "its provider");
    else
        reassign_stop(run, REASSIGN_REFUSED, "%s refuses the change: %s", reassign_uri(run),
                      answer->text);
}

static void reassign_on_broken(void *context, const char *why)
{
    struct reassign *run = context;

    reassign_stop(run, REASSIGN_INTERRUPTED, "%s: %s", reassign_uri(run), why);
}

static void reassign_on_lane_ended(void *context, struct lane *lane)
{
    struct reassign *run = context;
    struct reassign_connection *connection = CONTAINER_OF(lane, struct reassign_connection, lane);

    connection->is_working = false;
    if (lane->has_committed)
        run->result->used_transactions = true;
    for (size_t i = 0; i < REASSIGN_LANES; i++)
        if (run->connections[i].is_working)
            return;
    io_loop_stop(&run->loop);
}

static const struct lane_events reassign_lane_events = {
    .take = reassign_take,
    .moved = reassign_on_moved,
    .skipped = reassign_on_skipped,
    .failed = reassign_on_failed,
    .contended = reassign_on_contended,
    .refused = reassign_on_refused,
    .broken = reassign_on_broken,
    .ended = reassign_on_lane_ended,
};

/* --- working -------------------------------------------------------------------------------------
 */

static void reassign_start_lane(struct reassign_connection *connection)
{
    struct reassign *run = connection->run;

    connection->lane.plan = run->plan;
    connection->lane.names = &run->config->directory;
    connection->lane.events = &reassign_lane_events;
    connection->lane.context = run;
    connection->lane.has_transactions = run->has_transactions;
    connection->lane.has_assertions = run->has_assertions;
    connection->is_working = true;
    connection->has_lane = true;
    lane_start(&connection->lane, &run->loop, connection->link);
}

/* The list is complete. */
static void reassign_work(struct reassign *run)
{
    run->result->progress.is_listed = true;
    if (run->plan->is_dry_run || run->item_count == 0) {
        io_loop_stop(&run->loop);
        return;
    }
    if (!run->has_transactions)
        reassign_open(&run->connections[1]); /* it joins when it is ready */
    reassign_start_lane(&run->connections[0]);
}

/* --- listing
 * ---------------------------------------------------------------------------------------- */

static void reassign_keep(struct reassign *run, struct plan_item *item)
{
    if (run->item_count == run->item_capacity) {
        run->item_capacity = run->item_capacity ? run->item_capacity * 2 : 1024;
        run->items = memory_resize(run->items, run->item_capacity * sizeof(struct plan_item *));
    }
    run->items[run->item_count++] = item;
}

static void reassign_on_entry(void *context, const struct ldap_entry *entry)
{
    struct reassign *run = context;
    const char *why;
    struct plan_item *item = plan_judge(run->plan, &run->config->directory, entry, &why);

    run->result->progress.found++;
    if (item) {
        reassign_keep(run, item);
        return;
    }
    run->result->progress.skipped++;
    reassign_complain(run, entry->dn, why);
}

static void reassign_on_page(void *context, const struct ldap_answer *answer)
{
    struct reassign *run = context;

    if (answer->code == LDAP_CODE_LOST)
        return; /* the link's end follows */
    if (answer->code == LDAP_CODE_NO_PAGES && !run->is_unpaged) {
        run->is_unpaged = true;
        reassign_list(run);
    } else if (answer->code != LDAP_CODE_SUCCESS) {
        reassign_abort(run, "the search for the accounts", answer->text);
    } else if (answer->page.length > 0) {
        memcpy(run->page, answer->page.data, answer->page.length);
        run->page_length = answer->page.length;
        reassign_list(run);
    } else {
        reassign_work(run);
    }
}

/* Asks for the next page. */
static void reassign_list(struct reassign *run)
{
    static const struct ldap_search_events events = { .entry = reassign_on_entry,
                                                      .done = reassign_on_page };
    const struct directory_config *names = &run->config->directory;
    const char *attributes[] = { names->host_attribute, names->old_host_attribute, NULL };
    struct ldap_search search = { .base = names->base,
                                  .scope = LDAP_SCOPE_OF_SUBTREE,
                                  .filter = run->filter,
                                  .attributes = attributes,
                                  .timeout_ms = REASSIGN_SEARCH_MS,
                                  .page_size = run->is_unpaged ? 0 : REASSIGN_PAGE_SIZE,
                                  .page = span_of(run->page, run->page_length) };

    (void)ldap_link_search(run->connections[0].link, &search, &events, run);
}

/* --- what the server can
 * ------------------------------------------------------------------------------- */

static bool reassign_has_value(const struct ldap_entry *entry, const char *name, const char *value)
{
    const struct ldap_attribute *attribute = ldap_entry_find(entry, name);

    for (size_t i = 0; attribute && i < attribute->value_count; i++)
        if (span_equals(attribute->values[i], span_from_string(value)))
            return true;
    return false;
}

static void reassign_on_root(void *context, const struct ldap_entry *entry)
{
    struct reassign *run = context;

    run->has_assertions = reassign_has_value(entry, "supportedControl", reassign_oid_assertion);
    run->has_transactions = run->has_assertions && reassign_has_value(entry, "supportedExtension",
                                                                      reassign_oid_transactions);
}

static void reassign_on_root_done(void *context, const struct ldap_answer *answer)
{
    struct reassign *run = context;

    if (answer->code == LDAP_CODE_LOST)
        return;
    if (answer->code == LDAP_CODE_TIMEOUT)
        reassign_abort(run, reassign_uri(run), answer->text);
    else
        reassign_list(run);
}

static void reassign_ask_root(struct reassign *run)
{
    static const char *const attributes[] = { "supportedControl", "supportedExtension", NULL };
    static const struct ldap_search_events events = { .entry = reassign_on_root,
                                                      .done = reassign_on_root_done };
    struct ldap_search search = { .base = "",
                                  .scope = LDAP_SCOPE_OF_BASE,
                                  .filter = "(objectClass=*)",
                                  .attributes = attributes,
                                  .timeout_ms = REASSIGN_SEARCH_MS };

    (void)ldap_link_search(run->connections[0].link, &search, &events, run);
}

/* --- connecting
 * ------------------------------------------------------------------------------------------- */

static void reassign_on_ready(void *context)
{
    struct reassign_connection *connection = context;
    struct reassign *run = connection->run;

    if (connection == &run->connections[0])
        reassign_ask_root(run);
    else if (run->connections[0].is_working)
        reassign_start_lane(connection);
}

static void reassign_on_ended(void *context, const char *reason)
{
    struct reassign_connection *connection = context;
    struct reassign *run = connection->run;

    ldap_link_close(connection->link);
    connection->link = NULL;
    if (connection->is_working)
        lane_lose(&connection->lane, reason);
    else if (connection == &run->connections[0] && !run->result->progress.is_listed)
        reassign_abort(run, reassign_uri(run), reason);
}

static void reassign_open(struct reassign_connection *connection)
{
    static const struct ldap_link_events events = { .ready = reassign_on_ready,
                                                    .ended = reassign_on_ended };
    const struct config *config = connection->run->config;
    const struct admin_config *admin = &config->admin;
    const struct directory_config *directory = &config->directory;
    const struct secret *password =
        admin->bind_dn ? &admin->bind_password : &directory->bind_password;
    struct ldap_settings settings = {
        .uri = reassign_uri(connection->run),
        .starttls = admin->write_uri ? admin->starttls : directory->starttls,
        .ca = admin->ca ? admin->ca : directory->ca,
        .bind_dn = admin->bind_dn ? admin->bind_dn : directory->bind_dn,
        .password = password->file ? password->value : NULL,
        .timeout_ms = REASSIGN_CONNECT_MS,
    };

    connection->link = ldap_link_open(&connection->run->loop, &settings, &events, connection);
}

/* --- all of it
 * ---------------------------------------------------------------------------------------------- */

static void reassign_on_timer(uv_timer_t *timer)
{
    struct reassign *run = timer->data;

    reassign_show_progress(run);
    if (!run->result->progress.is_listed && run->plan->should_stop &&
        run->plan->should_stop(run->plan->context)) {
        reassign_stop(run, REASSIGN_INTERRUPTED, "stopped, as asked");
        io_loop_stop(&run->loop);
    }
}

static void reassign_clean_up(struct reassign *run)
{
    for (size_t i = 0; i < REASSIGN_LANES; i++) {
        if (run->connections[i].link)
            ldap_link_close(run->connections[i].link);
        if (run->connections[i].has_lane)
            lane_close(&run->connections[i].lane);
    }
    uv_close((uv_handle_t *)&run->timer, NULL);
    io_loop_fini(&run->loop);
    for (size_t i = 0; i < run->item_count; i++)
        free(run->items[i]);
    free(run->items);
    free(run);
}

/* The end of a run that nothing stopped. */
static void reassign_conclude(struct reassign *run)
{
    const struct reassign_progress *progress = &run->result->progress;

    if (progress->failed > 0)
        reassign_stop(run, REASSIGN_INCOMPLETE, "%" PRIu64 " entries could not be changed",
                      progress->failed);
    else if (progress->skipped > 0 && !run->plan->is_dry_run)
        reassign_stop(run, REASSIGN_INCOMPLETE, "%" PRIu64 " entries were left alone",
                      progress->skipped);
    reassign_show_progress(run);
}

void reassign_run(const struct config *config, const struct reassign_plan *plan,
                  struct reassign_result *result)
{
    struct reassign *run = memory_new(sizeof(*run));

    *result = (struct reassign_result){ .end = REASSIGN_DONE };
    run->config = config;
    run->plan = plan;
    run->result = result;
    run->started_ms = clock_monotonic_ms();
    io_loop_init(&run->loop);
    uv_timer_init(&run->loop.uv, &run->timer);
    run->timer.data = run;
    uv_timer_start(&run->timer, reassign_on_timer, REASSIGN_PROGRESS_MS, REASSIGN_PROGRESS_MS);
    for (size_t i = 0; i < REASSIGN_LANES; i++)
        run->connections[i].run = run;
    if (plan_write_filter(plan, &config->directory, run->filter)) {
        reassign_open(&run->connections[0]);
        io_loop_run(&run->loop);
    } else {
        reassign_stop(run, REASSIGN_FAILED, "the filter is too long");
    }
    reassign_conclude(run);
    reassign_clean_up(run);
}
