/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and changes run as operations, a slice of rows at a time, so that a command over a
 * large queue delays no mail.
 */
#include "frontend/queue/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SLICE_ROWS = 5000,
    LIST_LIMIT = 100,
    LIST_LIMIT_MAX = 100000,
    LIST_RECIPIENTS_MAX = 100, /* shown of one message: a line has a bound */
    SHOW_RECIPIENTS_MAX = 150
};

static const char *const state_names[] = { "pending", "held", "set-aside" };

/* --- JSON ------------------------------------------------------------------------ */

/* Bytes of a peer as JSON text: what is not UTF-8 becomes question marks. */
static json_t *json_span(struct span text)
{
    json_t *string = json_stringn(text.data ? text.data : "", text.length);
    char *copy;

    if (string)
        return string;
    copy = memory_new(text.length + 1);
    for (size_t i = 0; i < text.length; i++)
        copy[i] = (unsigned char)text.data[i] < 0x80 ? text.data[i] : '?';
    string = json_stringn(copy, text.length);
    free(copy);
    return string;
}

static json_t *json_recipient(const struct store_view *view)
{
    const struct store_recipient *recipient = &view->recipient;
    json_t *object = json_object();

    json_object_set_new(object, "address", json_span(recipient->address));
    json_object_set_new(object, "state", json_string(state_names[recipient->state]));
    json_object_set_new(object, "backend",
                        recipient->destination ? json_span(span_from_string(recipient->destination))
                                               : json_null());
    json_object_set_new(object, "next_attempt_ms", json_integer(recipient->next_attempt_ms));
    json_object_set_new(object, "attempts", json_integer(view->attempts));
    json_object_set_new(object, "reply", json_span(recipient->reply));
    return object;
}

static void json_add_envelope(json_t *line, const struct store_message *message)
{
    json_object_set_new(line, "session_id", json_span(message->session_id));
    json_object_set_new(line, "reverse_path", json_span(message->reverse_path));
    json_object_set_new(line, "size", json_integer((json_int_t)message->size));
    json_object_set_new(line, "arrival_ms", json_integer(message->arrival_ms));
}

/* The message id in "id": 0 when it is none. */
static uint64_t argument_id(const json_t *arguments)
{
    const char *text = json_string_value(json_object_get(arguments, "id"));
    uint64_t id = 0;

    if (!text || !span_parse_u64(span_from_string(text), &id) || id >= STORE_ROW_MESSAGE(INT64_MAX))
        return 0;
    return id;
}

/* --- list and show ------------------------------------------------------------------ */

struct listing {
    struct operation operation;
    struct committer *committer;
    struct control_request *request;
    char *backend; /* owned; NULL: all */
    uint64_t cursor, last;
    size_t limit, recipients_max;
    size_t listed;    /* messages, before this slice */
    size_t visited;   /* rows of this slice */
    json_t *lines;    /* of this slice */
    uint64_t message; /* of the last line */
    bool is_single, is_full;
};

static bool listing_wants(const struct listing *listing, const struct store_view *view)
{
    return !listing->backend || (view->recipient.destination &&
                                 strcmp(view->recipient.destination, listing->backend) == 0);
}

static json_t *listing_line(struct listing *listing, uint64_t message)
{
    char id[24];
    json_t *line;

    if (message == listing->message && json_array_size(listing->lines) > 0)
        return json_array_get(listing->lines, json_array_size(listing->lines) - 1);
    if (listing->listed + json_array_size(listing->lines) >= listing->limit) {
        listing->is_full = true;
        return NULL;
    }
    line = json_object();
    snprintf(id, sizeof(id), "%" PRIu64, message);
    json_object_set_new(line, "id", json_string(id));
    json_object_set_new(line, "recipients", json_array());
    json_array_append_new(listing->lines, line);
    listing->message = message;
    return line;
}

static void listing_visit(void *context, const struct store_view *view)
{
    struct listing *listing = context;
    json_t *line, *recipients;

    listing->visited++;
    if (listing->is_full)
        return;
    listing->cursor = view->row;
    line =
        listing_wants(listing, view) ? listing_line(listing, STORE_ROW_MESSAGE(view->row)) : NULL;
    recipients = json_object_get(line, "recipients");
    if (!line)
        return;
    if (json_array_size(recipients) < listing->recipients_max)
        json_array_append_new(recipients, json_recipient(view));
    else
        json_object_set_new(line, "is_cut", json_true());
}

static bool listing_add_envelopes(struct listing *listing, struct store *store)
{
    json_t *line;
    size_t i;

    json_array_foreach (listing->lines, i, line) {
        struct store_job *job;

        if (!store_read_message(store, argument_id(line), 0, &job))
            return false;
        if (!job)
            continue;
        json_add_envelope(line, &job->content);
        store_job_free(job);
    }
    return true;
}

/* A message whose rows may go on in the next slice is read again with it. */
static void listing_leave_last(struct listing *listing)
{
    size_t count = json_array_size(listing->lines);

    if (listing->visited < SLICE_ROWS || listing->is_full || count < 2)
        return;
    json_array_remove(listing->lines, count - 1);
    listing->cursor = STORE_ROW(listing->message, 0) - 1;
}

static bool listing_apply(struct operation *operation, struct store *store)
{
    struct listing *listing = CONTAINER_OF(operation, struct listing, operation);

    json_decref(listing->lines);
    listing->lines = json_array();
    listing->visited = 0;
    if (!store_scan(store, listing->cursor, listing->last, SLICE_ROWS, false, listing_visit,
                    listing))
        return false;
    listing_leave_last(listing);
    return listing_add_envelopes(listing, store);
}

static void listing_end(struct listing *listing, const char *error)
{
    control_finish(listing->request, error);
    json_decref(listing->lines);
    free(listing->backend);
    free(listing);
}

static void listing_done(struct operation *operation, bool is_committed)
{
    struct listing *listing = CONTAINER_OF(operation, struct listing, operation);
    json_t *line;
    size_t i;

    if (!is_committed) {
        listing_end(listing, "the queue's database cannot be read now");
        return;
    }
    json_array_foreach (listing->lines, i, line)
        control_reply(listing->request, json_incref(line));
    listing->listed += json_array_size(listing->lines);
    if (listing->visited == SLICE_ROWS && !listing->is_full && control_is_wanted(listing->request))
        committer_submit(listing->committer, operation);
    else
        listing_end(listing, listing->is_single && listing->listed == 0 ? "no such message" : NULL);
}

static struct listing *listing_new(struct commands *commands, struct control_request *request)
{
    struct listing *listing = memory_new(sizeof(*listing));

    listing->operation.apply = listing_apply;
    listing->operation.done = listing_done;
    listing->committer = commands->committer;
    listing->request = request;
    listing->lines = json_array();
    listing->last = UINT64_MAX;
    listing->limit = LIST_LIMIT;
    listing->recipients_max = LIST_RECIPIENTS_MAX;
    return listing;
}

static void run_list(struct control_request *request, json_t *arguments, void *context)
{
    struct commands *commands = context;
    struct listing *listing = listing_new(commands, request);
    const json_t *limit = json_object_get(arguments, "limit");
    const char *backend = json_string_value(json_object_get(arguments, "backend"));

    if (json_is_integer(limit) && json_integer_value(limit) > 0)
        listing->limit = json_integer_value(limit) < LIST_LIMIT_MAX
                             ? (size_t)json_integer_value(limit)
                             : LIST_LIMIT_MAX;
    if (backend)
        listing->backend = memory_copy_string(backend);
    committer_submit(commands->committer, &listing->operation);
}

static void run_show(struct control_request *request, json_t *arguments, void *context)
{
    struct commands *commands = context;
    uint64_t id = argument_id(arguments);
    struct listing *listing;

    if (id == 0) {
        control_finish(request, "no such message");
        return;
    }
    listing = listing_new(commands, request);
    listing->cursor = STORE_ROW(id, 0) - 1;
    listing->last = STORE_ROW(id + 1, 0) - 1;
    listing->limit = 1;
    listing->recipients_max = SHOW_RECIPIENTS_MAX;
    listing->is_single = true;
    committer_submit(commands->committer, &listing->operation);
}

/* --- flush ----------------------------------------------------------------------------- */

struct flushing {
    struct operation operation;
    struct commands *commands;
    struct control_request *request;
    struct store_flush flush;
    char *backend; /* owned; NULL: all */
    uint64_t cursor, next_cursor;
    size_t changed, flushed;
};

static bool flushing_apply(struct operation *operation, struct store *store)
{
    struct flushing *flushing = CONTAINER_OF(operation, struct flushing, operation);

    flushing->next_cursor = flushing->cursor;
    return store_flush(store, &flushing->flush, SLICE_ROWS, &flushing->next_cursor,
                       &flushing->changed);
}

static void flushing_end(struct flushing *flushing, const char *error)
{
    if (!error)
        control_reply(flushing->request,
                      json_pack("{s:I}", "flushed", (json_int_t)flushing->flushed));
    control_finish(flushing->request, error);
    free(flushing->backend);
    free(flushing);
}

static void flushing_done(struct operation *operation, bool is_committed)
{
    struct flushing *flushing = CONTAINER_OF(operation, struct flushing, operation);

    if (!is_committed) {
        flushing_end(flushing, "the queue's database cannot be written now");
        return;
    }
    scheduler_wake(flushing->commands->scheduler);
    flushing->cursor = flushing->next_cursor;
    flushing->flushed += flushing->changed;
    if (flushing->cursor != UINT64_MAX)
        committer_submit(flushing->commands->committer, operation);
    else
        flushing_end(flushing, NULL);
}

static void run_flush(struct control_request *request, json_t *arguments, void *context)
{
    struct commands *commands = context;
    const char *backend = json_string_value(json_object_get(arguments, "backend"));
    struct flushing *flushing;

    if (json_object_get(arguments, "id") && argument_id(arguments) == 0) {
        control_finish(request, "no such message");
        return;
    }
    flushing = memory_new(sizeof(*flushing));
    flushing->operation.apply = flushing_apply;
    flushing->operation.done = flushing_done;
    flushing->commands = commands;
    flushing->request = request;
    flushing->backend = backend ? memory_copy_string(backend) : NULL;
    flushing->flush = (struct store_flush){
        .message = argument_id(arguments),
        .by_destination = backend != NULL,
        .destination = flushing->backend,
        .now_ms = commands->now_ms(commands->context),
    };
    committer_submit(commands->committer, &flushing->operation);
}

/* --- status ---------------------------------------------------------------------------- */

static void add_destination(void *context, const char *name, size_t in_hand, bool is_waiting)
{
    json_array_append_new(context, json_pack("{s:s?,s:I,s:b}", "backend", name, "in_hand",
                                             (json_int_t)in_hand, "is_waiting", is_waiting));
}

static void run_stat(struct control_request *request, json_t *arguments, void *context)
{
    struct commands *commands = context;
    const struct store_counts *counts = &commands->committer->counts;
    json_t *destinations = json_array();

    (void)arguments;
    scheduler_each(commands->scheduler, add_destination, destinations);
    control_reply(request,
                  json_pack("{s:I,s:I,s:I,s:I,s:o}", "messages", (json_int_t)counts->messages,
                            "recipients", (json_int_t)counts->recipients, "held",
                            (json_int_t)counts->held, "set_aside", (json_int_t)counts->set_aside,
                            "destinations", destinations));
    control_finish(request, NULL);
}

const struct control_command queue_commands[] = {
    { "queue-list", run_list },
    { "queue-show", run_show },
    { "queue-flush", run_flush },
    { "queue-stat", run_stat },
    { NULL, NULL },
};
