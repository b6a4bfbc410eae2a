/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspects are in one map by their UUID and in one list, the next due first; a flood of changes
 * is read at recheck_rate when it is over, the oldest first.  A search that fails judges nobody.
 */
#include "directory/recheck.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/memory.h"

enum {
    RECHECK_TICK_MS = 50,
    RECHECK_BATCH = 50,
    RECHECK_SEARCHES = 2, /* under way at a time */
    RECHECK_MAX = 200000,
    RECHECK_ANSWER_MS = 10000,
    RECHECK_AGAIN_MS = 1000, /* after a search that failed */
    RECHECK_FILTER_MAX = 65536,
    RECHECK_FLOOD = 4,       /* more are told than this part of what may be read */
    RECHECK_FLOOD_SHARE = 10 /* then only this part of it is read */
};

/* When to look, in milliseconds since the change was told; from the second on a difference counts.
 */
static const unsigned recheck_steps_ms[] = { 250, 600, 2000, 8000, 30000 };
enum { RECHECK_STEPS = sizeof(recheck_steps_ms) / sizeof(recheck_steps_ms[0]) };

struct suspect {
    struct map_node map_node;
    struct list node; /* in one of `waiting`, or in a batch */
    uint64_t told_ms, due_ms;
    unsigned step;
    bool is_wondered; /* counts in the tally */
    bool is_corrected;
    unsigned char uuid[MIRROR_UUID_SIZE];
};

struct batch {
    struct recheck *recheck; /* NULL: given up */
    struct list suspects;    /* those that are not touched since */
    int search;
};

struct recheck {
    const struct directory_config *config;
    struct account_reader *reader;
    struct mirror_writer *writer;
    void (*overflowed)(void *context);
    void *context;
    struct ldap_link *link; /* NULL: none */
    struct map suspects;
    struct list waiting[RECHECK_STEPS]; /* by step: each in the order in which they are due */
    struct batch batches[RECHECK_SEARCHES];
    struct recheck_tally tally;
    uint64_t corrected, removed; /* since the last line in the log */
    double tokens;               /* reads that may start now */
    uint64_t tokens_ms;
    unsigned noted; /* changes that were told since then */
    bool is_ticking;
    uv_timer_t timer;
};

static void recheck_tick(struct recheck *recheck);

/* --- suspects ---------------------------------------------------------------------- */

static struct suspect *suspect_find(const struct recheck *recheck, const unsigned char *uuid)
{
    struct map_node *node =
        map_find(&recheck->suspects, span_of((const char *)uuid, MIRROR_UUID_SIZE));

    return node ? CONTAINER_OF(node, struct suspect, map_node) : NULL;
}

static void suspect_wait(struct recheck *recheck, struct suspect *suspect, uint64_t due_ms)
{
    suspect->due_ms = due_ms;
    list_remove(&suspect->node);
    list_append(&recheck->waiting[suspect->step], &suspect->node);
}

static void suspect_free(struct recheck *recheck, struct suspect *suspect)
{
    map_remove(&recheck->suspects, &suspect->map_node);
    list_remove(&suspect->node);
    free(suspect);
}

/* Counts in the tally, once. */
static void suspect_settle(struct recheck *recheck, struct suspect *suspect, uint64_t *count)
{
    if (!suspect->is_wondered)
        return;
    suspect->is_wondered = false;
    recheck->tally.open--;
    ++*count;
}

static void recheck_on_tick(uv_timer_t *timer)
{
    recheck_tick(timer->data);
}

static void recheck_wake(struct recheck *recheck)
{
    if (recheck->is_ticking || !recheck->link || recheck->suspects.count == 0)
        return;
    recheck->is_ticking = true;
    recheck->tokens_ms = clock_monotonic_ms();
    uv_timer_start(&recheck->timer, recheck_on_tick, RECHECK_TICK_MS, RECHECK_TICK_MS);
}

/* The suspect with this UUID, made if it is new; NULL when there are too many. */
static struct suspect *suspect_make(struct recheck *recheck, const unsigned char *uuid)
{
    struct suspect *suspect = suspect_find(recheck, uuid);

    if (suspect)
        return suspect;
    if (recheck->suspects.count >= RECHECK_MAX) {
        recheck->overflowed(recheck->context);
        return NULL;
    }
    suspect = memory_new(sizeof(*suspect));
    list_init(&suspect->node);
    memcpy(suspect->uuid, uuid, MIRROR_UUID_SIZE);
    map_insert(&recheck->suspects, &suspect->map_node,
               span_of((const char *)suspect->uuid, MIRROR_UUID_SIZE));
    return suspect;
}

void recheck_note(struct recheck *recheck, const unsigned char uuid[MIRROR_UUID_SIZE])
{
    struct suspect *suspect = suspect_make(recheck, uuid);

    if (!suspect)
        return;
    recheck->noted++;
    suspect->told_ms = clock_monotonic_ms();
    suspect->step = 0;
    suspect->is_corrected = false;
    suspect_wait(recheck, suspect, suspect->told_ms + recheck_steps_ms[0]);
    recheck_wake(recheck);
}

void recheck_wonder(struct recheck *recheck, const unsigned char uuid[MIRROR_UUID_SIZE])
{
    struct suspect *suspect = suspect_find(recheck, uuid);
    bool is_new = !suspect;

    if (is_new)
        suspect = suspect_make(recheck, uuid);
    if (!suspect || suspect->is_wondered)
        return;
    suspect->is_wondered = true;
    recheck->tally.open++;
    if (!is_new)
        return;
    suspect->told_ms = clock_monotonic_ms();
    suspect_wait(recheck, suspect, suspect->told_ms);
    recheck_wake(recheck);
}

/* --- judging ------------------------------------------------------------------------ */

/* Looks again later; after the last look it is let go. */
static void suspect_go_on(struct recheck *recheck, struct suspect *suspect)
{
    uint64_t now_ms = clock_monotonic_ms(), due_ms;

    if (++suspect->step == RECHECK_STEPS) {
        suspect_free(recheck, suspect);
        return;
    }
    due_ms = suspect->told_ms + recheck_steps_ms[suspect->step];
    suspect_wait(recheck, suspect, due_ms > now_ms ? due_ms : now_ms);
}

static void suspect_is_same(struct recheck *recheck, struct suspect *suspect)
{
    suspect_settle(recheck, suspect, &recheck->tally.same);
    if (suspect->is_corrected)
        suspect_go_on(recheck, suspect);
    else
        suspect_free(recheck, suspect);
}

/* The directory has `account`, or with NULL none, and the mirror differs. */
static void suspect_differs(struct recheck *recheck, struct suspect *suspect,
                            const struct mirror_account *account)
{
    if (suspect->step > 0) {
        if (account && mirror_writer_put(recheck->writer, account)) {
            recheck->corrected++;
            suspect_settle(recheck, suspect, &recheck->tally.corrected);
        } else if (!account && mirror_writer_delete(recheck->writer, suspect->uuid)) {
            recheck->removed++;
            suspect_settle(recheck, suspect, &recheck->tally.removed);
        }
        suspect->is_corrected = true;
    }
    suspect_go_on(recheck, suspect);
}

static void suspect_judge_absent(struct recheck *recheck, struct suspect *suspect)
{
    bool is_held;

    if (mirror_writer_find(recheck->writer, suspect->uuid, &is_held) == 0 || is_held)
        suspect_is_same(recheck, suspect);
    else
        suspect_differs(recheck, suspect, NULL);
}

static void suspect_judge_account(struct recheck *recheck, struct suspect *suspect,
                                  const struct mirror_account *account)
{
    bool is_same, is_held;

    (void)mirror_writer_compare(recheck->writer, account, &is_same);
    if (is_same)
        (void)mirror_writer_find(recheck->writer, suspect->uuid, &is_held);
    if (is_same && is_held)
        (void)mirror_writer_see(recheck->writer, suspect->uuid); /* it is there after all */
    if (is_same)
        suspect_is_same(recheck, suspect);
    else
        suspect_differs(recheck, suspect, account);
}

/* --- reading -------------------------------------------------------------------------- */

static bool batch_has(const struct batch *batch, const struct suspect *suspect)
{
    LIST_EACH (node, &batch->suspects)
        if (node == &suspect->node)
            return true;
    return false;
}

static void recheck_on_entry(void *context, const struct ldap_entry *entry)
{
    struct batch *batch = context;
    struct recheck *recheck = batch->recheck;
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_account account;
    struct suspect *suspect;
    bool is_account;

    if (!account_read_plain(recheck->reader, entry, uuid, &account, &is_account))
        return;
    suspect = suspect_find(recheck, uuid);
    if (!suspect || !batch_has(batch, suspect))
        return; /* a change was told meanwhile */
    if (is_account)
        suspect_judge_account(recheck, suspect, &account);
    else
        suspect_judge_absent(recheck, suspect);
}

static void recheck_log(struct recheck *recheck)
{
    if (recheck->corrected + recheck->removed > 0)
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "mirror_corrected",
                  LOG_INTEGER("corrected", recheck->corrected),
                  LOG_INTEGER("removed", recheck->removed));
    recheck->corrected = 0;
    recheck->removed = 0;
}

static void batch_give_up(struct batch *batch, uint64_t delay_ms)
{
    uint64_t due_ms = clock_monotonic_ms() + delay_ms;

    LIST_EACH (node, &batch->suspects)
        suspect_wait(batch->recheck, LIST_ELEMENT(node, struct suspect, node), due_ms);
    batch->search = 0;
}

static void recheck_on_done(void *context, const struct ldap_answer *answer)
{
    struct batch *batch = context;

    if (answer->code != LDAP_CODE_SUCCESS) {
        batch_give_up(batch, RECHECK_AGAIN_MS);
        return;
    }
    batch->search = 0;
    while (!list_is_empty(&batch->suspects))
        suspect_judge_absent(batch->recheck,
                             LIST_ELEMENT(batch->suspects.next, struct suspect, node));
    recheck_log(batch->recheck);
}

static const struct ldap_search_events recheck_search_events = {
    .entry = recheck_on_entry,
    .done = recheck_on_done,
};

static bool filter_add(struct bytes *filter, const unsigned char *uuid)
{
    return bytes_append_format(
        filter, "(entryUUID=%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x)",
        uuid[0], uuid[1], uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7], uuid[8], uuid[9],
        uuid[10], uuid[11], uuid[12], uuid[13], uuid[14], uuid[15]);
}

/* The filter for the batch, ended by NUL; false when it would be too long. */
static bool batch_write_filter(const struct batch *batch, struct bytes *filter)
{
    if (!bytes_append_format(filter, "(&%s(|", account_filter(batch->recheck->reader)))
        return false;
    LIST_EACH (node, &batch->suspects)
        if (!filter_add(filter, LIST_ELEMENT(node, struct suspect, node)->uuid))
            return false;
    return bytes_append(filter, span_of("))", sizeof("))")));
}

static void batch_read(struct batch *batch)
{
    struct recheck *recheck = batch->recheck;
    struct bytes filter = bytes_empty(RECHECK_FILTER_MAX);
    struct ldap_search search = { .base = recheck->config->base,
                                  .scope = LDAP_SCOPE_OF_SUBTREE,
                                  .attributes = account_plain_attributes(recheck->reader),
                                  .timeout_ms = RECHECK_ANSWER_MS };

    if (batch_write_filter(batch, &filter)) {
        search.filter = filter.data;
        batch->search = ldap_link_search(recheck->link, &search, &recheck_search_events, batch);
    }
    if (batch->search == 0)
        batch_give_up(batch, RECHECK_AGAIN_MS);
    bytes_release(&filter);
}

/* Moves who is due into the batch; false when nobody is. */
static bool batch_fill(struct batch *batch, uint64_t now_ms)
{
    struct recheck *recheck = batch->recheck;
    size_t count = 0;

    for (size_t step = 0; step < RECHECK_STEPS; step++)
        while (count < RECHECK_BATCH && recheck->tokens >= 1 &&
               !list_is_empty(&recheck->waiting[step])) {
            struct suspect *suspect =
                LIST_ELEMENT(recheck->waiting[step].next, struct suspect, node);

            if (suspect->due_ms > now_ms)
                break;
            list_remove(&suspect->node);
            list_append(&batch->suspects, &suspect->node);
            recheck->tokens -= 1;
            count++;
        }
    return count > 0;
}

/*
 * While many changes are told, as in the rewrite of a failed backend's accounts, reading them again
 * would take from the server, once for each follower, what the rewrite itself waits for.
 */
static void recheck_fill_tokens(struct recheck *recheck, uint64_t now_ms)
{
    double rate = recheck->config->recheck_rate, most = rate / 5 + RECHECK_BATCH;
    double allowed = rate * (double)(now_ms - recheck->tokens_ms) / 1000;

    if (recheck->noted > allowed / RECHECK_FLOOD)
        allowed /= RECHECK_FLOOD_SHARE;
    recheck->noted = 0;
    recheck->tokens += allowed;
    if (recheck->tokens > most)
        recheck->tokens = most;
    recheck->tokens_ms = now_ms;
}

static void recheck_tick(struct recheck *recheck)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (!recheck->link || recheck->suspects.count == 0) {
        uv_timer_stop(&recheck->timer);
        recheck->is_ticking = false;
        return;
    }
    recheck_fill_tokens(recheck, now_ms);
    for (size_t i = 0; i < RECHECK_SEARCHES && recheck->link; i++)
        if (recheck->batches[i].search == 0 && batch_fill(&recheck->batches[i], now_ms))
            batch_read(&recheck->batches[i]);
}

/* --- life ------------------------------------------------------------------------------- */

void recheck_use(struct recheck *recheck, struct ldap_link *link)
{
    for (size_t i = 0; i < RECHECK_SEARCHES; i++) {
        struct batch *batch = &recheck->batches[i];

        if (batch->search && recheck->link)
            ldap_link_abandon(recheck->link, batch->search);
        batch_give_up(batch, 0);
    }
    recheck->link = link;
    recheck_wake(recheck);
}

struct recheck *recheck_start(struct io_loop *loop, const struct directory_config *config,
                              struct account_reader *reader, struct mirror_writer *writer,
                              void (*overflowed)(void *context), void *context)
{
    struct recheck *recheck = memory_new(sizeof(*recheck));

    recheck->reader = reader;
    recheck->writer = writer;
    recheck->overflowed = overflowed;
    recheck->context = context;
    recheck->config = config;
    map_init(&recheck->suspects);
    for (size_t i = 0; i < RECHECK_STEPS; i++)
        list_init(&recheck->waiting[i]);
    for (size_t i = 0; i < RECHECK_SEARCHES; i++) {
        recheck->batches[i].recheck = recheck;
        list_init(&recheck->batches[i].suspects);
    }
    uv_timer_init(&loop->uv, &recheck->timer);
    recheck->timer.data = recheck;
    return recheck;
}

static void suspect_drop(struct map_node *node, void *context)
{
    suspect_free(context, CONTAINER_OF(node, struct suspect, map_node));
}

static void recheck_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void recheck_stop(struct recheck *recheck)
{
    recheck_use(recheck, NULL);
    map_each(&recheck->suspects, suspect_drop, recheck);
    map_fini(&recheck->suspects);
    uv_close((uv_handle_t *)&recheck->timer, recheck_on_closed);
}

static void suspect_uncount(struct map_node *node, void *context)
{
    (void)context;
    CONTAINER_OF(node, struct suspect, map_node)->is_wondered = false;
}

void recheck_begin_tally(struct recheck *recheck)
{
    map_each(&recheck->suspects, suspect_uncount, NULL);
    recheck->tally = (struct recheck_tally){ 0 };
}

struct recheck_tally recheck_tally(const struct recheck *recheck)
{
    return recheck->tally;
}
