/* SPDX-License-Identifier: Apache-2.0 */
/* Reads run as operations, a slice of rows at a time, so that a long list delays no mail. */
#include "frontend/queue/listing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "frontend/queue/filter.h"

enum {
    SLICE_ROWS = 1000,
    LIST_LIMIT = 100,
    LIST_LIMIT_MAX = 1000,
    LIST_RECIPIENTS_MAX = 100, /* shown of one message: a line has a bound */
    SHOW_RECIPIENTS_MAX = 150
};

struct listing {
    struct operation operation;
    struct committer *committer;
    struct control_request *request;
    struct filter filter;
    uint64_t start, cursor, last; /* rows: where the slice starts, has come to, and ends */
    size_t limit, recipients_max;
    size_t listed;    /* messages, before this slice */
    size_t visited;   /* rows of this slice */
    json_t *lines;    /* of this slice */
    uint64_t message; /* of the last line */
    bool is_single, is_full;
};

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

static const char *state_name(const struct store_recipient *recipient)
{
    static const char *const names[] = { "pending", "held", "set-aside" };

    return names[recipient->state];
}

/* The words of NOTIFY; null: nothing was said. */
static json_t *json_notify(unsigned notify)
{
    char words[MAIL_NOTIFY_WORDS_SIZE];
    struct buffer text = buffer_over(words, sizeof(words));

    mail_notify_write(notify, &text);
    return notify == 0 ? json_null() : json_span(buffer_span(&text));
}

static json_t *json_recipient(const struct store_view *view)
{
    const struct store_recipient *recipient = &view->recipient;
    json_t *object = json_object();

    json_object_set_new(object, "address", json_span(recipient->address));
    json_object_set_new(object, "state", json_string(state_name(recipient)));
    json_object_set_new(object, "backend",
                        recipient->destination ? json_span(span_from_string(recipient->destination))
                                               : json_null());
    json_object_set_new(object, "next_attempt_ms", json_integer(recipient->next_attempt_ms));
    json_object_set_new(object, "attempts", json_integer(recipient->attempts));
    json_object_set_new(object, "is_unknown", json_boolean(recipient->flags & STORE_IS_UNKNOWN));
    json_object_set_new(object, "reply", json_span(recipient->reply));
    json_object_set_new(object, "notify", json_notify(recipient->notify));
    json_object_set_new(object, "orcpt", json_span(recipient->orcpt));
    return object;
}

static json_t *json_message(const struct store_view *view)
{
    json_t *line = json_object();
    char id[24];

    snprintf(id, sizeof(id), "%" PRIu64, STORE_ROW_MESSAGE(view->row));
    json_object_set_new(line, "id", json_string(id));
    json_object_set_new(line, "session_id", json_span(view->session_id));
    json_object_set_new(line, "reverse_path", json_span(view->reverse_path));
    json_object_set_new(line, "size", json_integer((json_int_t)view->size));
    json_object_set_new(line, "arrival_ms", json_integer(view->arrival_ms));
    json_object_set_new(line, "is_utf8", json_boolean(view->is_utf8));
    json_object_set_new(line, "ret",
                        view->ret == MAIL_RETURN_FULL      ? json_string("FULL")
                        : view->ret == MAIL_RETURN_HEADERS ? json_string("HDRS")
                                                           : json_null());
    json_object_set_new(line, "envid", json_span(view->envid));
    json_object_set_new(line, "recipients", json_array());
    return line;
}

/* --- visiting ----------------------------------------------------------------------- */

/* The line of the view's message, made when it is the first; NULL when the list is full. */
static json_t *listing_line(struct listing *listing, const struct store_view *view)
{
    size_t count = json_array_size(listing->lines);
    json_t *line;

    if (STORE_ROW_MESSAGE(view->row) == listing->message && count > 0)
        return json_array_get(listing->lines, count - 1);
    if (listing->listed + count >= listing->limit) {
        listing->is_full = true;
        return NULL;
    }
    line = json_message(view);
    json_array_append_new(listing->lines, line);
    listing->message = STORE_ROW_MESSAGE(view->row);
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
    line = filter_matches(&listing->filter, view) ? listing_line(listing, view) : NULL;
    recipients = json_object_get(line, "recipients");
    if (!line)
        return;
    if (json_array_size(recipients) < listing->recipients_max)
        json_array_append_new(recipients, json_recipient(view));
    else
        json_object_set_new(line, "is_cut", json_true());
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
    uint64_t after;

    json_decref(listing->lines);
    listing->lines = json_array();
    listing->visited = 0;
    listing->is_full = false;
    listing->cursor = listing->start;
    if (!filter_range(&listing->filter, listing->start, &after, &listing->last))
        return true;
    if (!store_look(store, after, listing->last, SLICE_ROWS, true, listing_visit, listing))
        return false;
    listing_leave_last(listing);
    return true;
}

/* --- between the operations ----------------------------------------------------------- */

static void listing_end(struct listing *listing, const char *error)
{
    control_finish(listing->request, error);
    json_decref(listing->lines);
    filter_fini(&listing->filter);
    free(listing);
}

static void listing_done(struct operation *operation, bool is_committed)
{
    struct listing *listing = CONTAINER_OF(operation, struct listing, operation);
    uint64_t after, last;
    json_t *line;
    size_t i;

    if (!is_committed) {
        listing_end(listing, "the queue's database cannot be read now");
        return;
    }
    json_array_foreach (listing->lines, i, line)
        control_reply(listing->request, json_incref(line));
    listing->listed += json_array_size(listing->lines);
    if (listing->visited < SLICE_ROWS)
        listing->cursor = listing->last;
    listing->start = listing->cursor;
    if (!listing->is_full && control_is_wanted(listing->request) &&
        filter_range(&listing->filter, listing->cursor, &after, &last))
        committer_submit(listing->committer, operation);
    else
        listing_end(listing, listing->is_single && listing->listed == 0 ? "no such message" : NULL);
}

/* --- the start ---------------------------------------------------------------------- */

static struct listing *listing_new(struct commands *commands, struct control_request *request)
{
    struct listing *listing = memory_new(sizeof(*listing));

    listing->operation.apply = listing_apply;
    listing->operation.done = listing_done;
    listing->committer = commands->committer;
    listing->request = request;
    listing->lines = json_array();
    listing->limit = LIST_LIMIT;
    listing->recipients_max = LIST_RECIPIENTS_MAX;
    return listing;
}

static void listing_start(struct listing *listing, const json_t *arguments, int64_t now_ms)
{
    const char *error;

    if (filter_init(&listing->filter, arguments, now_ms, &error))
        committer_submit(listing->committer, &listing->operation);
    else
        listing_end(listing, error);
}

void listing_run_list(struct control_request *request, json_t *arguments, void *context)
{
    struct commands *commands = context;
    struct listing *listing = listing_new(commands, request);
    json_int_t limit = json_integer_value(json_object_get(arguments, "limit"));
    uint64_t message = filter_parse_id(json_string_value(json_object_get(arguments, "after")));

    if (limit > 0)
        listing->limit = limit < LIST_LIMIT_MAX ? (size_t)limit : LIST_LIMIT_MAX;
    if (message != 0)
        listing->start = STORE_ROW(message + 1, 0) - 1;
    listing_start(listing, arguments, commands->now_ms(commands->context));
}

void listing_run_show(struct control_request *request, json_t *arguments, void *context)
{
    struct commands *commands = context;
    struct listing *listing = listing_new(commands, request);
    json_t *filter = json_pack("{s:[O?]}", "ids", json_object_get(arguments, "id"));

    listing->limit = 1;
    listing->recipients_max = SHOW_RECIPIENTS_MAX;
    listing->is_single = true;
    listing_start(listing, filter, 0);
    json_decref(filter);
}
