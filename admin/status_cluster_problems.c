/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong at any of many nodes; what several of them see of a backend is said once. */
#include <string.h>

#include "admin/status.h"
#include "common/base/bytes.h"

enum { BEHIND_LATE_MS = 5000, NAMES_MAX = 400 };

const json_t *status_find_backend(const struct status_node *view, const char *name)
{
    json_t *backend;
    size_t i;

    json_array_foreach (json_object_get(view->document, "backends"), i, backend) {
        const char *other = json_text(backend, "backend");

        if (other && strcmp(other, name) == 0)
            return backend;
    }
    return NULL;
}

json_t *status_all_backends(const struct status_node *nodes, size_t count)
{
    json_t *all = json_object();

    for (size_t i = 0; i < count; i++) {
        json_t *backend;
        size_t j;

        json_array_foreach (json_object_get(nodes[i].document, "backends"), j, backend) {
            const char *name = json_text(backend, "backend");

            if (name && !json_object_get(all, name))
                json_object_set(all, name, backend);
        }
    }
    return all;
}

/* --- of a backend
 * --------------------------------------------------------------------------------- */

/* The protocols that a node sees down, as a set of bits. */
static unsigned down_set(const json_t *backend)
{
    unsigned set = 0;

    for (unsigned i = 0; status_protocols[i]; i++) {
        const char *state = json_text(json_object_get(backend, status_protocols[i]), "state");

        if (state && strcmp(state, "down") == 0)
            set |= 1U << i;
    }
    return set;
}

/* "lmtp, imap" */
static void append_name(struct bytes *text, const char *name)
{
    if (!bytes_append_format(text, "%s%s", text->length > 0 ? ", " : "", name))
        return; /* there are more than anybody wants to read */
}

static void append_protocols(struct bytes *text, unsigned set)
{
    for (unsigned i = 0; status_protocols[i]; i++)
        if (set & 1U << i)
            append_name(text, status_protocols[i]);
}

static void note_down(json_t *problems, const char *backend, unsigned set, struct bytes *names)
{
    struct bytes protocols = bytes_empty(NAMES_MAX), text = bytes_empty(4 * NAMES_MAX);

    append_protocols(&protocols, set);
    if (bytes_append_format(&text, "backend %s: %.*s down at %.*s", backend,
                            SPAN_PRINTF(bytes_span(&protocols)), SPAN_PRINTF(bytes_span(names))) &&
        bytes_append(&text, span_of("", 1)))
        json_array_append_new(problems, json_any_text(text.data));
    bytes_release(&protocols);
    bytes_release(&text);
}

/* A line for each set of protocols that any nodes see down. */
static void look_at_backend(const struct status_node *nodes, size_t count, const char *backend,
                            json_t *problems)
{
    unsigned all = (1U << (STATUS_MAIL_PROTOCOLS + 1)) - 1;

    for (unsigned set = all; set > 0; set--) {
        struct bytes names = bytes_empty(NAMES_MAX);

        for (size_t i = 0; i < count; i++)
            if (down_set(status_find_backend(&nodes[i], backend)) == set)
                append_name(&names, nodes[i].node->name);
        if (names.length > 0)
            note_down(problems, backend, set, &names);
        bytes_release(&names);
    }
}

static void look_at_backends(const struct status_node *nodes, size_t count, json_t *problems)
{
    json_t *backends = status_all_backends(nodes, count), *backend;
    const char *name;

    json_object_foreach(backends, name, backend)
    {
        status_note_order(backend, problems);
        look_at_backend(nodes, count, name, problems);
    }
    json_decref(backends);
}

/* --- of a node
 * --------------------------------------------------------------------------------------- */

static void note_at(json_t *problems, const struct status_node *view, const char *problem)
{
    char text[CONFIG_ERROR_SIZE + REACH_NAME_SIZE];

    snprintf(text, sizeof(text), "%s: %s", view->node->name, problem);
    json_array_append_new(problems, json_any_text(text));
}

static void look_at_node(const struct status_node *view, json_t *problems)
{
    json_t *own = view->document ? status_own_problems(view->document) : NULL, *problem;
    char lag[OUTPUT_TEXT_SIZE], text[2 * OUTPUT_TEXT_SIZE];
    size_t i;

    if (!view->document && reach_is_askable(view->node))
        note_at(problems, view, view->error);
    json_array_foreach (own, i, problem)
        note_at(problems, view, json_string_value(problem));
    if (view->behind_ms >= BEHIND_LATE_MS) {
        snprintf(text, sizeof(text), "its mirror is %s behind the others",
                 format_duration(view->behind_ms, lag));
        note_at(problems, view, text);
    }
    json_decref(own);
}

json_t *status_cluster_problems(const struct status_node *nodes, size_t count)
{
    json_t *problems = json_array();

    for (size_t i = 0; i < count; i++)
        look_at_node(&nodes[i], problems);
    look_at_backends(nodes, count, problems);
    return problems;
}
