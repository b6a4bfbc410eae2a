/* SPDX-License-Identifier: Apache-2.0 */
/* What many nodes say, a line each, and what the frontends see of the backends, taken together. */
#include <inttypes.h>
#include <string.h>

#include "admin/node.h"
#include "admin/status.h"

static const char *role_of(const struct status_node *view)
{
    const char *program = json_text(view->document, "program");

    if (program)
        return strcmp(program, "mailstead-backend") == 0 ? "backend" : "frontend";
    return view->node->role == REACH_BACKEND ? "backend" : "frontend";
}

/* --- the nodes ---------------------------------------------------------------------------------
 */

static void add_state(struct table *table, const struct status_node *view)
{
    const char *state = json_text(json_object_get(view->document, "storage_node"), "state");
    char age[OUTPUT_TEXT_SIZE];

    if (json_flag(json_object_get(view->document, "drain"), "is_drained") == 1)
        table_add(table, "drained");
    else if (state)
        table_add(table, state);
    else
        table_add_format(table, "up %s",
                         format_duration(1000 * json_number(view->document, "uptime_s", 0), age));
}

static void add_mirror(struct table *table, const struct status_node *view)
{
    const json_t *mirror = json_object_get(view->document, "mirror");
    char lag[OUTPUT_TEXT_SIZE];

    table_add_format(table, "%" PRId64, json_number(mirror, "revision", 0));
    if (json_flag(mirror, "is_synchronised") != 1)
        table_add(table, "not synchronised");
    else if (view->behind_ms > 0)
        table_add_format(table, "%s behind", format_duration(view->behind_ms, lag));
    else if (json_flag(mirror, "is_connected") != 1)
        table_add(table, "not connected");
    else
        table_add(table, view->behind_ms == 0 ? "current" : "connected");
}

static void add_queue(struct table *table, const struct status_node *view)
{
    const json_t *counters = json_object_get(view->document, "counters");
    int64_t messages = json_number(counters, "queue_messages", 0);

    if (strcmp(role_of(view), "backend") == 0)
        table_add(table, NULL);
    else if (messages == 0)
        table_add(table, "empty");
    else
        table_add_format(table, "%" PRId64, messages);
}

static void add_node(struct table *table, const struct status_node *view)
{
    table_add(table, view->node->role == REACH_UNLISTED ? "(here)" : view->node->name);
    table_add(table, role_of(view));
    if (!view->document) {
        table_add(table, reach_is_askable(view->node) ? "NO ANSWER" : "not asked");
        for (int i = 0; i < 4; i++)
            table_add(table, NULL);
        return;
    }
    add_state(table, view);
    add_mirror(table, view);
    table_add_format(table, "%" PRId64,
                     json_number(json_object_get(view->document, "counters"), "sessions", 0));
    add_queue(table, view);
}

static void print_nodes(const struct status_node *nodes, size_t count, FILE *stream)
{
    static const char *const head[] = { "node",   "role",     "state", "revision",
                                        "mirror", "sessions", "queued" };
    struct table table;

    table_init(&table, 7, 1U << 3 | 1U << 5 | 1U << 6);
    for (size_t i = 0; i < 7; i++)
        table_add(&table, head[i]);
    for (size_t i = 0; i < count; i++)
        add_node(&table, &nodes[i]);
    table_print(&table, stream, 0);
    table_fini(&table);
}

/* --- the backends --------------------------------------------------------------------------------
 */

/* How many of the nodes see it up and down. */
struct views {
    size_t up, down;
};

static struct views count_views(const struct status_node *nodes, size_t count, const char *backend,
                                const char *protocol)
{
    struct views views = { 0, 0 };

    for (size_t i = 0; i < count; i++) {
        const char *state =
            json_text(json_object_get(status_find_backend(&nodes[i], backend), protocol), "state");

        views.up += state && strcmp(state, "up") == 0;
        views.down += state && strcmp(state, "down") == 0;
    }
    return views;
}

static void add_backend(struct table *table, const struct status_node *nodes, size_t count,
                        const json_t *backend)
{
    const char *name = json_text(backend, "backend");
    char order[OUTPUT_TEXT_SIZE];

    table_add(table, name);
    for (const char *const *protocol = status_protocols; *protocol; protocol++) {
        struct views views = count_views(nodes, count, name, *protocol);

        if (views.up > 0 && views.down > 0)
            table_add_format(table, "down at %zu of %zu", views.down, views.up + views.down);
        else
            table_add(table, views.up > 0 ? "up" : views.down > 0 ? "down" : "not tried");
    }
    table_add(table, status_order_text(backend, order));
}

static void print_backends(const struct status_node *nodes, size_t count, FILE *stream)
{
    json_t *backends = status_all_backends(nodes, count), *backend;
    struct table table;
    const char *name;

    table_init(&table, 6, 0);
    table_add(&table, "backend");
    for (const char *const *protocol = status_protocols; *protocol; protocol++)
        table_add(&table, *protocol);
    table_add(&table, "order");
    json_object_foreach (backends, name, backend)
        add_backend(&table, nodes, count, backend);
    if (json_object_size(backends) > 0) {
        fputc('\n', stream);
        table_print(&table, stream, 0);
    }
    table_fini(&table);
    json_decref(backends);
}

/* --- the storages
 * --------------------------------------------------------------------------------- */

static size_t add_storages(struct table *table, const struct status_node *view)
{
    const json_t *list =
        json_object_get(json_object_get(view->document, "storage_node"), "storages");
    json_t *storage;
    size_t i;

    json_array_foreach (list, i, storage) {
        char since[OUTPUT_TEXT_SIZE];
        int64_t since_ms = json_number(storage, "since_ms", 0);

        table_add(table, json_text(storage, "server"));
        table_add(table, view->node->name);
        table_add(table, node_storage_state(storage));
        table_add(table, since_ms > 0 ? format_time(since_ms, since) : NULL);
    }
    return json_array_size(list);
}

static void print_storages(const struct status_node *nodes, size_t count, FILE *stream)
{
    static const char *const head[] = { "storage of", "at", "state", "since" };
    struct table table;
    size_t storages = 0;

    table_init(&table, 4, 0);
    for (size_t i = 0; i < 4; i++)
        table_add(&table, head[i]);
    for (size_t i = 0; i < count; i++)
        storages += add_storages(&table, &nodes[i]);
    if (storages > 0) {
        fputc('\n', stream);
        table_print(&table, stream, 0);
    }
    table_fini(&table);
}

void status_print_cluster(const struct status_node *nodes, size_t count, FILE *stream)
{
    print_nodes(nodes, count, stream);
    print_backends(nodes, count, stream);
    print_storages(nodes, count, stream);
}
