/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs in the pool's thread.  A failed recipient is only taken out in the batch that also
 * stores its report; when its message cannot be read, it is set aside.
 */
#include "frontend/queue/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "frontend/queue/bounce.h"

/* A recipient as found in the store. */
struct found {
    bool is_there;
    unsigned attempts, flags, notify;
    char *address, *destination, *orcpt; /* owned */
    char reply[QUEUE_TEXT_MAX + 1];
};

struct run {
    struct settle *settle;
    struct store *store;
    uint64_t message;
    struct store_job *content;                             /* NULL: not read, or cannot be read */
    struct bounce_recipient *reported[REPORT_SUCCESS + 1]; /* by enum report_kind */
    size_t reported_count[REPORT_SUCCESS + 1];
    struct found *found;
};

enum { ELSEWHERE_MS = 250 }; /* before what has moved is resolved again, the first time */

int64_t settle_backoff_ms(const struct settle_rules *rules, unsigned attempts,
                          unsigned jitter_permille)
{
    int64_t delay_ms = rules->retry_min_ms << (attempts < 20 ? attempts : 20);

    if (delay_ms > rules->retry_max_ms)
        delay_ms = rules->retry_max_ms;
    return delay_ms * jitter_permille / 1000;
}

static char *copy_text(struct span text)
{
    char *copy = memory_new(text.length + 1);

    if (text.length > 0)
        memcpy(copy, text.data, text.length);
    return copy;
}

static void keep_found(void *context, const struct store_view *view)
{
    struct found *found = context;

    found->is_there = true;
    found->attempts = view->recipient.attempts;
    found->flags = view->recipient.flags;
    found->notify = view->recipient.notify;
    found->address = copy_text(view->recipient.address);
    found->orcpt = copy_text(view->recipient.orcpt);
    if (view->recipient.destination)
        found->destination = memory_copy_string(view->recipient.destination);
    if (!span_copy_string(span_take(view->recipient.reply, QUEUE_TEXT_MAX), found->reply,
                          sizeof(found->reply)) ||
        !found->reply[0])
        snprintf(found->reply, sizeof(found->reply), "4.4.1 its mail server does not answer");
}

static bool is_expired(const struct run *run, const struct outcome *outcome)
{
    const struct settle *settle = run->settle;

    return settle->rules.expiry_ms > 0 && run->content && !outcome->is_held && !outcome->is_ours &&
           outcome->fate != QUEUE_DELIVERED && outcome->fate != QUEUE_GONE &&
           outcome->fate != QUEUE_FAILED &&
           settle->now_ms - run->content->content.arrival_ms > settle->rules.expiry_ms;
}

static bool set_aside(struct run *run, const struct outcome *outcome)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_message_unreadable",
              LOG_INTEGER("message", run->message), LOG_TEXT("text", outcome->text));
    return store_set_state(run->store, outcome->row, STORE_SET_ASIDE, 0,
                           span_from_string(outcome->text));
}

static void note_reported(struct run *run, enum report_kind kind, const struct outcome *outcome,
                          const struct found *found)
{
    run->reported[kind][run->reported_count[kind]++] = (struct bounce_recipient){
        .address = found->address,
        .text = outcome->text,
        .destination = found->destination,
        .orcpt = found->orcpt,
        .is_relayed = found->destination && found->destination[0] == '\0',
    };
}

static bool give_up(struct run *run, const struct outcome *outcome, const struct found *found)
{
    if (!run->content)
        return set_aside(run, outcome);
    if (bounce_is_wanted(found->notify, MAIL_NOTIFY_FAILURE))
        note_reported(run, REPORT_FAILED, outcome, found);
    return store_remove_recipient(run->store, outcome->row);
}

/* Only where the sender asked for it; that its message cannot be read does no harm now. */
static bool note_success(struct run *run, const struct outcome *outcome, const struct found *found)
{
    if (outcome->fate != QUEUE_DELIVERED || !(found->notify & MAIL_NOTIFY_SUCCESS))
        return true;
    if (!run->content &&
        !store_read_message(run->store, run->message, BOUNCE_HEAD_MAX, &run->content))
        return false;
    if (run->content)
        note_reported(run, REPORT_SUCCESS, outcome, found);
    return true;
}

/* Once a recipient, and not for a failure of our own that the next attempt may well not meet. */
static bool note_late(struct run *run, const struct outcome *outcome, const struct found *found)
{
    const struct settle *settle = run->settle;

    if (!run->content || settle->rules.delay_ms == 0 || found->flags & STORE_DELAY_IS_TOLD ||
        run->content->content.reverse_path.length == 0 ||
        settle->now_ms - run->content->content.arrival_ms < settle->rules.delay_ms ||
        !bounce_is_wanted(found->notify, MAIL_NOTIFY_DELAY))
        return true;
    note_reported(run, REPORT_DELAYED, outcome, found);
    return store_set_flag(run->store, outcome->row, STORE_DELAY_IS_TOLD);
}

static void expire(struct outcome *outcome)
{
    char last[QUEUE_TEXT_MAX + 1];

    memcpy(last, outcome->text, sizeof(last));
    outcome->fate = QUEUE_FAILED;
    snprintf(outcome->text, sizeof(outcome->text), "4.4.7 delivery time expired%s%.400s",
             last[0] ? "; last: " : "", last);
}

/* Until a recipient is due again. */
static int64_t pause_ms(const struct settle *settle, const struct outcome *outcome,
                        const struct found *found)
{
    struct settle_rules rules = settle->rules;

    /* The destination as a whole waits, in memory; the recipient stays due. */
    if (outcome->fate == QUEUE_UNREACHABLE)
        return 0;
    if (outcome->fate == QUEUE_ELSEWHERE)
        rules.retry_min_ms = ELSEWHERE_MS;
    return settle_backoff_ms(&rules, found->attempts, settle->jitter_permille);
}

static bool defer(struct run *run, const struct outcome *outcome, const struct found *found)
{
    struct settle *settle = run->settle;
    int64_t next_ms = settle->now_ms;

    next_ms += pause_ms(settle, outcome, found);
    if (next_ms < outcome->not_before_ms)
        next_ms = outcome->not_before_ms;
    if (next_ms < settle->next_ms)
        settle->next_ms = next_ms;
    return note_late(run, outcome, found) &&
           store_defer(run->store, outcome->row, next_ms, outcome->not_before_ms,
                       outcome->fate == QUEUE_UNKNOWN, span_from_string(outcome->text));
}

static bool settle_one(struct run *run, struct outcome *outcome, struct found *found)
{
    if (!store_scan(run->store, outcome->row - 1, outcome->row, 1, false, keep_found, found))
        return false;
    if (!found->is_there)
        return true;
    if (is_expired(run, outcome))
        expire(outcome);
    if (outcome->fate == QUEUE_DELIVERED || outcome->fate == QUEUE_GONE)
        return note_success(run, outcome, found) &&
               store_remove_recipient(run->store, outcome->row);
    if (outcome->fate == QUEUE_FAILED)
        return give_up(run, outcome, found);
    if (outcome->is_held)
        return store_set_state(run->store, outcome->row, STORE_HELD, STORE_NEEDS_RELAY,
                               span_from_string(outcome->text));
    return defer(run, outcome, found);
}

/* Puts the front of a body that is a file in the place of the body. */
static char *read_head(struct run *run)
{
    struct store_message *content = &run->content->content;
    char *memory = NULL;
    int fd;

    if (!content->body_file)
        return NULL;
    fd = store_open_body(run->store, content->body_file);
    if (fd >= 0) {
        memory = bounce_read_head(fd, &content->body);
        close(fd);
    }
    return memory;
}

static bool add_report(struct run *run, enum report_kind kind)
{
    const struct settle *settle = run->settle;
    const struct bounce bounce = {
        .kind = kind,
        .hostname = settle->rules.hostname,
        .message = &run->content->content,
        .recipients = run->reported[kind],
        .count = run->reported_count[kind],
        .now_ms = settle->now_ms,
        .retry_until_ms = run->content->content.arrival_ms + settle->rules.lifetime_ms,
    };

    return bounce_add(run->store, &bounce);
}

static bool report(struct run *run)
{
    size_t count = 0;
    char *memory;
    bool is_good;

    for (int kind = 0; kind <= REPORT_SUCCESS; kind++)
        count += run->reported_count[kind];
    if (count == 0)
        return true;
    memory = read_head(run);
    is_good = add_report(run, REPORT_FAILED) && add_report(run, REPORT_DELAYED) &&
              add_report(run, REPORT_SUCCESS);
    run->settle->has_report = run->content->content.reverse_path.length > 0;
    free(memory);
    return is_good;
}

static bool needs_content(const struct settle *settle)
{
    for (size_t i = 0; i < settle->count; i++)
        if (settle->outcomes[i].fate != QUEUE_DELIVERED && settle->outcomes[i].fate != QUEUE_GONE)
            return true;
    return false;
}

static bool run_all(struct run *run)
{
    struct settle *settle = run->settle;

    if (needs_content(settle) &&
        !store_read_message(run->store, run->message, BOUNCE_HEAD_MAX, &run->content))
        return false;
    for (size_t i = 0; i < settle->count; i++)
        if (!settle_one(run, &settle->outcomes[i], &run->found[i]))
            return false;
    return report(run) && store_remove_finished(run->store, run->message);
}

static void run_init(struct run *run, struct settle *settle, struct store *store)
{
    *run = (struct run){
        .settle = settle,
        .store = store,
        .message = STORE_ROW_MESSAGE(settle->outcomes[0].row),
        .found = memory_new(settle->count * sizeof(*run->found)),
    };
    for (int kind = 0; kind <= REPORT_SUCCESS; kind++)
        run->reported[kind] = memory_new(settle->count * sizeof(*run->reported[kind]));
}

static void run_fini(struct run *run)
{
    for (size_t i = 0; i < run->settle->count; i++) {
        free(run->found[i].address);
        free(run->found[i].destination);
        free(run->found[i].orcpt);
    }
    for (int kind = 0; kind <= REPORT_SUCCESS; kind++)
        free(run->reported[kind]);
    free(run->found);
    if (run->content)
        store_job_free(run->content);
}

bool settle_apply(struct operation *operation, struct store *store)
{
    struct settle *settle = CONTAINER_OF(operation, struct settle, operation);
    struct run run;
    bool is_good;

    settle->has_report = false;
    settle->next_ms = INT64_MAX;
    run_init(&run, settle, store);
    is_good = run_all(&run);
    run_fini(&run);
    return is_good;
}

/* What waits without being tried, since its backend is down. */
static bool tell_all_late(struct run *run)
{
    struct settle *settle = run->settle;

    if (!store_read_message(run->store, run->message, BOUNCE_HEAD_MAX, &run->content))
        return false;
    for (size_t i = 0; i < settle->count; i++) {
        struct outcome *outcome = &settle->outcomes[i];
        struct found *found = &run->found[i];

        if (!store_scan(run->store, outcome->row - 1, outcome->row, 1, true, keep_found, found))
            return false;
        if (!found->is_there)
            continue;
        snprintf(outcome->text, sizeof(outcome->text), "%s", found->reply);
        if (!note_late(run, outcome, found))
            return false;
    }
    return report(run);
}

bool settle_tell_delay(struct store *store, const struct settle_rules *rules, const uint64_t *rows,
                       size_t count, int64_t now_ms)
{
    struct settle *settle = settle_new(rules, count);
    struct run run;
    bool is_good;

    settle->now_ms = now_ms;
    for (size_t i = 0; i < count; i++)
        settle->outcomes[i].row = rows[i];
    run_init(&run, settle, store);
    is_good = tell_all_late(&run);
    run_fini(&run);
    free(settle);
    return is_good;
}

struct settle *settle_new(const struct settle_rules *rules, size_t count)
{
    struct settle *settle = memory_new(sizeof(*settle) + count * sizeof(settle->outcomes[0]));

    list_init(&settle->operation.node);
    settle->operation.apply = settle_apply;
    settle->rules = *rules;
    settle->jitter_permille = 750 + (unsigned)random_below(501);
    settle->count = count;
    return settle;
}
