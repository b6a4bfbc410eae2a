/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two stores take turns: the other queue's is used in libuv's pool, one piece of work at a time,
 * ours by the committer.  Between them there is one slice of messages in memory.
 *
 * Failures end it with what was done so far; nothing is lost, and it can be asked for again.  A
 * message that cannot be read stays in the other queue and is counted.  So does everything when
 * that queue cannot be written: the notes then say for ever how far it was read.
 */
#include "frontend/queue/adoption.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"

enum {
    SLICE_MESSAGES = 100,
    SLICE_BYTES = 8 << 20, /* of bodies; a slice may pass it by its last message */
    TELL_MS = 1000
};

/* A message on its way. */
struct mover {
    struct store_job *job;              /* owned */
    struct store_recipient *recipients; /* owned, and so are their texts */
    size_t count, capacity;
    char body_file[RANDOM_ID_SIZE]; /* its copy in our incoming/; empty: in the row */
};

enum adoption_step {
    ADOPTION_OPENS,   /* in the pool: the other queue */
    ADOPTION_RECALLS, /* committer: what was noted by an earlier run */
    ADOPTION_READS,   /* in the pool: takes out what is noted, reads the next slice */
    ADOPTION_TAKES,   /* committer: takes the slice in, with its notes */
    ADOPTION_CLOSES   /* in the pool */
};

struct adoption {
    struct operation operation;
    uv_work_t work;
    struct commands *commands;
    struct control_request *request; /* NULL: nobody asked */
    char *directory;
    struct store *other; /* NULL: not open */
    char source[STORE_SOURCE_SIZE], error[STORE_ERROR_SIZE];
    enum adoption_step step;
    bool is_good;           /* the work in the pool */
    const char *end_reason; /* NULL: all is done */
    bool is_kept;           /* the other queue cannot be written: nothing is taken out there */
    uint64_t cursor;
    uint64_t noted[SLICE_MESSAGES];
    size_t noted_count;
    struct mover movers[SLICE_MESSAGES];
    size_t mover_count, bytes;
    int64_t now_ms;
    uint64_t told_ms;
    size_t messages, recipients, unreadable;
};

/* --- a message on its way ------------------------------------------------------- */

static void recipient_free(struct store_recipient *recipient)
{
    free((char *)(uintptr_t)recipient->address.data);
    free((char *)(uintptr_t)recipient->reply.data);
    free((char *)(uintptr_t)recipient->orcpt.data);
    free((char *)(uintptr_t)recipient->destination);
}

static void movers_free(struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->mover_count; i++) {
        struct mover *mover = &adoption->movers[i];

        for (size_t j = 0; j < mover->count; j++)
            recipient_free(&mover->recipients[j]);
        free(mover->recipients);
        store_job_free(mover->job);
        *mover = (struct mover){ .count = 0 };
    }
    adoption->mover_count = 0;
}

static struct span copy_span(struct span text)
{
    char *copy = memory_new(text.length + 1);

    if (text.length > 0)
        memcpy(copy, text.data, text.length);
    return span_of(copy, text.length);
}

static void mover_take_recipient(void *context, const struct store_view *view)
{
    struct mover *mover = context;
    struct store_recipient *recipient;

    if (mover->count == mover->capacity) {
        mover->capacity = mover->capacity ? 2 * mover->capacity : 4;
        mover->recipients =
            memory_resize(mover->recipients, mover->capacity * sizeof(*mover->recipients));
    }
    recipient = &mover->recipients[mover->count++];
    *recipient = view->recipient;
    recipient->address = copy_span(view->recipient.address);
    recipient->reply = copy_span(view->recipient.reply);
    recipient->orcpt = copy_span(view->recipient.orcpt);
    if (view->recipient.destination)
        recipient->destination = memory_copy_string(view->recipient.destination);
}

/* --- in the pool: the other queue ------------------------------------------------- */

static bool remove_noted(struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->noted_count; i++)
        if (!store_remove_message(adoption->other, adoption->noted[i]))
            return false;
    return true;
}

static void take_noted_out(struct adoption *adoption)
{
    if (adoption->is_kept || adoption->noted_count == 0)
        return;
    adoption->is_kept =
        !(store_begin(adoption->other) && remove_noted(adoption) && store_commit(adoption->other));
    if (!adoption->is_kept)
        return;
    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_adoption_leaves_all",
              LOG_TEXT("directory", adoption->directory));
    store_abort(adoption->other);
}

static void note_row(void *context, const struct store_view *view)
{
    *(uint64_t *)context = view->row;
}

/* A body that is a file is copied to our side, under a name of its own. */
static bool copy_body(struct adoption *adoption, struct mover *mover)
{
    const struct store_message *content = &mover->job->content;

    adoption->bytes += content->size;
    if (!content->body_file)
        return true;
    random_id(mover->body_file);
    if (store_copy_body(adoption->other, content->body_file, adoption->commands->committer->store,
                        mover->body_file))
        return true;
    snprintf(adoption->error, sizeof(adoption->error), "a message's body: %s", strerror(errno));
    return false;
}

/* Reads message `id` as the next of the slice; one that cannot be read is left. */
static bool read_message(struct adoption *adoption, uint64_t id)
{
    struct mover *mover = &adoption->movers[adoption->mover_count];

    if (!store_read_message(adoption->other, id, SIZE_MAX, &mover->job))
        return false;
    if (!mover->job) {
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_message_unreadable", LOG_INTEGER("message", id),
                  LOG_TEXT("directory", adoption->directory));
        adoption->unreadable++;
        return true;
    }
    adoption->mover_count++;
    return store_scan(adoption->other, STORE_ROW(id, 0) - 1, STORE_ROW(id + 1, 0) - 1,
                      STORE_RECIPIENTS_MAX, false, mover_take_recipient, mover) &&
           copy_body(adoption, mover);
}

static bool read_slice(struct adoption *adoption)
{
    adoption->bytes = 0;
    while (adoption->mover_count < SLICE_MESSAGES && adoption->bytes < SLICE_BYTES) {
        uint64_t row = 0;

        if (!store_scan(adoption->other, adoption->cursor, INT64_MAX, 1, false, note_row, &row))
            return false;
        if (row == 0)
            return true;
        adoption->cursor = STORE_ROW(STORE_ROW_MESSAGE(row) + 1, 0) - 1;
        if (!read_message(adoption, STORE_ROW_MESSAGE(row)))
            return false;
    }
    return true;
}

/*
 * Removes the bodies that a killed adoption left behind and no message names.  Not where the
 * database was damaged, or some of it could not be read: there a file may be all that is left.
 */
static void tidy_other(struct adoption *adoption)
{
    if (adoption->end_reason || adoption->is_kept || adoption->unreadable > 0 ||
        strstr(adoption->directory, "/set-aside-"))
        return;
    if (!store_clean_files(adoption->other, INT64_MAX))
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "queue_adopted_untidy",
                  LOG_TEXT("directory", adoption->directory));
}

static void adoption_work(uv_work_t *work)
{
    struct adoption *adoption = CONTAINER_OF(work, struct adoption, work);

    if (adoption->step == ADOPTION_OPENS) {
        adoption->other = store_open_adopted(
            adoption->directory, scheduler_rules(adoption->commands->scheduler).hostname,
            &store_system_real, adoption->source, adoption->error);
        adoption->is_good = adoption->other != NULL;
        return;
    }
    if (adoption->step == ADOPTION_CLOSES) {
        tidy_other(adoption);
        store_close(adoption->other);
        return;
    }
    take_noted_out(adoption);
    adoption->is_good =
        store_begin(adoption->other) && read_slice(adoption) && store_commit(adoption->other);
    if (!adoption->is_good)
        store_abort(adoption->other);
}

/* --- committer: ours -------------------------------------------------------------- */

static bool take_message(struct adoption *adoption, struct store *store, struct mover *mover)
{
    struct store_message message = mover->job->content;
    uint64_t id;

    if (message.body_file)
        message.body_file = mover->body_file;
    for (size_t i = 0; i < mover->count; i++) {
        struct store_recipient *recipient = &mover->recipients[i];

        recipient->next_attempt_ms = recipient->not_before_ms > adoption->now_ms
                                         ? recipient->not_before_ms
                                         : adoption->now_ms;
    }
    return store_add(store, &message, mover->recipients, mover->count, false, &id) &&
           store_note_adopted(store, adoption->source, mover->job->message);
}

static bool adoption_apply(struct operation *operation, struct store *store)
{
    struct adoption *adoption = CONTAINER_OF(operation, struct adoption, operation);

    if (adoption->step == ADOPTION_RECALLS)
        return store_find_adopted(store, adoption->source, adoption->noted, SLICE_MESSAGES,
                                  &adoption->noted_count);
    if (adoption->is_kept && adoption->mover_count == 0)
        return true;
    if (!store_forget_adopted(store, adoption->source))
        return false;
    for (size_t i = 0; i < adoption->mover_count; i++)
        if (!take_message(adoption, store, &adoption->movers[i]))
            return false;
    return true;
}

/* --- the end ------------------------------------------------------------------------ */

static json_t *adoption_answer(const struct adoption *adoption)
{
    return json_pack("{s:s,s:I,s:I,s:I,s:b}", "directory", adoption->directory, "messages",
                     (json_int_t)adoption->messages, "recipients", (json_int_t)adoption->recipients,
                     "unreadable", (json_int_t)adoption->unreadable, "is_kept", adoption->is_kept);
}

static void adoption_finish(struct adoption *adoption)
{
    const char *reason = adoption->end_reason;

    if (reason)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_adoption_ended",
                  LOG_TEXT("directory", adoption->directory),
                  LOG_INTEGER("messages", adoption->messages), LOG_TEXT("reason", reason));
    else
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "queue_adopted", LOG_TEXT("directory", adoption->directory),
                  LOG_INTEGER("messages", adoption->messages),
                  LOG_INTEGER("recipients", adoption->recipients),
                  LOG_INTEGER("unreadable", adoption->unreadable));
    if (adoption->request) {
        control_reply(adoption->request, adoption_answer(adoption));
        control_finish(adoption->request, reason);
    }
    movers_free(adoption);
    free(adoption->directory);
    free(adoption);
}

/* --- from step to step ------------------------------------------------------------ */

static void adoption_worked(uv_work_t *work, int status);

static void adoption_start_work(struct adoption *adoption, enum adoption_step step)
{
    adoption->step = step;
    if (uv_queue_work(&adoption->commands->committer->loop->uv, &adoption->work, adoption_work,
                      adoption_worked) != 0)
        abort();
}

/* Closing copies the other queue's WAL back, which takes its time. */
static void adoption_end(struct adoption *adoption, const char *reason)
{
    adoption->end_reason = reason;
    if (adoption->other)
        adoption_start_work(adoption, ADOPTION_CLOSES);
    else
        adoption_finish(adoption);
}

static void adoption_submit(struct adoption *adoption, enum adoption_step step)
{
    adoption->step = step;
    adoption->now_ms = adoption->commands->now_ms(adoption->commands->context);
    committer_submit(adoption->commands->committer, &adoption->operation);
}

static void adoption_tell(struct adoption *adoption)
{
    json_t *answer;

    if (!adoption->request || clock_monotonic_ms() - adoption->told_ms < TELL_MS)
        return;
    adoption->told_ms = clock_monotonic_ms();
    answer = adoption_answer(adoption);
    json_object_set_new(answer, "is_partial", json_true());
    control_reply(adoption->request, answer);
}

static bool adoption_is_wanted(const struct adoption *adoption)
{
    return adoption->request ? control_is_wanted(adoption->request)
                             : !adoption->commands->is_stopping;
}

static void adoption_worked(uv_work_t *work, int status)
{
    struct adoption *adoption = CONTAINER_OF(work, struct adoption, work);

    (void)status; /* work is never cancelled */
    if (adoption->step == ADOPTION_CLOSES)
        adoption_finish(adoption);
    else if (!adoption->is_good)
        adoption_end(adoption, adoption->error[0] ? adoption->error : "the other queue failed");
    else if (!adoption_is_wanted(adoption))
        adoption_end(adoption, "nobody waits for it any more");
    else
        adoption_submit(adoption,
                        adoption->step == ADOPTION_OPENS ? ADOPTION_RECALLS : ADOPTION_TAKES);
}

/* What is in our queue now is to be attempted, and taken out of the other. */
static void adoption_note_slice(struct adoption *adoption)
{
    struct scheduler *scheduler = adoption->commands->scheduler;

    adoption->noted_count = 0;
    for (size_t i = 0; i < adoption->mover_count; i++) {
        const struct mover *mover = &adoption->movers[i];

        adoption->noted[adoption->noted_count++] = mover->job->message;
        adoption->messages++;
        adoption->recipients += mover->count;
        for (size_t j = 0; j < mover->count; j++)
            scheduler_wake_destination(scheduler, mover->recipients[j].destination);
    }
    movers_free(adoption);
    scheduler_run(scheduler);
}

static void adoption_done(struct operation *operation, bool is_committed)
{
    struct adoption *adoption = CONTAINER_OF(operation, struct adoption, operation);
    bool is_last = adoption->step == ADOPTION_TAKES && adoption->mover_count == 0;

    if (!is_committed) {
        adoption_end(adoption, "this queue's database cannot be written now");
        return;
    }
    if (adoption->step == ADOPTION_TAKES)
        adoption_note_slice(adoption);
    else if (adoption->noted_count > 0)
        adoption->cursor = STORE_ROW(adoption->noted[adoption->noted_count - 1] + 1, 0) - 1;
    adoption_tell(adoption);
    if (is_last)
        adoption_end(adoption, NULL);
    else
        adoption_start_work(adoption, ADOPTION_READS);
}

static void adoption_start(struct commands *commands, struct control_request *request,
                           const char *directory)
{
    struct adoption *adoption = memory_new(sizeof(*adoption));

    adoption->operation.apply = adoption_apply;
    adoption->operation.done = adoption_done;
    adoption->commands = commands;
    adoption->request = request;
    adoption->directory = memory_copy_string(directory);
    adoption->told_ms = clock_monotonic_ms();
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "queue_adopting", LOG_TEXT("directory", directory));
    adoption_start_work(adoption, ADOPTION_OPENS);
}

void adoption_run(struct control_request *request, json_t *arguments, void *context)
{
    const char *directory = json_string_value(json_object_get(arguments, "directory"));

    if (directory && directory[0] == '/')
        adoption_start(context, request, directory);
    else
        control_finish(request, "the folder of a queue is wanted, as an absolute path");
}

void adoption_salvage(struct commands *commands, const char *directory)
{
    adoption_start(commands, NULL, directory);
}
