/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One comparison at a time.  A page that fails ends it; nothing is concluded from a part of
 * the directory.
 */
#include "directory/compare.h"

#include <stdlib.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/base/state.h"
#include "directory/domain_counts.h"

enum {
    COMPARE_PAGE = 250,
    COMPARE_ANSWER_MS = 30000,
    COMPARE_WALK = 5000, /* rows a turn */
    COMPARE_SETTLE_MS = 50,
    COMPARE_SETTLE_MAX_MS = 60000,
    COMPARE_PROGRESS_MS = 1000,
    COMPARE_SOON_MS = 60000,
    COMPARE_HELD_MS = 60000, /* between two looks at what is held */
    COMPARE_HELD_SECONDS = 5 /* of the rate, at each look */
};

enum compare_state { COMPARE_IDLE, COMPARE_LISTING, COMPARE_WALKING, COMPARE_SETTLING };

static const struct state_row compare_states[] = {
    [COMPARE_IDLE] = { "idle", STATE_BIT(COMPARE_LISTING) },
    [COMPARE_LISTING] = { "listing", STATE_BIT(COMPARE_WALKING) | STATE_BIT(COMPARE_IDLE) },
    [COMPARE_WALKING] = { "walking", STATE_BIT(COMPARE_SETTLING) | STATE_BIT(COMPARE_IDLE) },
    [COMPARE_SETTLING] = { "settling", STATE_BIT(COMPARE_IDLE) },
};

struct compare {
    const struct directory_config *config;
    struct account_reader *reader;
    struct mirror_writer *writer;
    struct recheck *recheck;
    struct ldap_link *link; /* NULL: none */
    struct state state;
    uv_timer_t timer;   /* IDLE: the next comparison; else the next step */
    uv_timer_t looking; /* while something may be held */
    unsigned open_handles;
    uint64_t next_ms; /* when the next slow one is to start; 0: never */
    int64_t held_at;  /* where the last look at what is held ended */
    /* Of the one that runs: */
    const struct compare_events *events; /* NULL: nobody waits for it */
    void *context;
    unsigned rate;
    int search; /* 0: none under way */
    struct bytes page;
    struct domain_counts *doubts;
    int64_t walked;
    struct compare_report report;
    uint64_t started_ms, page_ms, page_entries, told_ms, settling_ms;
};

static void compare_read_page(struct compare *compare);

/* --- the end ------------------------------------------------------------------------ */

static void compare_arm(struct compare *compare);

static void compare_log(const struct compare *compare, const char *error)
{
    const struct compare_report *report = &compare->report;

    if (error)
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "mirror_not_compared", LOG_TEXT("reason", error));
    else
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "mirror_compared", LOG_INTEGER("entries", report->entries),
                  LOG_INTEGER("differing", report->differing),
                  LOG_INTEGER("missing", report->missing),
                  LOG_INTEGER("corrected", report->tally.corrected),
                  LOG_INTEGER("removed", report->tally.removed), LOG_INTEGER("held", report->held),
                  LOG_INTEGER("ms", report->elapsed_ms));
}

static void compare_update(struct compare *compare)
{
    compare->report.tally = recheck_tally(compare->recheck);
    compare->report.elapsed_ms = clock_monotonic_ms() - compare->started_ms;
}

/* Plans the next slow one: on the average after an interval, after a failure much sooner. */
static void compare_plan(struct compare *compare, bool has_failed)
{
    uint64_t interval_ms = 1000 * (uint64_t)compare->config->compare_interval_s;

    compare->next_ms = 0;
    if (interval_ms > 0)
        compare->next_ms =
            clock_monotonic_ms() + random_below(has_failed ? interval_ms / 4 : 2 * interval_ms);
    compare_arm(compare);
}

static void compare_end(struct compare *compare, const char *error)
{
    const struct compare_events *events = compare->events;

    if (compare->state.current == COMPARE_IDLE)
        return;
    if (compare->search)
        ldap_link_abandon(compare->link, compare->search);
    compare->search = 0;
    compare->events = NULL;
    state_move(&compare->state, COMPARE_IDLE);
    uv_timer_stop(&compare->timer);
    bytes_release(&compare->page);
    domain_counts_free(compare->doubts);
    compare->doubts = NULL;
    compare_update(compare);
    compare_log(compare, error);
    compare_plan(compare, error != NULL);
    if (events)
        events->done(compare->context, &compare->report, error);
}

static void compare_tell_progress(struct compare *compare)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (!compare->events || now_ms - compare->told_ms < COMPARE_PROGRESS_MS)
        return;
    compare->told_ms = now_ms;
    compare_update(compare);
    compare->events->progress(compare->context, &compare->report);
}

/* --- settling ------------------------------------------------------------------------- */

static void compare_on_settle(uv_timer_t *timer)
{
    struct compare *compare = timer->data;
    uint64_t waited_ms = clock_monotonic_ms() - compare->settling_ms;

    if (recheck_tally(compare->recheck).open == 0)
        compare_end(compare, NULL);
    else if (waited_ms > COMPARE_SETTLE_MAX_MS && waited_ms > compare->report.elapsed_ms)
        compare_end(compare, "the differences could not be read again in time");
    else
        compare_tell_progress(compare);
}

/* --- walking -------------------------------------------------------------------------- */

static void compare_wonder_at_row(void *context, const struct mirror_row *row)
{
    struct compare *compare = context;

    if (row->is_held || row_set_has(mirror_writer_seen(compare->writer), row->id))
        return;
    compare->report.missing++;
    if (!compare->doubts || !domain_counts_is_doubtful(compare->doubts, row->account)) {
        recheck_wonder(compare->recheck, row->uuid);
        return;
    }
    mirror_writer_hold(compare->writer, row->id);
    compare->report.held++;
}

static void compare_on_walk(uv_timer_t *timer)
{
    struct compare *compare = timer->data;

    compare->walked = mirror_writer_walk(compare->writer, compare->walked, COMPARE_WALK,
                                         compare_wonder_at_row, compare);
    if (compare->walked > 0)
        return;
    if (compare->report.held > 0)
        domain_counts_log(compare->doubts, "held");
    state_move(&compare->state, COMPARE_SETTLING);
    compare->settling_ms = clock_monotonic_ms();
    compare_update(compare);
    uv_timer_start(&compare->timer, compare_on_settle, 0, COMPARE_SETTLE_MS);
}

static void compare_on_count(uv_timer_t *timer)
{
    struct compare *compare = timer->data;

    if (!domain_counts_step(compare->doubts))
        return;
    domain_counts_judge(compare->doubts, compare->config);
    uv_timer_start(&compare->timer, compare_on_walk, 0, 1);
}

/* The directory was read to its end. */
static void compare_walk(struct compare *compare)
{
    state_move(&compare->state, COMPARE_WALKING);
    compare->walked = 0;
    if (mirror_writer_unseen(compare->writer) > compare->config->hold_accounts) {
        compare->doubts = domain_counts_new(compare->writer, mirror_writer_seen(compare->writer));
        uv_timer_start(&compare->timer, compare_on_count, 0, 1);
    } else {
        uv_timer_start(&compare->timer, compare_on_walk, 0, 1);
    }
}

/* --- listing -------------------------------------------------------------------------- */

static void compare_on_entry(void *context, const struct ldap_entry *entry)
{
    struct compare *compare = context;
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_account account;
    bool is_account, is_same, is_held;

    compare->report.entries++;
    compare->page_entries++;
    if (!account_read_plain(compare->reader, entry, uuid, &account, &is_account) || !is_account)
        return; /* a row that it has, if any, is wondered at as missing */
    (void)mirror_writer_compare(compare->writer, &account, &is_same);
    if (is_same && mirror_writer_find(compare->writer, uuid, &is_held) > 0 && is_held)
        (void)mirror_writer_see(compare->writer, uuid);
    if (is_same)
        return;
    compare->report.differing++;
    recheck_wonder(compare->recheck, uuid);
}

static void compare_on_page_due(uv_timer_t *timer)
{
    compare_read_page(timer->data);
}

/* When the next page is due, so that the rate is kept. */
static uint64_t compare_pause_ms(const struct compare *compare)
{
    uint64_t due_ms = compare->page_ms + compare->page_entries * 1000 / compare->rate;
    uint64_t now_ms = clock_monotonic_ms();

    return due_ms > now_ms ? due_ms - now_ms : 0;
}

static void compare_on_page(void *context, const struct ldap_answer *answer)
{
    struct compare *compare = context;

    compare->search = 0;
    if (answer->code == LDAP_CODE_LOST)
        return; /* compare_use follows */
    if (answer->code != LDAP_CODE_SUCCESS) {
        compare_end(compare, answer->text);
        return;
    }
    bytes_release(&compare->page);
    if (!bytes_append(&compare->page, answer->page)) {
        compare_end(compare, "the server's page cookie is too long");
        return;
    }
    compare_tell_progress(compare);
    if (compare->state.current != COMPARE_LISTING)
        return;
    if (answer->page.length > 0)
        uv_timer_start(&compare->timer, compare_on_page_due, compare_pause_ms(compare), 0);
    else
        compare_walk(compare);
}

static const struct ldap_search_events compare_search_events = {
    .entry = compare_on_entry,
    .done = compare_on_page,
};

static void compare_read_page(struct compare *compare)
{
    struct ldap_search search = {
        .base = compare->config->base,
        .scope = LDAP_SCOPE_OF_SUBTREE,
        .filter = account_filter(compare->reader),
        .attributes = account_plain_attributes(compare->reader),
        .timeout_ms = COMPARE_ANSWER_MS,
        .page_size = COMPARE_PAGE,
        .page = bytes_span(&compare->page),
    };

    compare->page_ms = clock_monotonic_ms();
    compare->page_entries = 0;
    compare->search = ldap_link_search(compare->link, &search, &compare_search_events, compare);
}

static void compare_begin(struct compare *compare, unsigned rate)
{
    compare->rate = rate;
    compare->report = (struct compare_report){ 0 };
    compare->started_ms = clock_monotonic_ms();
    compare->told_ms = compare->started_ms;
    recheck_begin_tally(compare->recheck);
    mirror_writer_begin_refresh(compare->writer);
    state_move(&compare->state, COMPARE_LISTING);
    uv_timer_stop(&compare->timer);
    compare_read_page(compare);
}

/* --- when ------------------------------------------------------------------------------- */

static void compare_on_due(uv_timer_t *timer)
{
    struct compare *compare = timer->data;

    compare_begin(compare, compare->config->compare_rate);
}

/* Sets the timer of an idle one. */
static void compare_arm(struct compare *compare)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (compare->state.current != COMPARE_IDLE || compare->open_handles == 0)
        return;
    if (compare->link && compare->next_ms > 0)
        uv_timer_start(&compare->timer, compare_on_due,
                       compare->next_ms > now_ms ? compare->next_ms - now_ms : 0, 0);
    else
        uv_timer_stop(&compare->timer);
}

static void compare_wonder_at_held(void *context, const struct mirror_row *row)
{
    struct compare *compare = context;

    recheck_wonder(compare->recheck, row->uuid);
}

static void compare_on_look(uv_timer_t *timer)
{
    struct compare *compare = timer->data;

    if (mirror_writer_held(compare->writer) == 0 || compare->state.current != COMPARE_IDLE)
        return;
    compare->held_at = mirror_writer_walk_held(compare->writer, compare->held_at,
                                               COMPARE_HELD_SECONDS * compare->config->recheck_rate,
                                               compare_wonder_at_held, compare);
}

void compare_use(struct compare *compare, struct ldap_link *link)
{
    if (!link) {
        compare->search = 0; /* it ended with its link */
        compare_end(compare, "the connection to the directory ended");
    }
    compare->link = link;
    compare_arm(compare);
    if (link)
        uv_timer_start(&compare->looking, compare_on_look, COMPARE_HELD_MS / 4,
                       COMPARE_HELD_MS / 2 + random_below(COMPARE_HELD_MS));
    else
        uv_timer_stop(&compare->looking);
}

bool compare_now(struct compare *compare, const struct compare_events *events, void *context)
{
    if (!compare->link || compare->events)
        return false;
    compare_end(compare, "one at once takes its place");
    compare->events = events;
    compare->context = context;
    compare_begin(compare, COMPARE_URGENT * compare->config->compare_rate);
    return true;
}

void compare_soon(struct compare *compare)
{
    uint64_t soon_ms = clock_monotonic_ms() + random_below(COMPARE_SOON_MS);

    if (compare->next_ms == 0 || compare->next_ms > soon_ms)
        compare->next_ms = soon_ms;
    compare_arm(compare);
}

/* --- life ------------------------------------------------------------------------------- */

struct compare *compare_start(struct io_loop *loop, const struct directory_config *config,
                              struct account_reader *reader, struct mirror_writer *writer,
                              struct recheck *recheck)
{
    struct compare *compare = memory_new(sizeof(*compare));

    compare->config = config;
    compare->reader = reader;
    compare->writer = writer;
    compare->recheck = recheck;
    compare->page = bytes_empty(SYNC_COOKIE_MAX);
    state_init(&compare->state, compare_states, COMPARE_IDLE);
    if (config->compare_interval_s > 0)
        compare->next_ms =
            clock_monotonic_ms() + random_below(1000 * (uint64_t)config->compare_interval_s);
    uv_timer_init(&loop->uv, &compare->timer);
    uv_timer_init(&loop->uv, &compare->looking);
    compare->timer.data = compare;
    compare->looking.data = compare;
    compare->open_handles = 2;
    return compare;
}

static void compare_on_closed(uv_handle_t *handle)
{
    struct compare *compare = handle->data;

    if (--compare->open_handles == 0)
        free(compare);
}

void compare_stop(struct compare *compare)
{
    compare_end(compare, "the daemon ends");
    compare->link = NULL;
    uv_close((uv_handle_t *)&compare->timer, compare_on_closed);
    uv_close((uv_handle_t *)&compare->looking, compare_on_closed);
}
