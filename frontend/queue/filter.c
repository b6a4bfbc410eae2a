/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/queue/filter.h"

#include <stdlib.h>

#include "common/base/memory.h"

static const char *const known_states[] = { "pending", "held", "set-aside", "unknown" };

/* --- reading -------------------------------------------------------------------- */

uint64_t filter_parse_id(const char *text)
{
    uint64_t id = 0;

    if (!text || !span_parse_u64(span_from_string(text), &id) || id >= STORE_ROW_MESSAGE(INT64_MAX))
        return 0;
    return id;
}

static bool read_ids(struct filter *filter, const json_t *ids)
{
    const json_t *item;
    size_t i;

    filter->ids = memory_new((json_array_size(ids) + 1) * sizeof(*filter->ids));
    json_array_foreach (ids, i, item) {
        uint64_t id = filter_parse_id(json_string_value(item));

        if (id == 0)
            return false;
        filter->ids[filter->id_count++] = id;
    }
    qsort(filter->ids, filter->id_count, sizeof(*filter->ids), store_compare_ids);
    return filter->id_count > 0;
}

static char *read_text(const json_t *request, const char *key)
{
    const char *text = json_string_value(json_object_get(request, key));

    return text ? memory_copy_string(text) : NULL;
}

static bool is_known_state(const char *state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(known_states); i++)
        if (strcmp(state, known_states[i]) == 0)
            return true;
    return false;
}

bool filter_init(struct filter *filter, const json_t *request, int64_t now_ms, const char **error)
{
    const json_t *ids = json_object_get(request, "ids");
    const json_t *older = json_object_get(request, "older_than_s");

    *error = NULL;
    *filter = (struct filter){
        .sender = read_text(request, "sender"),
        .recipient = read_text(request, "recipient"),
        .domain = read_text(request, "domain"),
        .backend = read_text(request, "backend"),
        .state = read_text(request, "state"),
        .arrived_before_ms = INT64_MAX,
    };
    if (json_is_integer(older))
        filter->arrived_before_ms = now_ms - json_integer_value(older) * 1000;
    if (ids && !read_ids(filter, ids))
        *error = "there is no such message: an id is a number";
    else if (filter->state && !is_known_state(filter->state))
        *error = "a state is pending, held, set-aside or unknown";
    if (*error)
        filter_fini(filter);
    return !*error;
}

void filter_fini(struct filter *filter)
{
    free(filter->ids);
    free(filter->sender);
    free(filter->recipient);
    free(filter->domain);
    free(filter->backend);
    free(filter->state);
    *filter = (struct filter){ .ids = NULL };
}

/* --- matching ------------------------------------------------------------------- */

static bool text_matches(const char *wanted, struct span text)
{
    return !wanted || span_equals_ignore_case(span_from_string(wanted), text);
}

static bool sender_matches(const char *wanted, struct span reverse_path)
{
    return text_matches(wanted && strcmp(wanted, "<>") == 0 ? "" : wanted, reverse_path);
}

static bool backend_matches(const char *wanted, const char *destination)
{
    if (!wanted)
        return true;
    return destination && strcmp(destination, strcmp(wanted, "relay-host") == 0 ? "" : wanted) == 0;
}

static struct span domain_of(struct span address)
{
    return span_drop(address, span_find_last(address, '@') + 1);
}

static bool state_matches(const char *wanted, const struct store_recipient *recipient)
{
    if (!wanted)
        return true;
    if (strcmp(wanted, "unknown") == 0)
        return recipient->state == STORE_PENDING && recipient->flags & STORE_IS_UNKNOWN;
    return strcmp(wanted, known_states[recipient->state]) == 0;
}

bool filter_matches(const struct filter *filter, const struct store_view *view)
{
    const struct store_recipient *recipient = &view->recipient;

    return sender_matches(filter->sender, view->reverse_path) &&
           text_matches(filter->recipient, recipient->address) &&
           text_matches(filter->domain, domain_of(recipient->address)) &&
           backend_matches(filter->backend, recipient->destination) &&
           view->arrival_ms < filter->arrived_before_ms && state_matches(filter->state, recipient);
}

bool filter_range(const struct filter *filter, uint64_t cursor, uint64_t *after, uint64_t *last)
{
    if (!filter->ids) {
        *after = cursor;
        *last = INT64_MAX;
        return cursor < INT64_MAX;
    }
    for (size_t i = 0; i < filter->id_count; i++) {
        uint64_t first = STORE_ROW(filter->ids[i], 0) - 1;

        *last = STORE_ROW(filter->ids[i] + 1, 0) - 1;
        *after = cursor > first ? cursor : first;
        if (*after < *last)
            return true;
    }
    return false;
}
