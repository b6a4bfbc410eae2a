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
    char *address, *destination; /* owned */
    char reply[QUEUE_TEXT_MAX + 1];
};

struct run {
    struct settle *settle;
    struct store *store;
    uint64_t message;
    struct store_job *content; /* NULL: not read, or cannot be read */
    struct bounce_recipient *failed, *late;
    struct found *found;
    size_t failed_count, late_count;
};

int64_t settle_backoff_ms(const struct settle_rules *rules, unsigned attempts,
                          unsigned jitter_permille)
{
    int64_t delay_ms = rules->retry_min_ms << (attempts < 20 ? attempts : 20);

    if (delay_ms > rules->retry_max_ms)
        delay_ms = rules->retry_max_ms;
    return delay_ms * jitter_permille / 1000;
}

static void keep_found(void *context, const struct store_view *view)
{
    struct found *found = context;
    struct span address = view->recipient.address;

    found->is_there = true;
    found->attempts = view->recipient.attempts;
    found->flags = view->recipient.flags;
    found->notify = view->recipient.notify;
    found->address = memory_new(address.length + 1);
    if (address.length > 0)
        memcpy(found->address, address.data, address.length);
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
           outcome->fate != QUEUE_DELIVERED && outcome->fate != QUEUE_FAILED &&
           settle->now_ms - run->content->content.arrival_ms > settle->rules.expiry_ms;
}

static bool set_aside(struct run *run, const struct outcome *outcome)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_message_unreadable",
              LOG_INTEGER("message", run->message), LOG_TEXT("text", outcome->text));
    return store_set_state(run->store, outcome->row, STORE_SET_ASIDE, 0,
                           span_from_string(outcome->text));
}

static bool give_up(struct run *run, const struct outcome *outcome, const struct found *found)
{
    if (!run->content)
        return set_aside(run, outcome);
    if (bounce_is_wanted(found->notify, STORE_NOTIFY_FAILURE))
        run->failed[run->failed_count++] = (struct bounce_recipient){
            .address = found->address,
            .text = outcome->text,
            .destination = found->destination,
        };
    return store_remove_recipient(run->store, outcome->row);
}

/* Once a recipient, and not for a failure of our own that the next attempt may well not meet. */
static bool note_late(struct run *run, const struct outcome *outcome, const struct found *found)
{
    const struct settle *settle = run->settle;

    if (!run->content || settle->rules.delay_ms == 0 || found->flags & STORE_DELAY_IS_TOLD ||
        run->content->content.reverse_path.length == 0 ||
        settle->now_ms - run->content->content.arrival_ms < settle->rules.delay_ms ||
        !bounce_is_wanted(found->notify, STORE_NOTIFY_DELAY))
        return true;
    run->late[run->late_count++] = (struct bounce_recipient){
        .address = found->address,
        .text = outcome->text,
        .destination = found->destination,
    };
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

static bool defer(struct run *run, const struct outcome *outcome, const struct found *found)
{
    struct settle *settle = run->settle;
    int64_t next_ms = settle->now_ms;

    /* Unreachable: the destination as a whole waits, in memory; the recipient stays due. */
    if (outcome->fate != QUEUE_UNREACHABLE)
        next_ms += settle_backoff_ms(&settle->rules, found->attempts, settle->jitter_permille);
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
    if (outcome->fate == QUEUE_DELIVERED)
        return store_remove_recipient(run->store, outcome->row);
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

static bool report(struct run *run)
{
    const struct settle *settle = run->settle;
    const struct store_message *content;
    char *memory;
    bool is_good = true;

    if (run->failed_count == 0 && run->late_count == 0)
        return true;
    memory = read_head(run);
    content = &run->content->content;
    if (run->failed_count > 0)
        is_good = bounce_add(run->store, settle->rules.hostname, content, run->failed,
                             run->failed_count, false, settle->now_ms);
    if (is_good && run->late_count > 0)
        is_good = bounce_add_delay(run->store, settle->rules.hostname, content, run->late,
                                   run->late_count, settle->now_ms,
                                   content->arrival_ms + settle->rules.lifetime_ms);
    run->settle->has_report = content->reverse_path.length > 0;
    free(memory);
    return is_good;
}

static bool needs_content(const struct settle *settle)
{
    for (size_t i = 0; i < settle->count; i++)
        if (settle->outcomes[i].fate != QUEUE_DELIVERED)
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
        .failed = memory_new(settle->count * sizeof(*run->failed)),
        .late = memory_new(settle->count * sizeof(*run->late)),
        .found = memory_new(settle->count * sizeof(*run->found)),
    };
}

static void run_fini(struct run *run)
{
    for (size_t i = 0; i < run->settle->count; i++) {
        free(run->found[i].address);
        free(run->found[i].destination);
    }
    free(run->found);
    free(run->late);
    free(run->failed);
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
