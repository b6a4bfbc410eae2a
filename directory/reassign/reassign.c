/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run: connect and ask what the server can (writer.c), list the entries (work_list.c), then let
 * lanes change them.  The first trouble decides how it ends; the lanes complete their batches and
 * take no more.
 *
 * Entries are changed one by one until one is, for two reasons: a server that refuses is found
 * out without a transaction; and a transaction must not be the first to use an attribute in
 * OpenLDAP's database: when it is not committed, slapd 2.5 forget to
 * forget the attribute's number, and no entry that gets the attribute after that can be read again.
 *
 * Of three lanes with transactions one commits, one lets its operations settle, one is filled
 * (lane.c); without transactions two keep the server busy.
 */
#include "directory/reassign/reassign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "directory/link_settings.h"
#include "directory/reassign/guard.h"
#include "directory/reassign/journal.h"
#include "directory/reassign/lane.h"
#include "directory/reassign/pace.h"
#include "directory/reassign/refusal.h"
#include "directory/reassign/work_list.h"
#include "directory/reassign/writer.h"

enum {
    REASSIGN_LANES = 3,
    REASSIGN_PROGRESS_MS = 200,
    REASSIGN_REFUSALS_MAX = 16 /* of single entries before the first change */
};

/* One of the connections, and its lane once it works. */
struct reassign_connection {
    struct writer writer;
    struct lane lane;
    bool has_lane, is_working;
};

struct reassign {
    struct io_loop loop;
    const struct config *config;
    const struct reassign_plan *plan;
    struct reassign_result *result;
    struct reassign_connection connections[REASSIGN_LANES];
    struct lane_turn turn;
    struct guard *guard; /* NULL: none */
    bool has_more_lanes; /* than the first */
    struct work_list list;
    size_t next;     /* of the list, to be taken */
    size_t left;     /* were taken, and are as they were */
    size_t refusals; /* for lack of rights, while nothing was changed */
    struct pace pace;
    struct journal *journal; /* NULL: not begun, or none */
    bool is_listed;          /* there will be no more than there are in the list */
    bool is_stopping;
    bool is_broken; /* a connection ended: changes may have come to be without an answer */
    uv_timer_t timer;
    uint64_t started_ms;
};

static void reassign_open(struct reassign *run, struct reassign_connection *connection);

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
static void reassign_fail(struct reassign *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void reassign_fail(struct reassign *run, const char *format, ...)
{
    char text[REASSIGN_ERROR_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    reassign_stop(run, REASSIGN_FAILED, "%s", text);
    io_loop_stop(&run->loop);
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

/* --- the journal ------------------------------------------------------------------------ */

/* NULL when it cannot be begun, and `error`. */
static struct journal *reassign_open_journal(struct reassign *run, char error[REASSIGN_ERROR_SIZE])
{
    struct journal *journal =
        journal_open(run->config, run->plan, link_write_uri(run->config), error);

    if (!journal)
        return NULL;
    snprintf(run->result->journal, sizeof(run->result->journal), "%s", journal_path(journal));
    if (!journal_is_alone(journal))
        reassign_complain(run, run->plan->journal_directory,
                          "another run keeps its journal here just now; where both change the "
                          "same entries, one of them stops");
    return journal;
}

/* False when the items must not be changed, since it cannot be written down. */
static bool reassign_intend(struct reassign *run, struct plan_item *const *items, size_t count)
{
    char error[REASSIGN_ERROR_SIZE];

    if (!run->plan->journal_directory)
        return true;
    if (!run->journal)
        run->journal = reassign_open_journal(run, error);
    if (run->journal && journal_intend(run->journal, items, count, error))
        return true;
    reassign_stop(run, run->next > 0 ? REASSIGN_INTERRUPTED : REASSIGN_FAILED, "%s", error);
    return false;
}

static void reassign_settle(struct reassign *run, enum journal_outcome outcome,
                            struct plan_item *const *items, size_t count, const char *why)
{
    char error[REASSIGN_ERROR_SIZE];

    for (size_t i = 0; i < count; i++)
        items[i]->is_settled = true;
    if (run->journal && !journal_settle(run->journal, outcome, items, count, why, error))
        reassign_stop(run, REASSIGN_INTERRUPTED, "%s", error);
}

/* What was intended and had no answer: lost with its connection, or never sent. */
static void reassign_settle_rest(struct reassign *run)
{
    enum journal_outcome outcome = run->is_broken ? JOURNAL_UNKNOWN : JOURNAL_NOT_DONE;
    struct plan_item **items = run->list.items;

    for (size_t first = 0, end; first < run->next; first = end + 1) {
        for (end = first; end < run->next && !items[end]->is_settled; end++)
            ;
        reassign_settle(run, outcome, items + first, end - first, run->result->error);
    }
}

static void reassign_end_journal(struct reassign *run)
{
    char error[REASSIGN_ERROR_SIZE];

    if (!run->journal)
        return;
    reassign_settle_rest(run);
    if (!journal_close(run->journal, run->result, error))
        reassign_stop(run, REASSIGN_INCOMPLETE, "%s", error);
    run->journal = NULL;
}

/* --- what lanes tell -------------------------------------------------------------------- */

/* Where in the list the run ends: what was left as it was is not of the limit. */
static uint64_t reassign_last(const struct reassign *run)
{
    uint64_t end = run->list.count, limit = run->plan->limit;

    return limit && limit + run->left < end ? limit + run->left : end;
}

/* How many of the list may be taken now. */
static size_t reassign_allow(struct reassign *run, unsigned *wait_ms)
{
    uint64_t end = reassign_last(run);

    if (run->next >= end)
        return 0;
    if (run->result->progress.moved == 0)
        end = run->next + 1;
    if (end > run->next + LANE_BATCH_MAX)
        end = run->next + LANE_BATCH_MAX;
    return pace_take(&run->pace, clock_monotonic_ms(), (size_t)end - run->next, wait_ms);
}

static bool reassign_is_asked_to_stop(const struct reassign *run)
{
    return run->plan->should_stop && run->plan->should_stop(run->plan->context);
}

static size_t reassign_take(void *context, struct plan_item ***items, unsigned *wait_ms)
{
    struct reassign *run = context;
    size_t count;

    *wait_ms = 0;
    if (run->next < reassign_last(run) && !run->is_stopping && reassign_is_asked_to_stop(run))
        reassign_stop(run, REASSIGN_INTERRUPTED, "stopped, as asked");
    if (run->is_stopping)
        return 0;
    count = reassign_allow(run, wait_ms);
    *items = run->list.items + run->next;
    if (count == 0 || !reassign_intend(run, *items, count))
        return 0;
    run->next += count;
    return count;
}

/* Once the server has let us write: with transactions, while one is committed others are filled. */
static void reassign_open_more(struct reassign *run)
{
    size_t count = run->connections[0].writer.has_transactions ? REASSIGN_LANES : 2;

    if (run->has_more_lanes || run->is_stopping || run->list.count - run->next <= LANE_BATCH_MAX)
        return;
    run->has_more_lanes = true;
    for (size_t i = 1; i < count; i++)
        reassign_open(run, &run->connections[i]); /* it joins when it is ready */
}

static void reassign_on_moved(void *context, struct plan_item *const *items, size_t count)
{
    struct reassign *run = context;

    reassign_open_more(run);
    run->result->progress.moved += count;
    reassign_settle(run, JOURNAL_DONE, items, count, NULL);
}

/* One entry is left as it is. */
static void reassign_leave(struct reassign *run, struct plan_item *item, const char *why)
{
    run->left++;
    reassign_settle(run, JOURNAL_NOT_DONE, &item, 1, why);
    reassign_complain(run, item->dn, why);
}

static void reassign_on_skipped(void *context, struct plan_item *item, const char *why)
{
    struct reassign *run = context;

    run->result->progress.skipped++;
    reassign_leave(run, item, why);
}

static void reassign_on_failed(void *context, struct plan_item *item, const char *why)
{
    struct reassign *run = context;

    run->result->progress.failed++;
    reassign_leave(run, item, why);
}

static void reassign_on_contended(void *context, struct plan_item *item)
{
    struct reassign *run = context;

    reassign_on_skipped(run, item, "somebody else has changed it meanwhile");
    reassign_stop(run, REASSIGN_CONTENDED, "somebody else changes these entries too: %s", item->dn);
}

/*
 * Rights may differ from entry to entry, and what was refused comes first when the run is repeated:
 * before the first change, entries from all over the list are tried.  False: enough of them.
 */
static bool reassign_try_another(struct reassign *run)
{
    struct plan_item **items = run->list.items, *item;
    size_t another;

    if (run->result->progress.moved > 0)
        return true;
    if (++run->refusals == REASSIGN_REFUSALS_MAX || run->next >= run->list.count)
        return false;
    another = run->next + (run->list.count - run->next) * run->refusals / REASSIGN_REFUSALS_MAX;
    item = items[another];
    items[another] = items[run->next];
    items[run->next] = item;
    return true;
}

/* When others were changed before, it matters which entry it was. */
static bool reassign_on_refused(void *context, struct plan_item *item,
                                const struct ldap_answer *answer)
{
    struct reassign *run = context;
    char text[REASSIGN_ERROR_SIZE];

    if (answer->code == LDAP_CODE_INSUFFICIENT_ACCESS && reassign_try_another(run)) {
        reassign_on_failed(run, item, answer->text);
        return false;
    }
    refusal_of_change(run->config, answer, text);
    reassign_settle(run, JOURNAL_NOT_DONE, &item, 1, text);
    if (run->result->progress.moved > 0)
        reassign_complain(run, item->dn, answer->text);
    reassign_stop(run, REASSIGN_REFUSED, "%s", text);
    return true;
}

static void reassign_on_broken(void *context, const char *why)
{
    struct reassign *run = context;

    run->is_broken = true;
    reassign_stop(run, REASSIGN_INTERRUPTED, "%s: %s", link_write_uri(run->config), why);
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

/* --- working ---------------------------------------------------------------------------- */

static void reassign_start_lane(struct reassign *run, struct reassign_connection *connection)
{
    connection->lane.plan = run->plan;
    connection->lane.names = &run->config->directory;
    connection->lane.events = &reassign_lane_events;
    connection->lane.context = run;
    connection->lane.turn = &run->turn;
    connection->lane.has_transactions = connection->writer.has_transactions;
    connection->lane.has_assertions = connection->writer.has_assertions;
    connection->lane.guarded =
        guard_keep(run->guard, ldap_link_descriptor(connection->writer.link));
    connection->is_working = true;
    connection->has_lane = true;
    lane_start(&connection->lane, &run->loop, connection->writer.link);
}

static void reassign_on_complete(void *context, bool is_cut)
{
    struct reassign *run = context;

    run->is_listed = true;
    run->result->progress.is_listed = !is_cut;
    if (run->plan->is_dry_run || run->list.count == 0) {
        io_loop_stop(&run->loop);
        return;
    }
    reassign_start_lane(run, &run->connections[0]);
}

/* --- listing ---------------------------------------------------------------------------- */

static void reassign_on_kept(void *context, struct plan_item *item)
{
    struct reassign *run = context;

    (void)item;
    run->result->progress.found++;
}

static void reassign_on_passed_over(void *context, const char *dn, const char *why)
{
    struct reassign *run = context;

    run->result->progress.found++;
    run->result->progress.skipped++;
    reassign_complain(run, dn, why);
}

static void reassign_on_elsewhere(void *context, const char *uri)
{
    reassign_complain(context, uri, "a part of the directory that is elsewhere; not looked at");
}

static void reassign_on_list_failed(void *context, const struct ldap_answer *answer)
{
    struct reassign *run = context;
    char text[REASSIGN_ERROR_SIZE];

    refusal_of_search(run->config, answer, run->list.count, text);
    reassign_fail(run, "%s", text);
}

static const struct work_list_events reassign_list_events = {
    .kept = reassign_on_kept,
    .passed_over = reassign_on_passed_over,
    .elsewhere = reassign_on_elsewhere,
    .complete = reassign_on_complete,
    .failed = reassign_on_list_failed,
};

/* --- connections ------------------------------------------------------------------------ */

static void reassign_on_ready(void *context, struct writer *writer)
{
    struct reassign *run = context;
    struct reassign_connection *connection =
        CONTAINER_OF(writer, struct reassign_connection, writer);

    run->result->progress.is_connected = true;
    if (connection == &run->connections[0])
        work_list_fill(&run->list, writer->link, writer->has_assertions, &reassign_list_events,
                       run);
    else if (run->connections[0].is_working)
        reassign_start_lane(run, connection);
}

static void reassign_on_ended(void *context, struct writer *writer, const char *reason)
{
    struct reassign *run = context;
    struct reassign_connection *connection =
        CONTAINER_OF(writer, struct reassign_connection, writer);

    if (connection->is_working)
        lane_lose(&connection->lane, reason);
    else if (connection == &run->connections[0] && !run->is_listed)
        reassign_fail(run, "%s: %s", link_write_uri(run->config), reason);
}

static void reassign_open(struct reassign *run, struct reassign_connection *connection)
{
    static const struct writer_events events = { .ready = reassign_on_ready,
                                                 .ended = reassign_on_ended };

    writer_open(&connection->writer, &run->loop, run->config, &events, run);
}

/* --- all of it -------------------------------------------------------------------------- */

static void reassign_on_timer(uv_timer_t *timer)
{
    struct reassign *run = timer->data;

    reassign_show_progress(run);
    if (run->is_stopping || !reassign_is_asked_to_stop(run))
        return;
    if (!run->is_listed || run->next < reassign_last(run))
        reassign_stop(run, REASSIGN_INTERRUPTED, "stopped, as asked");
    if (!run->is_listed)
        io_loop_stop(&run->loop);
}

static void reassign_clean_up(struct reassign *run)
{
    for (size_t i = 0; i < REASSIGN_LANES; i++) {
        writer_close(&run->connections[i].writer);
        if (run->connections[i].has_lane)
            lane_close(&run->connections[i].lane);
    }
    uv_close((uv_handle_t *)&run->timer, NULL);
    io_loop_fini(&run->loop);
    guard_stop(run->guard);
    work_list_fini(&run->list);
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
    reassign_end_journal(run);
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
    run->pace.rate = plan->rate;
    run->started_ms = clock_monotonic_ms();
    lane_turn_init(&run->turn);
    run->guard = plan->is_dry_run ? NULL : guard_start();
    io_loop_init(&run->loop);
    uv_timer_init(&run->loop.uv, &run->timer);
    run->timer.data = run;
    uv_timer_start(&run->timer, reassign_on_timer, REASSIGN_PROGRESS_MS, REASSIGN_PROGRESS_MS);
    if (work_list_init(&run->list, plan, &config->directory)) {
        reassign_open(run, &run->connections[0]);
        io_loop_run(&run->loop);
    } else {
        reassign_stop(run, REASSIGN_FAILED, "the filter is too long");
    }
    reassign_conclude(run);
    reassign_clean_up(run);
}
